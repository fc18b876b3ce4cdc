//! A server's manifest made into a client's: opaque ids, hashed keys and operands, nothing that only a server may see
//! (`docs/contract/manifest.md`, "Obfuscated client manifests").
//!
//! It is obscurity, not secrecy: a short operand can be guessed, and variation values are as they are.

mod error;
#[cfg(test)]
mod tests;
mod uses;

use std::collections::{BTreeMap, BTreeSet};

pub use error::{IdKind, ObfuscateError};

use crate::digest::{SaltedHash, hex};
use crate::exposure_attributes;
use crate::wire::{
    AttributeTest, Audience, BucketTest, Expression, Flag, FlagTest, Holdout, Manifest, Obfuscation, Op, Operand,
    Require, Rule, SplitRange, UniqueMap, Variation,
};
use uses::Uses;

/// `H(text)`: the first 16 lower-case hex digits of SHA-256 of `salt ++ ":" ++ text`.
pub fn hash16(salt: &str, text: &str) -> String {
    digits(SaltedHash::new(salt).first8(text))
}

/// `H` as an integer, from its 16 lower-case hex digits: compare it with [`SaltedHash::first8`].
pub fn parse_hash16(digits: &str) -> Option<u64> {
    let bytes: &[u8; 16] = digits.as_bytes().try_into().ok()?;
    let mut value = 0u64;
    for &byte in bytes {
        let digit = match byte {
            b'0'..=b'9' => byte.wrapping_sub(b'0'),
            b'a'..=b'f' => byte.wrapping_sub(b'a').wrapping_add(10),
            _ => return None,
        };
        value = value << 4 | u64::from(digit);
    }
    Some(value)
}

fn digits(hash: u64) -> String {
    hex(&hash.to_be_bytes())
}

/// The opaque ids an environment has stored, drawn at random when each thing was made: real id → opaque id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpaqueIds {
    /// Experiments.
    pub experiments: BTreeMap<String, String>,
    /// Rules, by flag.
    pub rules: BTreeMap<String, BTreeMap<String, String>>,
    /// Variations, by flag.
    pub variations: BTreeMap<String, BTreeMap<String, String>>,
    /// Layers.
    pub layers: BTreeMap<String, String>,
    /// Segments.
    pub segments: BTreeMap<String, String>,
    /// Holdouts.
    pub holdouts: BTreeMap<String, String>,
}

/// Why a flag is not in a client's manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteReason {
    /// It was named as remote.
    Named,
    /// It has per-unit overrides.
    Overrides,
    /// It uses an id list, itself or through a segment or a holdout.
    IdList,
}

/// A client's manifest.
#[derive(Clone, Debug)]
pub struct ClientManifest {
    /// The manifest, not yet signed.
    pub manifest: Manifest,
    /// The flags that are not in it, by their real keys: the API decides those.
    pub remote: BTreeMap<String, RemoteReason>,
}

