//! A flag: its variations, its overrides, its rules.

use std::collections::BTreeSet;

use hashbrown::HashTable;

use super::builder::{Builder, append, index};
use super::fault::{Problem, Under};
use super::parts::{Parts, Uses};
use super::rule;
use crate::compiled::{Flag, OverrideUnit, Span, Status, Variation, VariationValue, table_hash};
use crate::wire::place;
use crate::wire::{self, FlagState, FlagType, Json, UniqueMap};

/// The most variations of a flag.
const MAX_VARIATIONS: usize = 250;
/// The most rules of a flag.
const MAX_RULES: usize = 1_000;
/// The most unit ids a flag overrides.
const MAX_OVERRIDES: usize = 10_000;
/// The longest JSON value, in RFC 8785 form.
const MAX_JSON_BYTES: usize = 65_536;
/// The longest key of a flag or a variation.
const MAX_KEY_BYTES: usize = 256;

/// The keys of a flag's variations, sorted, each with its index.
pub(super) struct VariationKeys<'f>(Vec<(&'f str, u8)>);

impl VariationKeys<'_> {
    /// The index of a variation.
    pub fn index(&self, key: &str) -> Result<u8, Problem> {
        let at = self.0.binary_search_by(|(other, _)| (*other).cmp(key)).ok();
        let found = at.and_then(|at| self.0.get(at)).map(|(_, index)| *index);
        found.ok_or_else(|| Problem::unknown("variation", key))
    }
}

/// Checks a flag's key.
pub(super) fn check_key(key: &str) -> Result<(), Problem> {
    if (1..=MAX_KEY_BYTES).contains(&key.len()) && !key.starts_with('$') {
        return Ok(());
    }
    Err(Problem::new(
        "the flag's key",
        format!("give it a key of 1 to {MAX_KEY_BYTES} bytes that does not begin with $"),
    ))
}

/// Compiles a flag, and says what it refers to.
pub(super) fn compile(
    builder: &mut Builder,
    parts: &Parts,
    key: Span,
    flag: &wire::Flag,
) -> Result<(Flag, Uses), Problem> {
    if flag.schema.is_some_and(|schema| schema != 1) {
        return Err(Problem::new(
            "a schema this version does not know",
            "publish the flag with schema 1, or update this program",
        )
        .under("schema"));
    }
    let (variations, keys) = variations(builder, flag.value_type, &flag.variations).under("variations")?;
    let off = keys.index(&flag.off).under("off")?;
    let default = keys.index(&flag.default).under("default")?;
    let overrides = overrides(builder, &flag.overrides, &keys).under("overrides")?;
    if flag.rules.len() > MAX_RULES {
        return Err(Problem::new(
            format!("{} rules", flag.rules.len()),
            format!("use at most {MAX_RULES}"),
        )
        .under("rules"));
    }
    let mut uses = Uses::default();
    let start = builder.tables.rules.len();
    let mut ids = BTreeSet::new();
    for (at, rule) in flag.rules.iter().enumerate() {
        if !ids.insert(rule.id.as_str()) {
            return Err(Problem::new(
                format!("a second rule `{}`", rule.id),
                "give each rule of the flag its own id",
            )
            .under("id")
            .under(at)
            .under("rules"));
        }
        let (compiled, names) = rule::compile(builder, parts, &mut uses, &keys, rule)
            .under(at)
            .under("rules")?;
        if let Some(meta) = &rule.meta {
            builder.exposure_attributes(meta);
        }
        builder.tables.rules.push(compiled);
        builder.tables.rule_names.push(names);
    }
    let rules = Span {
        at: index(start),
        len: index(flag.rules.len()),
    };
    let status = match flag.state {
        FlagState::Live => Status::Live,
        FlagState::Killed => Status::Killed,
        FlagState::Archived => Status::Archived,
    };
    Ok((
        Flag {
            rules,
            status,
            off,
            default,
            value_type: flag.value_type,
            overrides,
            variations,
            key,
        },
        uses,
    ))
}

/// What can be served of a flag that did not compile: `off`, when `type`, `variations` and `off` can be read by themselves.
pub(super) fn salvage(builder: &mut Builder, key: Span, text: &str) -> Flag {
    readable(builder, key, text).unwrap_or(Flag {
        rules: Span::default(),
        status: Status::Unreadable,
        off: 0,
        default: 0,
        value_type: FlagType::Json,
        overrides: Span::default(),
        variations: Span::default(),
        key,
    })
}

fn readable(builder: &mut Builder, key: Span, text: &str) -> Option<Flag> {
    let members = place::members(text);
    // Once, or it is not known which one is meant.
    let once = |wanted: &str| {
        let mut found = members
            .iter()
            .filter(|(name, _)| name == wanted)
            .map(|(_, value)| *value);
        found.next().filter(|_| found.next().is_none())
    };
    let value_type: FlagType = serde_json::from_str(once("type")?).ok()?;
    let wire: Vec<wire::Variation> = serde_json::from_str(once("variations")?).ok()?;
    let off: String = serde_json::from_str(once("off")?).ok()?;
    let (variations, keys) = variations(builder, value_type, &wire).ok()?;
    let off = keys.index(&off).ok()?;
    Some(Flag {
        rules: Span::default(),
        status: Status::Unsupported,
        off,
        default: off,
        value_type,
        overrides: Span::default(),
        variations,
        key,
    })
}

