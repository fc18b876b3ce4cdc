//! A record of the log to rows.

use std::collections::BTreeSet;

use evenhand_clickhouse::UnitEventRow;
use evenhand_core::event::{Event, USER_ID};
use evenhand_kafka::{UnitKey as RecordKey, UnitValue};
use evenhand_pipeline::process::{UnitKey, canonical_properties};

use crate::source::Record;

/// What a range of records says.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// The rows, in the order of the log.
    pub rows: Vec<UnitEventRow>,
    /// Units to recompute, by environment.
    pub touched: BTreeSet<(String, UnitKey)>,
    /// Records that can't be read: their place, and why.
    pub unreadable: Vec<(usize, String)>,
}

pub(crate) fn decode(partition: u32, records: &[Record]) -> Decoded {
    let mut all = Decoded::default();
    for (place, record) in records.iter().enumerate() {
        match one(partition, record) {
            Ok(Said::Row(row)) => all.rows.push(*row),
            Ok(Said::Touch(environment, unit)) => {
                all.touched.insert((environment, unit));
            }
            Err(reason) => all.unreadable.push((place, reason)),
        }
    }
    all
}

enum Said {
    Row(Box<UnitEventRow>),
    Touch(String, UnitKey),
}

fn one(partition: u32, record: &Record) -> Result<Said, String> {
    let key = RecordKey::decode(&record.key).ok_or("the key is not an environment, a unit type and an id")?;
    let unit = UnitKey::of(&key.unit_type, &key.id);
    let event_record = match UnitValue::parse(&record.value).map_err(|error| error.to_string())? {
        UnitValue::Touch => return Ok(Said::Touch(key.environment, unit)),
        UnitValue::Event(event) => event,
    };
    if event_record.environment != key.environment {
        return Err("key and value name different environments".into());
    }
    let event = Event::parse_stored(event_record.canonical.as_bytes()).map_err(|error| error.to_string())?;
    if event.units.get(&key.unit_type) != Some(&key.id) {
        return Err("the event does not carry the unit of its key".into());
    }
    let lead = event
        .units
        .get_key_value(USER_ID)
        .or_else(|| event.units.first_key_value())
        .map_or(unit, |(unit_type, id)| UnitKey::of(unit_type, id));
    let properties = canonical_properties(&event).map_err(|error| error.to_string())?;
    let is_exposure = event.is_exposure() && event.unit == key.unit_type;
    let of_exposure = |text: &Option<String>| text.clone().filter(|_| is_exposure).unwrap_or_default();
    Ok(Said::Row(Box::new(UnitEventRow {
        environment: key.environment,
        unit: unit.0,
        time: event_record.time_ms,
        event_id: *event.event_id.as_bytes(),
        digest: event_record.digest,
        partition,
        version: UnitEventRow::version_of(record.offset),
        experiment: of_exposure(&event.experiment_id),
        variation: of_exposure(&event.variation_id),
        overridden: u8::from(is_exposure && event.is_overridden()),
        event_name: event.event_name,
        unit_type: key.unit_type,
        key_kind: event_record.key_kind.code(),
        key_id: event_record.key_id.into_owned(),
        received_at: event_record.received_at_ms,
        phase: event.phase,
        epoch: event.epoch,
        value: event.value.map(|value| value.0),
        properties: properties.unwrap_or_default(),
        lead: lead.0,
        body: if unit == lead {
            event_record.canonical.to_owned()
        } else {
            String::new()
        },
    })))
}