/// Makes the client's manifest.
///
/// Left out are `remote` flags, flags with per-unit overrides or id lists, everything that no remaining flag uses, and
/// every `meta` but the attributes that exposures carry. Refused is a remaining flag that depends on one left out: clients could not decide it.
pub fn obfuscate(
    server: &Manifest,
    ids: &OpaqueIds,
    salt: &str,
    remote: &BTreeSet<String>,
) -> Result<ClientManifest, ObfuscateError> {
    if server.audience == Audience::Client {
        return Err(ObfuscateError::AlreadyClient);
    }
    ids.check()?;
    let mut visible: BTreeMap<&str, (&Flag, Uses<'_>)> = BTreeMap::new();
    let mut left_out = BTreeMap::new();
    for (key, flag) in server.flags.iter() {
        let uses = Uses::of_flag(server, flag);
        let reason = if remote.contains(key) {
            Some(RemoteReason::Named)
        } else if !flag.overrides.is_empty() {
            Some(RemoteReason::Overrides)
        } else {
            uses.lists.then_some(RemoteReason::IdList)
        };
        match reason {
            Some(reason) => {
                left_out.insert(key.clone(), reason);
            }
            None => {
                visible.insert(key, (flag, uses));
            }
        }
    }
    for (key, (_, uses)) in &visible {
        if let Some(hidden) = uses.flags.iter().find(|flag| left_out.contains_key(**flag)) {
            return Err(ObfuscateError::HiddenPrerequisite {
                flag: (*key).to_owned(),
                prerequisite: (*hidden).to_owned(),
            });
        }
    }

    let writer = Writer {
        ids,
        hash: SaltedHash::new(salt),
    };
    let mut flags = UniqueMap::default();
    for (key, (flag, _)) in &visible {
        if flags.insert(writer.hash(key), writer.flag(key, flag)?).is_some() {
            return Err(ObfuscateError::HashCollision {
                flag: (*key).to_owned(),
            });
        }
    }
    let used = |of: for<'u, 'm> fn(&'u Uses<'m>) -> &'u BTreeSet<&'m str>| {
        visible
            .values()
            .flat_map(|(_, uses)| of(uses).iter().copied())
            .collect::<BTreeSet<&str>>()
    };
    let mut segments = UniqueMap::default();
    for name in used(|uses| &uses.segments) {
        if let Some(segment) = server.segments.get(name) {
            segments.insert(writer.segment(name)?, writer.expression(segment)?);
        }
    }
    let mut holdouts = UniqueMap::default();
    for name in used(|uses| &uses.holdouts) {
        if let Some(holdout) = server.holdouts.get(name) {
            let when = holdout.when.as_ref().map(|when| writer.expression(when)).transpose()?;
            holdouts.insert(
                writer.holdout(name)?,
                Holdout {
                    when,
                    ..holdout.clone()
                },
            );
        }
    }
    let mut layers = UniqueMap::default();
    for name in used(|uses| &uses.layers) {
        if let Some(layer) = server.layers.get(name) {
            layers.insert(writer.layer(name)?, layer.clone());
        }
    }
    let manifest = Manifest {
        schema: server.schema,
        environment: server.environment.clone(),
        audience: Audience::Client,
        generation: server.generation,
        version: server.version,
        issued_at_ms: server.issued_at_ms,
        flags,
        segments,
        layers,
        holdouts,
        lists: UniqueMap::default(),
        obfuscation: Some(Obfuscation { salt: salt.to_owned() }),
        meta: None,
    };
    Ok(ClientManifest {
        manifest,
        remote: left_out,
    })
}

impl OpaqueIds {
    /// Two things under one opaque id could not be told apart in events.
    fn check(&self) -> Result<(), ObfuscateError> {
        fn distinct<'a>(kind: IdKind, ids: &'a BTreeMap<String, String>) -> Result<(), ObfuscateError> {
            let mut seen: BTreeMap<&'a str, &'a str> = BTreeMap::new();
            for (id, opaque) in ids {
                if opaque.is_empty() || opaque.len() > 128 {
                    return Err(ObfuscateError::BadOpaqueId { kind, id: id.clone() });
                }
                if let Some(other) = seen.insert(opaque, id) {
                    return Err(ObfuscateError::SameOpaqueId {
                        kind,
                        ids: [other.to_owned(), id.clone()],
                        opaque: opaque.clone(),
                    });
                }
            }
            Ok(())
        }
        distinct(IdKind::Experiment, &self.experiments)?;
        distinct(IdKind::Layer, &self.layers)?;
        distinct(IdKind::Segment, &self.segments)?;
        distinct(IdKind::Holdout, &self.holdouts)?;
        self.rules.values().try_for_each(|ids| distinct(IdKind::Rule, ids))?;
        self.variations
            .values()
            .try_for_each(|ids| distinct(IdKind::Variation, ids))
    }
}

/// Rewrites parts of a manifest under their opaque ids.
struct Writer<'a> {
    ids: &'a OpaqueIds,
    hash: SaltedHash,
}

