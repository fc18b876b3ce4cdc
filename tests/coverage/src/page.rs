//! The tables of `docs/statistics.md`, between two marks, from the figures alone.

use std::fmt::Write;
use std::path::Path;

use crate::figures::{Figures, ScenarioFigures, Tally};
use crate::judge;
use crate::track::ALL_ARMS;

const BEGIN: &str = "<!-- coverage: begin (tests/coverage/run --write makes what follows) -->\n";
const END: &str = "<!-- coverage: end -->\n";

/// Columns of the tables of rates: heading and track.
const COLUMNS: [(&str, &str); 13] = [
    ("fixed, once", "fixed horizon, once, absolute"),
    ("relative", "fixed horizon, once, relative"),
    ("fixed, every look", "fixed horizon, peeked at, absolute"),
    ("relative", "fixed horizon, peeked at, relative"),
    ("anytime", "anytime-valid, absolute"),
    ("relative", "anytime-valid, relative"),
    ("higher", "anytime-valid, higher, absolute"),
    ("relative", "anytime-valid, higher, relative"),
    ("lower", "anytime-valid, lower, absolute"),
    ("relative", "anytime-valid, lower, relative"),
    ("group-seq.", "group-sequential, absolute"),
    ("relative", "group-sequential, relative"),
    ("Pocock", "group-sequential, Pocock, absolute"),
];

/// Puts the tables in their place.
pub fn write(figures: &Figures, page: &Path) -> Result<(), String> {
    let fault = |what: &str| format!("{}: {what}", page.display());
    let text = std::fs::read_to_string(page).map_err(|error| fault(&error.to_string()))?;
    let (before, rest) = text
        .split_once(BEGIN)
        .ok_or_else(|| fault("the mark of the tables' begin is missing"))?;
    let (_, after) = rest
        .split_once(END)
        .ok_or_else(|| fault("the mark of the tables' end is missing"))?;
    std::fs::write(page, format!("{before}{BEGIN}\n{}\n{END}{after}", tables(figures)))
        .map_err(|error| fault(&error.to_string()))
}

fn percent(rate: f64) -> String {
    format!("{:.1}", rate * 100.0)
}

/// A table of one rate of every kind of interval; columns that no scenario has stay out.
fn rate_table(scenarios: &[&ScenarioFigures], rate: impl Fn(&Tally) -> f64) -> String {
    let columns: Vec<&(&str, &str)> = (COLUMNS.iter())
        .filter(|(_, track)| scenarios.iter().any(|figures| figures.tracks.contains_key(*track)))
        .collect();
    let headings: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
    let mut table = format!(
        "| scenario | {} |\n|---|{}\n",
        headings.join(" | "),
        "--:|".repeat(columns.len())
    );
    for figures in scenarios {
        write!(table, "| {} ", figures.scenario.name).expect("a String takes everything");
        for (_, track) in &columns {
            let cell = figures
                .tracks
                .get(*track)
                .map_or(String::new(), |tally| percent(rate(tally)));
            write!(table, "| {cell} ").expect("a String takes everything");
        }
        table.push_str("|\n");
    }
    table
}

fn power_table(scenarios: &[&ScenarioFigures]) -> String {
    let mut table = String::from(
        "| scenario | true lift | units planned | fixed | anytime, by then | by twice as many | stops at | width | group-seq. | stops at |\n",
    );
    table.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for figures in scenarios {
        let of = |track: &str, value: &dyn Fn(&Tally) -> f64| {
            let tally = figures.tracks.get(track).filter(|tally| tally.counted > 0);
            tally.map_or(String::new(), |tally| percent(value(tally)))
        };
        let stops = |tally: &Tally| tally.stopping_units as f64 / (figures.runs * figures.scenario.horizon()) as f64;
        let width = |tally: &Tally| tally.relative_width / tally.counted as f64;
        let (anytime, group) = ("anytime-valid, absolute", "group-sequential, absolute");
        writeln!(
            table,
            "| {} | {} % | {} | {} | {} | {} | {} | {} | {} | {} |",
            figures.scenario.name,
            (figures.scenario.lift * 1e6).round() / 1e4,
            figures.scenario.horizon(),
            of("fixed horizon, once, absolute", &Tally::rejection_rate),
            of(anytime, &Tally::power),
            of(anytime, &Tally::rejection_rate),
            of(anytime, &stops),
            of(anytime, &width),
            of(group, &Tally::rejection_rate),
            of(group, &stops),
        )
        .expect("a String takes everything");
    }
    table
}

