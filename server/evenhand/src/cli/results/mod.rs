//! `evenhand results`: what came of an experiment, as a table, CSV, JSON or a page with plots.

mod csv;
mod cuts;
mod health;
mod history;
mod html;
mod html_cuts;
mod looks;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::connect::Connect;

#[derive(Args)]
pub struct Results {
    /// The experiment's key or id
    experiment: String,
    /// Its phase; the newest when not given
    #[arg(long)]
    phase: Option<u32>,
    /// Print the server's JSON instead of a table
    #[arg(long, group = "shape")]
    json: bool,
    /// Print one row per metric and variation, with all figures, instead of a table
    #[arg(long, group = "shape")]
    csv: bool,
    /// Write a report with plots into this file: one page of HTML that needs nothing else
    #[arg(long, group = "shape", value_name = "FILE")]
    html: Option<PathBuf>,
    /// By day of first exposure
    #[arg(long, group = "part", conflicts_with = "html")]
    days: bool,
    /// By the values of one of the experiment's dimensions, such as country
    #[arg(long, group = "part", conflicts_with = "html", value_name = "DIMENSION")]
    by: Option<String>,
    /// Only units of one value of a dimension, such as country=SE
    #[arg(long, value_name = "DIMENSION=VALUE", conflicts_with = "by")]
    only: Option<String>,
    #[command(flatten)]
    connect: Connect,
}

