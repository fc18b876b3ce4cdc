//! Results by day and by dimension: as tables a person reads, or as rows for a spreadsheet.

use serde_json::Value;

use super::{count, list, number, relative, text};
use crate::cli::sql::aligned;

/// Rows of figures under their names. The first column is the metric.
pub struct Rows {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Rows {
    /// A table a metric.
    pub fn table(&self) -> String {
        let header: Vec<String> = self.header.iter().skip(1).map(|name| (*name).to_owned()).collect();
        let mut out = String::new();
        for of_metric in self.rows.chunk_by(|one, next| one.first() == next.first()) {
            let name = of_metric.first().and_then(|row| row.first()).map_or("", String::as_str);
            let rows: Vec<Vec<String>> = of_metric
                .iter()
                .map(|row| row.iter().skip(1).cloned().collect())
                .collect();
            out.push_str(&format!("\n{name}\n{}", aligned(&header, &rows)));
        }
        out
    }

    /// All rows as CSV.
    pub fn csv(&self) -> Result<String, String> {
        let mut out = ::csv::Writer::from_writer(Vec::new());
        let fault = |e: &dyn std::fmt::Display| format!("the table can't be written: {e}");
        out.write_record(&self.header).map_err(|e| fault(&e))?;
        for row in &self.rows {
            out.write_record(row).map_err(|e| fault(&e))?;
        }
        let bytes = out.into_inner().map_err(|e| fault(&e))?;
        String::from_utf8(bytes).map_err(|e| fault(&e))
    }
}

fn figure(value: &Value, path: &str) -> String {
    number(value, path).map_or("–".to_owned(), |figure| format!("{figure:.6}"))
}

/// The relative effect and its interval; why there is none where there is none.
fn effect(lift: Option<&Value>) -> [String; 2] {
    let Some(lift) = lift.filter(|lift| !lift.is_null()) else {
        return ["–".to_owned(), "–".to_owned()];
    };
    let (estimate, interval) = relative(lift);
    match text(lift, "/relative/unavailable") {
        "" | "null" => [estimate, interval],
        reason => [estimate, reason.replace('_', " ")],
    }
}

/// Of an answer by day.
pub fn days(results: &Value) -> Rows {
    let mut rows = Vec::new();
    let metrics: Vec<&str> = list(results, "/days").next().map_or(Vec::new(), |day| {
        list(day, "/metrics").map(|metric| text(metric, "/id")).collect()
    });
    for metric in metrics {
        for day in list(results, "/days") {
            let units = |arm: &Value, path: &str| {
                let of = list(day, "/variations").find(|one| text(one, "/variation_id") == text(arm, "/variation_id"));
                of.map_or(0, |of| count(of, path)).to_string()
            };
            let found = list(day, "/metrics").find(|one| text(one, "/id") == metric);
            for arm in found.into_iter().flat_map(|metric| list(metric, "/arms")) {
                let [lift, interval] = effect(arm.get("lift_so_far"));
                rows.push(vec![
                    metric.to_owned(),
                    text(day, "/day").to_owned(),
                    text(arm, "/variation_id").to_owned(),
                    units(arm, "/units"),
                    figure(arm, "/value"),
                    units(arm, "/units_so_far"),
                    figure(arm, "/value_so_far"),
                    lift,
                    interval,
                ]);
            }
        }
    }
    Rows {
        header: vec![
            "metric",
            "first exposed on",
            "variation",
            "units",
            "value",
            "units so far",
            "value so far",
            "lift so far",
            "its interval",
        ],
        rows,
    }
}

/// Of an answer by dimension.
pub fn values(results: &Value) -> Rows {
    let mut rows = Vec::new();
    let first = list(results, "/values").next();
    let metrics: Vec<&str> = first.map_or(Vec::new(), |value| {
        list(value, "/metrics").map(|metric| text(metric, "/id")).collect()
    });
    for metric in metrics {
        for value in list(results, "/values") {
            let found = list(value, "/metrics").find(|one| text(one, "/id") == metric);
            for arm in found.into_iter().flat_map(|metric| list(metric, "/arms")) {
                let [lift, interval] = effect(arm.get("lift"));
                rows.push(vec![
                    metric.to_owned(),
                    text(value, "/value").to_owned(),
                    text(arm, "/variation_id").to_owned(),
                    count(arm, "/units").to_string(),
                    figure(arm, "/value"),
                    lift,
                    interval,
                ]);
            }
        }
    }
    Rows {
        header: vec![
            "metric",
            "value of it",
            "variation",
            "units",
            "value",
            "lift",
            "its interval",
        ],
        rows,
    }
}

/// What a reader of results by day must know.
pub fn about_days(results: &Value) -> String {
    let complete = results.get("complete").and_then(Value::as_bool) == Some(true);
    let counting = if complete {
        ""
    } else {
        " Still counting in what was there before."
    };
    format!(
        "Units by the day (UTC) of their first exposure, with all they have done since: of the last days a metric's window may not be over.{counting}\n"
    )
}

/// What a reader of results by dimension must know.
pub fn about_values(results: &Value) -> String {
    let mut out = format!(
        "Intervals allow for {} values. What is found here is a question for the next experiment.\n",
        list(results, "/values").count()
    );
    let (without, left_out) = (
        count(results, "/units_without_value"),
        count(results, "/values_left_out"),
    );
    if without > 0 {
        out.push_str(&format!(
            "{without} units came without a {}.\n",
            text(results, "/dimension")
        ));
    }
    if left_out > 0 {
        let units = count(results, "/units_left_out");
        out.push_str(&format!(
            "{left_out} values with {units} units are not shown: they have fewer units than those that are.\n"
        ));
    }
    out
}