fn tables(figures: &Figures) -> String {
    let kept = |prefix: &str| -> Vec<&ScenarioFigures> {
        figures
            .scenarios
            .iter()
            .filter(|figures| figures.scenario.name.starts_with(prefix))
            .collect()
    };
    let runs: Vec<u64> = figures.scenarios.iter().map(|figures| figures.runs).collect();
    let runs = (runs.iter().min().unwrap_or(&0), runs.iter().max().unwrap_or(&0));
    let runs = if runs.0 == runs.1 {
        runs.0.to_string()
    } else {
        format!("{} to {}", runs.0, runs.1)
    };
    let mut text = format!(
        "Seed {}, {} scenarios, {runs} runs each, up to 100 looks a run. All figures are percentages of runs.\n",
        figures.seed,
        figures.scenarios.len()
    );
    text.push_str("\n#### False positives: zero outside at any look, where nothing differs\n\n");
    text.push_str(&rate_table(&kept("A/A"), Tally::rejection_rate));
    text.push_str("\n#### The truth outside at any look, where treatment is better\n\n");
    text.push_str(&rate_table(&kept("A/B"), Tally::miss_rate));
    text.push_str("\n#### Power: zero outside at any look, where treatment is better\n\n");
    text.push_str(&power_table(&kept("A/B")));
    text.push_str(&several_table(figures));
    text.push_str(&split_table(&kept("split")));
    text.push_str("\n#### Where 5 % does not hold, and what does\n\n| scenario | kinds | bound |\n|---|---|--:|\n");
    for limit in &judge::LIMITS {
        writeln!(
            text,
            "| {} | {} | {} |",
            limit.scenario,
            limit.tracks,
            percent(limit.bound)
        )
        .expect("a String takes everything");
    }
    text
}

/// The verdict on all treatments together.
fn several_table(figures: &Figures) -> String {
    let mut table = String::from(
        "\n#### Several treatments, each at 5 % over their number: any of them\n\n\
         | scenario | zero outside of any | truth outside of any |\n|---|--:|--:|\n",
    );
    for figures in &figures.scenarios {
        if let Some(tally) = figures.tracks.get(ALL_ARMS) {
            let (rejected, missed) = (percent(tally.rejection_rate()), percent(tally.miss_rate()));
            writeln!(table, "| {} | {rejected} | {missed} |", figures.scenario.name)
                .expect("a String takes everything");
        }
    }
    table
}

/// Alarms over the split, and how many units they took.
fn split_table(scenarios: &[&ScenarioFigures]) -> String {
    let mut table = String::from(
        "\n#### The split, watched from 10 to 1,000,000 units\n\n\
         | scenario | sequential, p < 0.05 | sequential, p < 0.01 | units, mean | χ² at every look, p < 0.001 |\n|---|--:|--:|--:|--:|\n",
    );
    for figures in scenarios {
        let rate = |track: &str| {
            figures
                .tracks
                .get(track)
                .map_or(String::new(), |tally| percent(tally.rejection_rate()))
        };
        let units = figures
            .tracks
            .get("split, sequential")
            .filter(|_| figures.scenario.arriving.is_some());
        let units = units.map_or(String::new(), |tally| (tally.stopping_units / figures.runs).to_string());
        writeln!(
            table,
            "| {} | {} | {} | {units} | {} |",
            figures.scenario.name,
            rate("split, sequential at 5 %"),
            rate("split, sequential"),
            rate("split, χ², looked at every time")
        )
        .expect("a String takes everything");
    }
    table
}