impl Results {
    pub fn run(self) -> Result<ExitCode, String> {
        let client = self.connect.client()?;
        let asked = self.asked()?;
        let part = match &self.by {
            _ if self.days => "/days".to_owned(),
            Some(dimension) => format!("/dimensions/{}", encoded(dimension)),
            None => String::new(),
        };
        let results = client.get(&self.path(&part, &asked))?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&results).map_err(|e| e.to_string())?);
        } else if self.days || self.by.is_some() {
            let (rows, about) = if self.days {
                (cuts::days(&results), cuts::about_days(&results))
            } else {
                (cuts::values(&results), cuts::about_values(&results))
            };
            if self.csv {
                print!("{}", rows.csv()?);
            } else {
                print!("{about}{}", rows.table());
            }
        } else if self.csv {
            print!("{}", csv::rows(&results)?);
        } else {
            let health = client.get(&self.path("/health", &self.of_phase()))?;
            if let Some(file) = &self.html {
                let days = client.get(&self.path("/days", &asked))?;
                let dimensions = list(&results, "/dimensions").filter_map(Value::as_str);
                let cuts: Vec<Value> = dimensions
                    .filter(|_| self.only.is_none())
                    .map(|one| client.get(&self.path(&format!("/dimensions/{}", encoded(one)), &asked)))
                    .collect::<Result<_, _>>()?;
                let page = html::page(&html::Report {
                    results: &results,
                    health: &health,
                    days: &days,
                    cuts: &cuts,
                });
                std::fs::write(file, page).map_err(|e| format!("{} can't be written: {e}", file.display()))?;
                println!("{}", file.display());
            } else {
                print!("{}", table::page(&results, &health));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Results {
    fn path(&self, part: &str, asked: &str) -> String {
        format!(
            "/api/environments/{}/experiments/{}/results{part}{asked}",
            encoded(&self.connect.environment),
            encoded(&self.experiment)
        )
    }

    fn of_phase(&self) -> String {
        self.phase.map(|phase| format!("?phase={phase}")).unwrap_or_default()
    }

    fn asked(&self) -> Result<String, String> {
        let phase = self.of_phase();
        let Some(only) = &self.only else { return Ok(phase) };
        let (dimension, value) = only
            .split_once('=')
            .ok_or_else(|| format!("--only {only}: it is DIMENSION=VALUE, such as country=SE"))?;
        let start = if phase.is_empty() { "?" } else { "&" };
        Ok(format!(
            "{phase}{start}dimension={}&value={}",
            encoded(dimension),
            encoded(value)
        ))
    }
}

/// A text as a part of an address: of its path too, where a space is no `+`.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

/// A text of the answer; empty where there is none.
fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, path: &str) -> Option<f64> {
    value.pointer(path).and_then(Value::as_f64)
}

fn count(value: &Value, path: &str) -> u64 {
    value.pointer(path).and_then(Value::as_u64).unwrap_or(0)
}

/// A moment of the answer, to the second.
fn instant(value: &Value, path: &str) -> String {
    let ms = value.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| String::new(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

fn yes(value: &Value, path: &str) -> bool {
    value.pointer(path).and_then(Value::as_bool) == Some(true)
}

fn list<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.pointer(path).and_then(Value::as_array).into_iter().flatten()
}

/// The lift that verdicts go by: adjusted by the pre-period where there is one.
fn lift(arm: &Value) -> Option<&Value> {
    ["/adjusted_lift", "/lift"]
        .into_iter()
        .filter_map(|path| arm.pointer(path))
        .find(|lift| !lift.is_null())
}

/// A figure of a metric as people write it: rates in per cent, the rest as they are.
struct Figures {
    scale: f64,
    unit: &'static str,
    difference: &'static str,
}

impl Figures {
    fn of(metric: &Value) -> Self {
        if text(metric, "/kind") == "proportion" {
            Self {
                scale: 100.0,
                unit: " %",
                difference: " pp",
            }
        } else {
            Self {
                scale: 1.0,
                unit: "",
                difference: "",
            }
        }
    }

    /// The headline figure of an arm.
    fn value(&self, arm: &Value, metric: &Value) -> String {
        if text(metric, "/headline") == "total" {
            return number(arm, "/estimate/total").map_or("–".to_owned(), |total| format!("{total:.2}"));
        }
        let digits = if self.unit.is_empty() { 4 } else { 3 };
        number(arm, "/estimate/value").map_or("–".to_owned(), |value| {
            format!("{:.digits$}{}", value * self.scale, self.unit)
        })
    }

    fn difference(&self, effect: &Value) -> String {
        number(effect, "/estimate").map_or("–".to_owned(), |value| {
            format!("{:+.3}{}", value * self.scale, self.difference)
        })
    }

    fn interval(&self, effect: &Value) -> String {
        match (number(effect, "/lower"), number(effect, "/upper")) {
            (Some(lower), Some(upper)) => format!(
                "[{:+.3}, {:+.3}]{}",
                lower * self.scale,
                upper * self.scale,
                self.difference
            ),
            _ => "–".to_owned(),
        }
    }
}

/// A relative effect and its interval, in per cent.
fn relative(lift: &Value) -> (String, String) {
    let shown = |path: &str| number(lift, path).map(|value| value * 100.0);
    let estimate = shown("/relative/estimate").map_or("–".to_owned(), |value| format!("{value:+.2} %"));
    let interval = match (shown("/relative/lower"), shown("/relative/upper")) {
        (Some(lower), Some(upper)) => format!("[{lower:+.2}, {upper:+.2}] %"),
        _ => match text(lift, "/relative/region/shape") {
            "at_least" | "at_most" | "outside" | "everything" => "not bounded: control is too near zero".to_owned(),
            _ => "–".to_owned(),
        },
    };
    (estimate, interval)
}

/// A verdict as people say it; empty for control.
fn verdict(arm: &Value, metric: &Value) -> String {
    let missing = |path: &str| count(arm, &format!("/missing/{path}"));
    let words = match text(arm, "/verdict") {
        "better" => "better",
        "worse" if text(metric, "/role") == "guardrail" => "HARMED",
        "worse" => "worse",
        "within_margin" if text(metric, "/role") == "guardrail" => "unharmed",
        "within_margin" => "no effect beyond the margin",
        "undecided" => "not known yet",
        "too_early" => match lift(arm)
            .map(|lift| text(lift, "/absolute/unavailable"))
            .unwrap_or_default()
        {
            "planned_end" => "waits for the planned end",
            "planned_look" => "waits for a planned look",
            "minimum_data" if arm.pointer("/current_lift").is_some_and(|now| !now.is_null()) => {
                "had too few data at the look"
            }
            "minimum_data" if missing("units") > 0 => return format!("needs {} units more", missing("units")),
            "minimum_data" if missing("conversions") > 0 => {
                return format!("needs {} conversions more", missing("conversions"));
            }
            "minimum_data" => "control needs more data",
            _ => "no variance yet",
        },
        _ => "",
    };
    match arm.pointer("/decided_at_look").and_then(Value::as_u64) {
        Some(look) => format!("{words} (since look {look})"),
        None => words.to_owned(),
    }
}

/// What the method promises, in a sentence.
fn promise(results: &Value) -> String {
    let comparisons = count(results, "/comparisons");
    let shared = match text(results, "/correction") {
        _ if comparisons <= 1 => String::new(),
        "bonferroni" => format!(" α of primary metrics is shared by {comparisons} comparisons."),
        "holm" => format!(" Verdicts on primary metrics allow for {comparisons} comparisons (Holm)."),
        "benjamini_hochberg" => {
            format!(
                " Verdicts on primary metrics bound the share of false ones in {comparisons} comparisons (Benjamini–Hochberg)."
            )
        }
        _ => format!(" Nothing allows for the {comparisons} comparisons of primary metrics."),
    };
    let words = match text(results, "/method") {
        "sequential" => "Intervals and p-values are anytime-valid: true however often you look, and whenever you stop.",
        "group_sequential" => looks::promise(results),
        _ if yes(results, "/planned_end_reached") => {
            "Intervals and p-values are of Welch's test, at the planned end: they are true once."
        }
        _ => {
            "The experiment is read at its planned end, which is not reached: intervals and p-values are not shown before it."
        }
    };
    format!("{words}{shared}")
}

/// What Welch's test says beside the anytime-valid intervals, once the planned end is reached; a line each variation.
fn at_the_planned_end(metric: &Value, results: &Value) -> Vec<String> {
    if text(results, "/method") != "sequential" {
        return Vec::new();
    }
    let figures = Figures::of(metric);
    let line = |arm: &Value| {
        let absolute = arm.pointer("/fixed_horizon/absolute")?;
        let p = number(absolute, "/p_value")?;
        Some(format!(
            "read once, at the planned end (Welch): {} {} {}, p = {p:.4}",
            text(arm, "/variation_id"),
            figures.difference(absolute),
            figures.interval(absolute)
        ))
    };
    list(metric, "/arms").filter_map(line).collect()
}

/// What an experiment of several epochs, and a guardrail that is watched, have to say beside the table; a line each variation.
fn beside(metric: &Value) -> Vec<String> {
    let figures = Figures::of(metric);
    let over_epochs = list(metric, "/arms").filter_map(|arm| {
        let absolute = arm.pointer("/over_epochs/lift/absolute")?;
        number(absolute, "/estimate")?;
        Some(format!(
            "over {} epochs: {} {} {}",
            count(arm, "/over_epochs/epochs"),
            text(arm, "/variation_id"),
            figures.difference(absolute),
            figures.interval(absolute)
        ))
    });
    let harmed = list(metric, "/arms").filter_map(|arm| {
        let p = number(arm, "/harm/p_value").filter(|p| *p < 0.05)?;
        let counts = match (number(arm, "/harm/conversions/0"), number(arm, "/harm/conversions/1")) {
            (Some(treatment), Some(control)) => format!(": {treatment} units with one, {control} in control"),
            _ => String::new(),
        };
        Some(format!(
            "watched for harm: {}{counts} (one-sided, anytime-valid: p = {p:.2e})",
            text(arm, "/variation_id")
        ))
    });
    over_epochs.chain(harmed).chain(looks::since(metric)).collect()
}

/// What to do next.
fn advice(results: &Value) -> String {
    let words = match text(results, "/guidance/advice") {
        "fix_the_data" => "fix the data first",
        "ship" => "ship",
        "stop" => "stop",
        "no_effect" => "no effect",
        "nothing_shown" => "nothing shown",
        _ => "keep running",
    };
    let variation = text(results, "/guidance/variation_id");
    let about = if variation.is_empty() {
        String::new()
    } else {
        format!(" {variation}")
    };
    format!("{words}{about}: {}", text(results, "/guidance/because"))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    /// An answer on the health of data that are sick.
    pub fn sick() -> Value {
        let suspect = json!({ "dimension": "country", "value": "NO", "units": 800, "adjusted_p_value": 1e-9, "mismatch": true, "p_value_without": 1.0, "heals": true });
        json!({ "finding": "failure", "sample_ratio": { "finding": "failure", "p_value": 1e-9, "since": "2026-11-20", "suspects": [suspect] }, "multiple_exposure": { "finding": "healthy", "units": 0, "share": 0.0 }, "pre_period": { "finding": "unknown", "comparisons": [] } })
    }

    /// An answer of the server's shape: a rate that is better, a guardrail that is harmed, a sum without enough data.
    pub fn answer() -> Value {
        let effect = |estimate: f64, lower: f64, upper: f64| json!({ "estimate": estimate, "standard_error": 0.1, "lower": lower, "upper": upper, "p_value": 0.01, "significant": true, "region": { "shape": "between", "lower": lower, "upper": upper }, "unavailable": null });
        let arm = |name: &str, lift: Value, verdict: Value| json!({ "variation_id": name, "units": 10_000, "sum_micros": "69000000", "estimate": { "units": 10_000, "value": 0.0069, "total": 69.0, "unit_variance": 0.0068 }, "lift": lift, "verdict": verdict, "missing": null, "fixed_horizon": null, "adjusted_lift": null, "unavailable": null });
        let lift = json!({ "absolute": effect(0.0023, 0.0001, 0.0045), "relative": effect(0.5, 0.02, 0.98) });
        let bare = json!({ "estimate": 3.5, "standard_error": null, "lower": null, "upper": null, "p_value": null, "significant": null, "region": null, "unavailable": "minimum_data" });
        let metric = |id: &str, kind: &str, role: &str, arms: Vec<Value>| json!({ "id": id, "kind": kind, "role": role, "better": "higher", "margin": 0.0, "headline": "per_unit", "confidence": 0.95, "complete": true, "minimum": { "units": 100, "conversions": 10 }, "arms": arms, "adjusted": null });
        let mut early = arm(
            "<b>new</b>",
            json!({ "absolute": bare, "relative": bare }),
            json!("too_early"),
        );
        early["missing"] = json!({ "units": 40, "conversions": 4 });
        json!({
            "experiment_id": "checkout", "phase": 1, "epoch": 1, "as_of_ms": 1_795_392_000_000_i64, "complete": true, "planned_end_reached": false,
            "method": "sequential", "correction": "bonferroni", "comparisons": 2, "srm": { "status": "tested", "mismatch": true, "p_value": 1e-9 }, "srm_sequential": { "status": "tested", "mismatch": true, "p_value": 1e-7 },
            "guidance": { "advice": "fix_the_data", "variation_id": null, "rule": "sample_ratio_mismatch", "because": "units do not split" },
            "metrics": [
                metric("click-rate", "proportion", "primary", vec![arm("old", Value::Null, Value::Null), arm("<b>new</b>", lift.clone(), json!("better"))]),
                metric("errors", "count", "guardrail", vec![arm("old", Value::Null, Value::Null), arm("<b>new</b>", lift, json!("worse"))]),
                metric("revenue", "mean", "secondary", vec![arm("old", Value::Null, Value::Null), early]),
            ],
        })
    }
}
