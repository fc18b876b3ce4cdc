//! A record of a Flink job to a row. The shape is that of deploy/flink/README.md.

use evenhand_clickhouse::UnitValueRow;
use evenhand_core::event::PropertyValue;
use evenhand_kafka::ValueRecord;
use evenhand_pipeline::{
    KeyKind,
    process::{
        aggregate::Standing,
        cut::{self, Cut},
    },
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Key {
    environment: String,
    experiment: String,
    phase: u32,
    epoch: u32,
    metric: String,
    unit: String,
}

#[derive(Deserialize)]
struct Value {
    variation: Option<String>,
    key_kind: KeyKind,
    standing: Stands,
    value: i64,
    pair: i64,
    unit_type: String,
    /// Records of a job of before have neither.
    #[serde(default)]
    exposed_at: i64,
    #[serde(default)]
    dimensions: Option<String>,
}

/// What a job writes as text: the names of a phase's dimensions, and of each what the exposure said of it, in a list of its own.
#[derive(Deserialize)]
struct Dimensions {
    names: Vec<String>,
    values: Vec<Vec<serde_json::Value>>,
}

/// What a unit that counts can be cut to: by what its exposure said, and of a metric by the band of its value.
fn counted(metric: &str, value: &Value) -> Result<Vec<String>, String> {
    let mut all = value.dimensions.as_deref().map_or_else(|| Ok(Vec::new()), cuts)?;
    if !metric.is_empty() {
        all.push(Cut::band_of(value.value).text().into_owned());
    }
    Ok(all)
}

/// The cuts, by the rule of `evenhand process`.
fn cuts(text: &str) -> Result<Vec<String>, String> {
    let said: Dimensions = serde_json::from_str(text).map_err(|e| format!("the dimensions: {e}"))?;
    let mut cuts = Vec::new();
    for (name, values) in said.names.iter().zip(&said.values) {
        for value in values {
            let value =
                PropertyValue::try_from(value.to_string().as_str()).map_err(|e| format!("the dimensions: {e}"))?;
            cuts.extend(cut::value(&value).map(|value| cut::text(name, value)));
        }
    }
    Ok(cuts)
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stands {
    Counted,
    Multiple,
    Overridden,
}

/// The row; the error says what is wrong with the record.
pub(super) fn row(topic: &str, record: &ValueRecord) -> Result<UnitValueRow, String> {
    let key: Key = serde_json::from_slice(&record.key).map_err(|e| format!("the key: {e}"))?;
    let number = |name: &str| format!("the {name} is negative");
    let row = UnitValueRow {
        environment: key.environment,
        experiment: key.experiment,
        phase: key.phase,
        metric: key.metric,
        epoch: key.epoch,
        unit: key.unit,
        variation: String::new(),
        key_kind: 0,
        standing: 0,
        value: 0,
        pair: 0,
        unit_type: String::new(),
        exposed_at: 0,
        cuts: Vec::new(),
        topic: topic.to_owned(),
        partition: u32::try_from(record.partition).map_err(|_| number("partition"))?,
        version: u64::try_from(record.offset).map_err(|_| number("offset"))?,
        gone: 1,
    };
    let Some(value) = &record.value else {
        return Ok(row);
    };
    let value: Value = serde_json::from_slice(value).map_err(|e| format!("the value: {e}"))?;
    let standing = match value.standing {
        Stands::Counted => Standing::Counted,
        Stands::Multiple => Standing::Multiple,
        Stands::Overridden => Standing::Overridden,
    };
    let cuts = match standing {
        Standing::Counted => counted(&row.metric, &value)?,
        Standing::Multiple | Standing::Overridden => Vec::new(),
    };
    let variation = match standing {
        Standing::Counted => value.variation.ok_or("a unit that is counted has no variation")?,
        _ => String::new(),
    };
    Ok(UnitValueRow {
        variation,
        key_kind: value.key_kind.code(),
        standing: standing.code(),
        value: value.value,
        pair: value.pair,
        unit_type: value.unit_type,
        exposed_at: value.exposed_at,
        cuts,
        gone: 0,
        ..row
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: Option<&str>) -> ValueRecord {
        ValueRecord {
            partition: 2,
            offset: 7,
            time_ms: 0,
            key: br#"{"environment":"production","experiment":"e","phase":1,"epoch":3,"metric":"","unit":"u"}"#
                .to_vec(),
            value: value.map(|text| text.as_bytes().to_vec()),
        }
    }

    #[test]
    fn what_a_unit_can_be_cut_to() {
        let value = |dimensions: &str| {
            format!(
                r#"{{"variation":"a","key_kind":"client","standing":"counted","value":300,"pair":0,"unit_type":"user_id","exposed_at":7,"dimensions":{dimensions}}}"#
            )
        };
        let said = r#""{\"names\":[\"country\",\"beta\",\"age\"],\"values\":[[\"SE\"],[true],[7],[],[]]}""#;
        let mut of_metric = record(Some(&value(said)));
        let row = row("t", &of_metric).unwrap();
        assert_eq!(
            (row.exposed_at, row.cuts),
            (7, vec!["country=SE".to_owned(), "beta=true".to_owned()])
        );
        of_metric.key =
            br#"{"environment":"production","experiment":"e","phase":1,"epoch":3,"metric":"m","unit":"u"}"#.to_vec();
        of_metric.value = Some(value("null").into_bytes());
        // 300 is 100101100 in binary: the last three digits are cut off.
        assert_eq!(super::row("t", &of_metric).unwrap().cuts, ["$band=296"]);
        assert!(super::row("t", &record(Some(&value(r#""[]""#)))).is_err());
    }

    #[test]
    fn records_are_read_as_documented() {
        let counted = r#"{"variation":"a","key_kind":"client","standing":"counted","value":-5,"pair":9223372036854775807,"unit_type":"user_id"}"#;
        let row = row("t", &record(Some(counted))).unwrap();
        assert_eq!(
            (row.variation.as_str(), row.key_kind, row.standing, row.value, row.pair),
            ("a", 1, 0, -5, i64::MAX)
        );
        assert_eq!((row.epoch, row.partition, row.version, row.gone), (3, 2, 7, 0));
        let back = super::row("t", &record(None)).unwrap();
        assert_eq!((back.unit.as_str(), back.version, back.gone), ("u", 7, 1));
        let two = counted.replace("counted", "multiple").replace("\"a\"", "null");
        assert_eq!(super::row("t", &record(Some(&two))).unwrap().standing, 1);
        for wrong in [
            "?",
            "{}",
            &two.replace("multiple", "counted"),
            &two.replace("multiple", "lost"),
        ] {
            assert!(super::row("t", &record(Some(wrong))).is_err(), "{wrong}");
        }
    }
}
