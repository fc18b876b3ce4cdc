//! `evenhand results`: what came of an experiment, as a table.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::connect::Connect;
use super::sql::aligned;

#[derive(Args)]
pub struct Results {
    /// The experiment's key or id
    experiment: String,
    /// Its phase; the newest when not given
    #[arg(long)]
    phase: Option<u32>,
    /// Print the server's JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Results {
    pub fn run(self) -> Result<ExitCode, String> {
        let phase = self.phase.map(|p| format!("?phase={p}")).unwrap_or_default();
        let path = format!(
            "/api/environments/{}/experiments/{}/results{phase}",
            self.connect.environment, self.experiment
        );
        let results = self.connect.client()?.get(&path)?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&results).map_err(|e| e.to_string())?);
        } else {
            print!("{}", table(&results));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The page a person reads: health first, then each metric with its lifts.
fn table(results: &Value) -> String {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let count = |name: &str| results.get(name).and_then(Value::as_u64).unwrap_or(0);
    let mut out = format!(
        "{}, phase {}, epoch {}\n",
        text(results, "experiment_id"),
        count("phase"),
        count("epoch")
    );
    out.push_str(&health(results));
    for metric in results.get("metrics").and_then(Value::as_array).into_iter().flatten() {
        let confidence = metric.get("confidence").and_then(Value::as_f64).unwrap_or(0.95) * 100.0;
        out.push_str(&format!("\n{} ({})\n", text(metric, "id"), text(metric, "kind")));
        let header = [
            "variation",
            "units",
            "value",
            "lift",
            &format!("{confidence:.0} % interval"),
            "relative",
            "p-value",
        ];
        let arms = metric.get("arms").and_then(Value::as_array);
        let rows: Vec<Vec<String>> = arms.into_iter().flatten().map(|arm| arm_row(arm, metric)).collect();
        out.push_str(&aligned(&header.map(str::to_owned), &rows));
    }
    let reached = results.get("planned_end_reached").and_then(Value::as_bool) == Some(true);
    if !reached {
        out.push_str(
            "\nThe planned end is not reached: intervals hold only there, and p-values are not shown before it.\n",
        );
    }
    out
}

/// What must be in order before a number is believed.
fn health(results: &Value) -> String {
    let count = |name: &str| results.get(name).and_then(Value::as_u64).unwrap_or(0);
    let srm = results.get("srm").filter(|s| !s.is_null());
    let p = srm.and_then(|s| s.get("p_value")).and_then(Value::as_f64);
    let verdict = match (srm.and_then(|s| s.get("mismatch")).and_then(Value::as_bool), p) {
        (Some(true), Some(p)) => format!("SAMPLE RATIO MISMATCH (p = {p:.2e}): do not read on, find the cause first"),
        (Some(false), Some(p)) => format!("sample ratio in order (p = {p:.3})"),
        _ => "too few units for a verdict on the sample ratio".to_owned(),
    };
    let mut out = format!("{verdict}\n");
    out.push_str(&format!(
        "left out: {} units seen in two variations, {} forced by an override\n",
        count("multiple_exposure_units"),
        count("overridden_units")
    ));
    if count("lag_events") > 0 {
        out.push_str(&format!(
            "{} events acknowledged and not yet counted\n",
            count("lag_events")
        ));
    }
    if results.get("complete").and_then(Value::as_bool) == Some(false) {
        let share = results.get("rebuild_progress").and_then(Value::as_f64).unwrap_or(0.0) * 100.0;
        out.push_str(&format!("still counting in what was there before ({share:.0} %)\n"));
    }
    out
}

fn arm_row(arm: &Value, metric: &Value) -> Vec<String> {
    let headline = if metric.get("headline").and_then(Value::as_str) == Some("total") {
        "total"
    } else {
        "value"
    };
    let proportion = metric.get("kind").and_then(Value::as_str) == Some("proportion");
    let estimate = |name: &str| arm.pointer(&format!("/estimate/{name}")).and_then(Value::as_f64);
    let shown = match estimate(headline) {
        Some(value) if proportion => format!("{:.3} %", value * 100.0),
        Some(value) => format!("{value:.4}"),
        None => "–".to_owned(),
    };
    let effect = |path: &str| arm.pointer(&format!("/lift/{path}")).and_then(Value::as_f64);
    let figure = |path: &str, scale: f64, unit: &str| {
        effect(path).map_or("–".to_owned(), |v| format!("{:+.3}{unit}", v * scale))
    };
    let (scale, unit) = if proportion { (100.0, " pp") } else { (1.0, "") };
    let interval = match (effect("absolute/lower"), effect("absolute/upper")) {
        (Some(low), Some(high)) => format!("[{:+.3}, {:+.3}]{unit}", low * scale, high * scale),
        _ => "–".to_owned(),
    };
    vec![
        arm.get("variation_id").and_then(Value::as_str).unwrap_or("").to_owned(),
        arm.get("units").and_then(Value::as_u64).unwrap_or(0).to_string(),
        shown,
        figure("absolute/estimate", scale, unit),
        interval,
        figure("relative/estimate", 100.0, " %"),
        effect("absolute/p_value").map_or("–".to_owned(), |p| format!("{p:.4}")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_mismatch_stands_before_any_number_and_a_hidden_p_value_is_a_dash() {
        let lift = json!({ "absolute": { "estimate": 0.0023, "lower": 0.0002, "upper": 0.0044, "p_value": null }, "relative": { "estimate": 0.5 } });
        let arm = json!({ "variation_id": "bts", "units": 10000, "estimate": { "value": 0.0069, "total": 69.0 }, "lift": lift });
        let metric = json!({ "id": "click-rate", "kind": "proportion", "headline": "per_unit", "confidence": 0.95, "arms": [arm] });
        let results = json!({ "experiment_id": "e", "phase": 1, "epoch": 1, "planned_end_reached": false, "complete": true,
            "srm": { "mismatch": true, "p_value": 1e-9 }, "metrics": [metric] });
        let page = table(&results);
        assert!(page.find("MISMATCH").unwrap() < page.find("click-rate").unwrap());
        assert!(
            page.contains("0.690 %") && page.contains("+0.230 pp") && page.contains("+50.000 %"),
            "{page}"
        );
        assert!(
            page.contains('–') && page.contains("planned end is not reached"),
            "{page}"
        );
    }
}
