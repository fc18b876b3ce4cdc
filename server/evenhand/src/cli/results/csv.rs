//! Every figure, one row per metric and variation, for a spreadsheet.

use serde_json::Value;

use super::{list, text};

/// Columns, and where their values stand in an arm of the answer. The first four are of the metric.
const OF_METRIC: [(&str, &str); 4] = [
    ("metric", "/id"),
    ("kind", "/kind"),
    ("role", "/role"),
    ("confidence", "/confidence"),
];
const OF_ARM: [(&str, &str); 16] = [
    ("variation", "/variation_id"),
    ("units", "/units"),
    ("sum_micros", "/sum_micros"),
    ("value", "/estimate/value"),
    ("unit_variance", "/estimate/unit_variance"),
    ("verdict", "/verdict"),
    ("adjusted_p_value", "/adjusted_p_value"),
    ("chance_to_beat_control", "/bayesian/chance_to_beat_control"),
    ("expected_loss_ship", "/bayesian/expected_loss_ship"),
    ("expected_loss_keep", "/bayesian/expected_loss_keep"),
    ("harm_p_value", "/harm/p_value"),
    ("over_epochs_absolute_estimate", "/over_epochs/lift/absolute/estimate"),
    ("over_epochs_absolute_lower", "/over_epochs/lift/absolute/lower"),
    ("over_epochs_absolute_upper", "/over_epochs/lift/absolute/upper"),
    ("decided_at_look", "/decided_at_look"),
    ("current_absolute_estimate", "/current_lift/absolute/estimate"),
];
const LIFTS: [&str; 3] = ["lift", "adjusted_lift", "fixed_horizon"];
const OF_EFFECT: [&str; 6] = ["estimate", "standard_error", "lower", "upper", "p_value", "unavailable"];

pub fn rows(results: &Value) -> Result<String, String> {
    let mut out = ::csv::Writer::from_writer(Vec::new());
    let fault = |e: ::csv::Error| format!("the table can't be written: {e}");
    let named = |list: &[(&str, &str)]| list.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    let paths: Vec<(String, String)> = LIFTS
        .iter()
        .flat_map(|lift| ["absolute", "relative"].map(|scale| (*lift, scale)))
        .flat_map(|(lift, scale)| {
            OF_EFFECT.map(|figure| (format!("{lift}_{scale}_{figure}"), format!("/{lift}/{scale}/{figure}")))
        })
        .collect();
    let mut header = vec!["experiment".to_owned(), "phase".to_owned(), "epoch".to_owned()];
    header.extend(named(&OF_METRIC));
    header.extend(named(&OF_ARM));
    header.extend(paths.iter().map(|(name, _)| name.clone()));
    out.write_record(&header).map_err(fault)?;
    for metric in list(results, "/metrics") {
        for arm in list(metric, "/arms") {
            let mut row = vec![
                text(results, "/experiment_id").to_owned(),
                cell(results, "/phase"),
                cell(results, "/epoch"),
            ];
            row.extend(OF_METRIC.iter().map(|(_, path)| cell(metric, path)));
            row.extend(OF_ARM.iter().map(|(_, path)| cell(arm, path)));
            row.extend(paths.iter().map(|(_, path)| cell(arm, path)));
            out.write_record(&row).map_err(fault)?;
        }
    }
    let bytes = out
        .into_inner()
        .map_err(|e| format!("the table can't be written: {e}"))?;
    String::from_utf8(bytes).map_err(|e| format!("the table is no text: {e}"))
}

/// Numbers as JSON writes them, which loses no digit; nothing for null.
fn cell(value: &Value, path: &str) -> String {
    match value.pointer(path) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::results::tests::answer;

    #[test]
    fn a_row_for_each_metric_and_variation_with_every_digit() {
        let text = rows(&answer()).unwrap();
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().unwrap().clone();
        let at = |name: &str| header.iter().position(|column| column == name).unwrap();
        let found: Vec<::csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(found.len(), 6);
        assert_eq!(&found[1][at("lift_absolute_lower")], "0.0001");
        assert_eq!(&found[0][at("lift_absolute_lower")], "");
        assert_eq!(&found[5][at("lift_absolute_unavailable")], "minimum_data");
    }
}