fn variations<'f>(
    builder: &mut Builder,
    value_type: FlagType,
    variations: &'f [wire::Variation],
) -> Result<(Span, VariationKeys<'f>), Problem> {
    if !(1..=MAX_VARIATIONS).contains(&variations.len()) {
        return Err(Problem::new(
            format!("{} variations", variations.len()),
            format!("give a flag 1 to {MAX_VARIATIONS}"),
        ));
    }
    let mut keys: Vec<(&str, u8)> = Vec::with_capacity(variations.len());
    let mut compiled = Vec::with_capacity(variations.len());
    for (at, variation) in variations.iter().enumerate() {
        if !(1..=MAX_KEY_BYTES).contains(&variation.key.len()) {
            return Err(Problem::new(
                "the variation's key",
                format!("give it a key of 1 to {MAX_KEY_BYTES} bytes"),
            )
            .under("key")
            .under(at));
        }
        // At most 250: the index fits.
        keys.push((&variation.key, at as u8));
        let value = value(builder, value_type, &variation.value).under("value").under(at)?;
        compiled.push(Variation {
            key: builder.text(&variation.key),
            value,
        });
    }
    keys.sort_unstable();
    if let Some(((key, _), (_, at))) = keys.iter().zip(keys.iter().skip(1)).find(|((a, _), (b, _))| a == b) {
        return Err(
            Problem::new(format!("a second variation `{key}`"), "give each variation its own key")
                .under("key")
                .under(usize::from(*at)),
        );
    }
    Ok((append(&mut builder.tables.variations, compiled), VariationKeys(keys)))
}

fn value(builder: &mut Builder, value_type: FlagType, json: &Json) -> Result<VariationValue, Problem> {
    use serde_json::Value;
    let mismatch = |is: &str| {
        Problem::new(
            format!("a value that is not {is}"),
            "give every variation a value of the flag's type",
        )
    };
    Ok(match (value_type, &json.0) {
        (FlagType::Bool, Value::Bool(bool)) => VariationValue::Bool(*bool),
        (FlagType::String, Value::String(text)) => {
            VariationValue::Text(builder.text(text), builder.text(&json.canonical()))
        }
        (FlagType::Int, Value::Number(number)) => {
            let number = number
                .as_f64()
                .filter(|number| number.fract() == 0.0 && number.abs() <= crate::unit::MAX_UNIT_INTEGER);
            // Exact: integral and within ±(2^53 - 1).
            let integer = number.ok_or_else(|| mismatch("an integer within ±9007199254740991"))? as i64;
            VariationValue::Int(integer, builder.text(&json.canonical()))
        }
        (FlagType::Float, Value::Number(number)) => {
            let number = number.as_f64().ok_or_else(|| mismatch("a finite number"))?;
            VariationValue::Float(number, builder.text(&json.canonical()))
        }
        (FlagType::Json, _) => {
            let text = json.canonical();
            if text.len() > MAX_JSON_BYTES {
                return Err(Problem::new(
                    format!("a value of {} bytes", text.len()),
                    format!("keep it within {MAX_JSON_BYTES} bytes"),
                ));
            }
            VariationValue::Json(builder.text(&text))
        }
        (FlagType::Bool, _) => return Err(mismatch("true or false")),
        (FlagType::String, _) => return Err(mismatch("a string")),
        (FlagType::Int, _) => return Err(mismatch("an integer")),
        (FlagType::Float, _) => return Err(mismatch("a number")),
    })
}

fn overrides(
    builder: &mut Builder,
    overrides: &UniqueMap<UniqueMap<String>>,
    keys: &VariationKeys<'_>,
) -> Result<Span, Problem> {
    let count: usize = overrides.values().map(|units| units.len()).sum();
    if count > MAX_OVERRIDES {
        return Err(Problem::new(
            format!("{count} overrides"),
            format!("override at most {MAX_OVERRIDES} units in a flag; target a segment or an id list instead"),
        ));
    }
    let mut compiled = Vec::new();
    // A BTreeMap iterates in ascending byte order of the unit types: the order of the contract.
    for (unit_type, units) in overrides.iter() {
        let unit = builder.attribute(unit_type).under(unit_type.as_str())?;
        let mut table = HashTable::with_capacity(units.len());
        for (unit_id, variation) in units.iter() {
            let variation = keys
                .index(variation)
                .under(unit_id.as_str())
                .under(unit_type.as_str())?;
            let span = builder.text(unit_id);
            let text = builder.tables.text.as_bytes();
            table.insert_unique(
                table_hash(unit_id.as_bytes()),
                (span, variation),
                |(span, _): &(Span, u8)| table_hash(span.of(text)),
            );
        }
        compiled.push(OverrideUnit { unit, units: table });
    }
    Ok(append(&mut builder.tables.override_units, compiled))
}
