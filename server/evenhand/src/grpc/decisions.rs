//! Decisions as messages: what HTTP writes as JSON, field by field.

use std::collections::BTreeMap;

use evenhand_core::FlagValue;
use evenhand_core::exposure_attributes::{Carried, CarriedAttributes};
use evenhand_protocol::v1;
use prost_types::value::Kind as PropertyKind;

use crate::answering::{Assignment, EXPOSURE, Exposure};

/// The message of one.
pub fn decision(assignment: &Assignment<'_, '_>) -> v1::Decision {
    let shown = assignment.shown();
    let experiment = shown.experiment.map(str::to_owned);
    let of_experiment = experiment.is_some();
    v1::Decision {
        flag: assignment.key().to_owned(),
        variation: shown.variation.map(str::to_owned),
        value: shown.value.map(|value| v1::FlagValue {
            kind: Some(kind(value)),
        }),
        reason: reason(shown.reason),
        rule: shown.rule.map(str::to_owned),
        experiment,
        phase: shown.phase.filter(|_| of_experiment),
        epoch: shown.epoch.filter(|_| of_experiment),
        bucket: shown.bucket.map(u32::from),
        exposure: assignment.exposure().map(exposure),
        holdout_exposures: assignment.holdout_exposures().into_iter().map(exposure).collect(),
    }
}

fn kind(value: FlagValue<'_>) -> v1::flag_value::Kind {
    use v1::flag_value::Kind;
    match value {
        FlagValue::Bool(boolean) => Kind::Boolean(boolean),
        FlagValue::Text(text, _) => Kind::Text(text.to_owned()),
        FlagValue::Int(integer, _) => Kind::Integer(integer),
        FlagValue::Float(number, _) => Kind::Number(number),
        FlagValue::Json(json) => Kind::Json(json.to_owned()),
    }
}

/// The protocol's numbers are the core's, with zero kept for "none".
fn reason(reason: evenhand_core::Reason) -> i32 {
    reason as i32 + 1
}

fn exposure(exposure: Exposure<'_>) -> v1::Exposure {
    let is_user = exposure.unit == "user_id";
    let (user_id, units) = if is_user {
        (Some(exposure.id), BTreeMap::new())
    } else {
        (None, BTreeMap::from([(exposure.unit.to_owned(), exposure.id)]))
    };
    v1::Exposure {
        event_name: EXPOSURE.to_owned(),
        experiment_id: exposure.experiment.to_owned(),
        variation_id: exposure.variation.to_owned(),
        phase: exposure.phase,
        epoch: exposure.epoch,
        unit: exposure.unit.to_owned(),
        user_id,
        units,
        reason: exposure.reason.map(|reason| reason.name().to_owned()),
        properties: properties(&exposure.properties),
    }
}

fn properties(carried: &CarriedAttributes<'_>) -> Option<prost_types::Struct> {
    let property = |(name, value): (&str, Carried<'_>)| {
        let kind = match value {
            Carried::Text(text) => PropertyKind::StringValue(text.to_owned()),
            Carried::Bool(bool) => PropertyKind::BoolValue(bool),
        };
        (name.to_owned(), prost_types::Value { kind: Some(kind) })
    };
    (!carried.is_empty()).then(|| prost_types::Struct {
        fields: carried.iter().map(property).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_name_in_the_protocol() {
        for known in evenhand_core::Reason::ALL {
            let told = v1::Reason::try_from(reason(known)).unwrap();
            assert_eq!(told.as_str_name(), format!("REASON_{}", known.name()));
        }
    }
}