impl Writer<'_> {
    fn hash(&self, text: &str) -> String {
        digits(self.hash.first8(text))
    }

    fn segment(&self, id: &str) -> Result<String, ObfuscateError> {
        opaque(IdKind::Segment, None, Some(&self.ids.segments), id)
    }
    fn holdout(&self, id: &str) -> Result<String, ObfuscateError> {
        opaque(IdKind::Holdout, None, Some(&self.ids.holdouts), id)
    }
    fn layer(&self, id: &str) -> Result<String, ObfuscateError> {
        opaque(IdKind::Layer, None, Some(&self.ids.layers), id)
    }
    fn variation(&self, flag: &str, key: &str) -> Result<String, ObfuscateError> {
        opaque(IdKind::Variation, Some(flag), self.ids.variations.get(flag), key)
    }
    fn variations(&self, flag: &str, keys: &[String]) -> Result<Vec<String>, ObfuscateError> {
        keys.iter().map(|key| self.variation(flag, key)).collect()
    }

    fn flag(&self, key: &str, flag: &Flag) -> Result<Flag, ObfuscateError> {
        Ok(Flag {
            schema: flag.schema,
            value_type: flag.value_type,
            variations: flag
                .variations
                .iter()
                .map(|variation| {
                    Ok(Variation {
                        key: self.variation(key, &variation.key)?,
                        value: variation.value.clone(),
                    })
                })
                .collect::<Result<_, _>>()?,
            off: self.variation(key, &flag.off)?,
            default: self.variation(key, &flag.default)?,
            state: flag.state,
            overrides: UniqueMap::default(),
            rules: flag
                .rules
                .iter()
                .map(|rule| self.rule(key, rule))
                .collect::<Result<_, _>>()?,
            meta: None,
        })
    }

    fn rule(&self, flag: &str, rule: &Rule) -> Result<Rule, ObfuscateError> {
        let require = |require: &Require| {
            let variations = self.variations(&require.flag, &require.variations)?;
            Ok(Require {
                flag: self.hash(&require.flag),
                variations,
            })
        };
        let mut split = rule.split.clone();
        for SplitRange(_, _, variation) in split.iter_mut().flat_map(|split| &mut split.ranges) {
            *variation = self.variation(flag, variation)?;
        }
        Ok(Rule {
            id: opaque(IdKind::Rule, Some(flag), self.ids.rules.get(flag), &rule.id)?,
            kind: rule.kind,
            start_ms: rule.start_ms,
            end_ms: rule.end_ms,
            requires: rule.requires.iter().map(require).collect::<Result<_, _>>()?,
            holdouts: rule
                .holdouts
                .iter()
                .map(|id| self.holdout(id))
                .collect::<Result<_, _>>()?,
            when: rule.when.as_ref().map(|when| self.expression(when)).transpose()?,
            serve: rule.serve.as_ref().map(|key| self.variation(flag, key)).transpose()?,
            unit: rule.unit.clone(),
            traffic: rule.traffic.clone(),
            experiment: rule
                .experiment
                .as_ref()
                .map(|id| opaque(IdKind::Experiment, None, Some(&self.ids.experiments), id))
                .transpose()?,
            phase: rule.phase,
            epoch: rule.epoch,
            state: rule.state,
            layer: rule.layer.as_ref().map(|id| self.layer(id)).transpose()?,
            slots: rule.slots.clone(),
            sticky: rule.sticky,
            split,
            // Attributes have their names in expressions too.
            meta: rule
                .meta
                .as_ref()
                .and_then(|meta| exposure_attributes::meta(&exposure_attributes::read(meta))),
        })
    }

    fn expression(&self, expression: &Expression) -> Result<Expression, ObfuscateError> {
        let several = |list: &[Expression]| list.iter().map(|e| self.expression(e)).collect::<Result<Vec<_>, _>>();
        Ok(match expression {
            Expression::All(all) => Expression::All(several(all)?),
            Expression::Any(any) => Expression::Any(several(any)?),
            Expression::Not(not) => Expression::Not(Box::new(self.expression(not)?)),
            Expression::Attribute(test) => Expression::Attribute(self.attribute(test)),
            Expression::InBucket(BucketTest { .. }) => expression.clone(),
            // Its flags have been left out.
            Expression::InList(_) => expression.clone(),
            Expression::InSegment(segment) => Expression::InSegment(self.segment(segment)?),
            Expression::FlagIs(FlagTest { flag, variations }) => Expression::FlagIs(FlagTest {
                flag: self.hash(flag),
                variations: self.variations(flag, variations)?,
            }),
        })
    }

    /// Equality operands become hashes; the operands of other operators can't, and stay.
    fn attribute(&self, test: &AttributeTest) -> AttributeTest {
        let (op, folds) = match test.op {
            Op::StrEq => (Op::StrEqSha256, false),
            Op::StrIn => (Op::StrInSha256, false),
            Op::StrEqCi => (Op::StrEqCiSha256, true),
            Op::StrInCi => (Op::StrInCiSha256, true),
            _ => return test.clone(),
        };
        let hashed = |text: &String| {
            if folds {
                self.hash(&text.to_ascii_lowercase())
            } else {
                self.hash(text)
            }
        };
        let operand = match &test.operand {
            Operand::Text(text) => Operand::Text(hashed(text)),
            Operand::Texts(texts) => {
                // In the order of the hashes, so that the order in which they were written says nothing.
                let hashes: BTreeSet<String> = texts.iter().map(hashed).collect();
                Operand::Texts(hashes.into_iter().collect())
            }
            other => other.clone(),
        };
        AttributeTest {
            attr: test.attr.clone(),
            op,
            operand,
            over: test.over,
        }
    }
}

fn opaque(
    kind: IdKind,
    flag: Option<&str>,
    ids: Option<&BTreeMap<String, String>>,
    id: &str,
) -> Result<String, ObfuscateError> {
    ids.and_then(|ids| ids.get(id))
        .cloned()
        .ok_or_else(|| ObfuscateError::NoOpaqueId {
            kind,
            flag: flag.map(str::to_owned),
            id: id.to_owned(),
        })
}
