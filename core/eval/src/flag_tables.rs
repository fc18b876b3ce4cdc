//! The tables that packed decisions of a flag are read with: names and values, written out once per snapshot and flag, for hosts that
//! let only the packed number cross.

use serde::Serialize;

use crate::packed::Packed;
use crate::reason::Reason;
use crate::snapshot::{FlagId, Snapshot};
use crate::wire::FlagType;

/// What a flag's packed decisions are read with (`docs/contract/evaluation.md`, "The packed form").
#[derive(Clone, Debug, Serialize)]
pub struct FlagTables<'a> {
    /// The type of the values; none when the flag did not compile and that could not be read.
    #[serde(rename = "type")]
    pub value_type: Option<FlagType>,
    /// The variations, by their number in the packed form.
    pub variations: Vec<VariationTable<'a>>,
    /// The rules: the packed form's rule less one is the place in here.
    pub rules: Vec<RuleTable<'a>>,
    /// Indices, in [`Snapshot::attributes`], of the attributes that the flag can ask for.
    pub attributes: Vec<u32>,
}

/// A variation.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct VariationTable<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its value as RFC 8785 text.
    pub value: &'a str,
}

/// A rule.
#[derive(Clone, Debug, Serialize)]
pub struct RuleTable<'a> {
    /// Its id.
    pub id: &'a str,
    /// The experiment it belongs to, or none.
    pub experiment: Option<&'a str>,
    /// The experiment's phase.
    pub phase: Option<u32>,
    /// The epoch inside the phase.
    pub epoch: Option<u32>,
    /// The holdouts, in the order of the packed form's bits.
    pub holdouts: Vec<HoldoutTable<'a>>,
}

/// A holdout of a rule.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct HoldoutTable<'a> {
    /// Its id.
    pub holdout: &'a str,
    /// The attribute that gives its unit id.
    pub unit: &'a str,
}

impl Snapshot {
    /// The tables of a flag: each packed decision that its parts can occur in is asked what it means.
    pub fn flag_tables(&self, flag: FlagId) -> FlagTables<'_> {
        let variations = (0..u8::MAX).map_while(|at| {
            let decision = self.decision(flag, Packed::variation(at, Reason::Default));
            Some(VariationTable {
                key: decision.variation?,
                value: decision.value?.json(),
            })
        });
        // The packed form numbers rules with 12 bits, of which 0 says none.
        let rules = (0..0xfff).map_while(|at| {
            let packed = Packed::variation(0, Reason::Targeted)
                .with_rule(at)
                .with_exposed_holdouts(0xff);
            let decision = self.decision(flag, packed);
            let holdouts = self.holdout_exposures(flag, packed);
            Some(RuleTable {
                id: decision.rule?,
                experiment: decision.experiment,
                phase: decision.phase,
                epoch: decision.epoch,
                holdouts: holdouts
                    .map(|exposure| HoldoutTable {
                        holdout: exposure.holdout,
                        unit: exposure.unit,
                    })
                    .collect(),
            })
        });
        let info = self.flags().nth(flag.index());
        FlagTables {
            value_type: info.and_then(|info| info.value_type),
            variations: variations.collect(),
            rules: rules.collect(),
            attributes: self.attributes_of(flag),
        }
    }
}
