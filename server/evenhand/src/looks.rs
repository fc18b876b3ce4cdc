//! Looks of group-sequential experiments, between who keeps them and who reads by them. Both write them alike.

use evenhand_manage::looks::{LookFigures, of_phase};
use evenhand_manage::model::Model;
use evenhand_pipeline::results::TakenLook;

/// The looks taken in a phase, in the pipeline's words.
pub fn taken(model: &Model, environment: &str, experiment: &str, phase: u32) -> Result<Vec<TakenLook>, String> {
    let kept = of_phase(model, environment, experiment, phase).into_iter();
    kept.map(|look| {
        let written = serde_json::to_value(&look).and_then(serde_json::from_value);
        written.map_err(|error| format!("look `{}` can't be read: {error}", look.key))
    })
    .collect()
}

/// A look in the management's words.
pub fn figures(look: &TakenLook) -> Result<LookFigures, String> {
    let written = serde_json::to_value(look).and_then(serde_json::from_value);
    written.map_err(|error| format!("look {} can't be written: {error}", look.look.number))
}

#[cfg(test)]
mod tests {
    use evenhand_pipeline::Verdict;
    use evenhand_pipeline::results::{ShownEffect, ShownLift, ShownLook, TakenComparison};
    use evenhand_stats::{Region, Unavailable};

    use super::*;

    #[test]
    fn what_is_kept_of_a_look_is_what_was_seen_at_it() {
        let region = |region: Region| ShownEffect {
            estimate: Some(0.1 + 0.2),
            standard_error: Some(1.0 / 3.0),
            lower: region.lower(),
            upper: region.upper(),
            region: Some(region),
            p_value: Some(1e-300),
            significant: Some(true),
            unavailable: None,
        };
        let none = ShownEffect {
            estimate: None,
            standard_error: None,
            lower: None,
            upper: None,
            region: None,
            p_value: None,
            significant: None,
            unavailable: Some(Unavailable::MinimumData),
        };
        let regions = [
            Region::Between {
                lower: -0.1,
                upper: 0.7,
            },
            Region::AtLeast { lower: 0.1 },
            Region::AtMost { upper: 1.5e-7 },
            Region::Outside {
                below: -3.0,
                above: 0.2,
            },
            Region::Everything,
        ];
        let comparison = |(at, region_of): (usize, &Region)| TakenComparison {
            metric: "clicks".into(),
            variation: format!("v{at}"),
            confidence: 1.0 - 0.05 / 3.0,
            lift: Some(ShownLift {
                absolute: region(*region_of),
                relative: none,
            }),
            adjusted_lift: None,
            adjusted_p_value: Some(0.01),
            verdict: Some(Verdict::WithinMargin),
        };
        let look = ShownLook {
            number: 2,
            at_ms: 0,
            units: 10_001,
            fraction: 10_001.0 / 30_000.0,
            is_last: false,
            bound: 3.1,
            spent: 0.001,
        };
        let seen = TakenLook {
            look,
            comparisons: regions.iter().enumerate().map(comparison).collect(),
        };
        let kept = evenhand_manage::looks::Look {
            key: "x/0000000001/02".into(),
            experiment: "x".into(),
            phase: 1,
            at_ms: 7,
            seen: figures(&seen).unwrap(),
        };
        // Through text, as a store keeps it.
        let text = serde_json::to_string(&kept).unwrap();
        let kept: evenhand_manage::looks::Look = serde_json::from_str(&text).unwrap();
        let back: TakenLook = serde_json::from_value(serde_json::to_value(&kept).unwrap()).unwrap();
        let look = ShownLook { at_ms: 7, ..look };
        assert_eq!(back, TakenLook { look, ..seen });
    }
}
