//! The tables that packed decisions of a flag are read with: names and values, written out once per snapshot and flag.

use evenhand_core::{FlagId, Packed, Reason, Snapshot};
use serde::Serialize;

#[derive(Serialize)]
pub struct FlagTables<'a> {
    #[serde(rename = "type")]
    value_type: Option<&'static str>,
    variations: Vec<Variation<'a>>,
    rules: Vec<Rule<'a>>,
    /// Indices of the attributes that the flag can ask for.
    attributes: Vec<u32>,
}

#[derive(Serialize)]
struct Variation<'a> {
    key: &'a str,
    /// The RFC 8785 text.
    value: &'a str,
}

#[derive(Serialize)]
struct Rule<'a> {
    id: &'a str,
    experiment: Option<&'a str>,
    phase: Option<u32>,
    epoch: Option<u32>,
    holdouts: Vec<Holdout<'a>>,
}

#[derive(Serialize)]
struct Holdout<'a> {
    holdout: &'a str,
    unit: &'a str,
}

/// Asks the snapshot to read every packed decision that the flag's parts can occur in.
pub fn of(snapshot: &Snapshot, flag: FlagId) -> FlagTables<'_> {
    let variations = (0..u8::MAX).map_while(|at| {
        let decision = snapshot.decision(flag, Packed::variation(at, Reason::Default));
        Some(Variation {
            key: decision.variation?,
            value: decision.value?.json(),
        })
    });
    // The packed form numbers rules with 12 bits, of which 0 says none.
    let rules = (0..0xfff).map_while(|at| {
        let packed = Packed::variation(0, Reason::Targeted)
            .with_rule(at)
            .with_exposed_holdouts(0xff);
        let decision = snapshot.decision(flag, packed);
        let holdouts = snapshot.holdout_exposures(flag, packed);
        Some(Rule {
            id: decision.rule?,
            experiment: decision.experiment,
            phase: decision.phase,
            epoch: decision.epoch,
            holdouts: holdouts
                .map(|exposure| Holdout {
                    holdout: exposure.holdout,
                    unit: exposure.unit,
                })
                .collect(),
        })
    });
    let info = snapshot.flags().nth(flag.index());
    FlagTables {
        value_type: info.and_then(|info| info.value_type).map(crate::snapshot::type_name),
        variations: variations.collect(),
        rules: rules.collect(),
        attributes: snapshot.attributes_of(flag),
    }
}
