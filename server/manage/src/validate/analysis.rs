//! How an experiment is to be read.

use crate::definition::{Analysis, AnalysisMethod, Experiment, USUAL_LOOKS};
use crate::looks::MOST_COMPARISONS;
use crate::problem::Problems;

/// Checks the plan.
pub fn analysis(experiment: &Experiment, problems: &mut Problems) {
    let analysis = &experiment.analysis;
    problems.check(
        (0.5..=0.999).contains(&analysis.confidence),
        "analysis.confidence",
        || format!("{} is not a confidence that intervals can have", analysis.confidence),
        "give at least 0.5 and at most 0.999, such as 0.95",
    );
    problems.check(
        analysis
            .planned_units
            .is_none_or(|units| (100..=1_000_000_000_000).contains(&units)),
        "analysis.planned_units",
        || "not a number of units that can be planned".into(),
        "give 100 to 1000000000000 units of all variations together, or leave it out",
    );
    if analysis.method == AnalysisMethod::GroupSequential {
        by_looks(experiment, problems);
    } else {
        without_looks(analysis, problems);
    }
}

fn by_looks(experiment: &Experiment, problems: &mut Problems) {
    let analysis = &experiment.analysis;
    problems.check(
        analysis.planned_units.is_some(),
        "analysis.planned_units",
        || "a group-sequential experiment looks at shares of its planned units, and none are planned".into(),
        "give the units of all variations together that the last look is planned for",
    );
    problems.check(
        analysis.looks.is_none_or(|looks| (2..=20).contains(&looks)),
        "analysis.looks",
        || format!("{} looks", analysis.looks.unwrap_or_default()),
        "give 2 to 20, or leave it out for 5; who wants to look at any time takes `sequential`",
    );
    problems.check(
        experiment.bandit.is_none(),
        "bandit",
        || "a bandit changes weights all the time, and looks of a group-sequential experiment are planned for one split".into(),
        "take the bandit out, or let `analysis.method` be `sequential`",
    );
    // With the guardrail that every experiment has.
    let treatments = experiment.variations.len().saturating_sub(1);
    let looks = analysis.looks.unwrap_or(USUAL_LOOKS) as usize;
    let comparisons = (experiment.metrics.len() + 1) * treatments * looks;
    problems.check(
        comparisons <= MOST_COMPARISONS,
        "metrics",
        || format!("{comparisons} comparisons with control (metrics, the one of errors too, times {treatments} treatments times {looks} looks) would be written down"),
        "use fewer metrics, variations or looks: 2000 comparisons are kept",
    );
}

fn without_looks(analysis: &Analysis, problems: &mut Problems) {
    for (field, given) in [
        ("analysis.looks", analysis.looks.is_some()),
        ("analysis.spending", analysis.spending.is_some()),
    ] {
        problems.check(
            !given,
            field,
            || "only a group-sequential experiment has planned looks".into(),
            "leave it out, or let `analysis.method` be `group_sequential`",
        );
    }
}
