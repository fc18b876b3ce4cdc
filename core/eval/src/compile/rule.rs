//! A rule: which fields its kind has, its draws, its guards.

use super::builder::{Builder, append, index};
use super::expression::{self, MAX_INTEGER};
use super::fault::{Problem, Under};
use super::flag::VariationKeys;
use super::parts::{Parts, Uses};
use crate::bucket::PreparedSalt;
use crate::compiled::{Draw, FlagVariations, NONE, Nodes, Range, Rule, RuleNames, Span, Split, SplitRange};
use crate::wire::{self, ExperimentState};

/// The most holdouts of a rule.
const MAX_HOLDOUTS: usize = 8;
/// The longest id of a rule or an experiment.
const MAX_ID_BYTES: usize = 128;
/// The most variations of a split.
const MAX_SPLIT_VARIATIONS: usize = 100;
/// Phases and epochs lie below this.
const PHASE_LIMIT: u64 = 1 << 31;

pub(super) fn compile(
    builder: &mut Builder,
    parts: &Parts,
    uses: &mut Uses,
    keys: &VariationKeys<'_>,
    rule: &wire::Rule,
) -> Result<(Rule, RuleNames), Problem> {
    check_fields(rule)?;
    check_id(&rule.id).under("id")?;
    let (start_ms, end_ms) = schedule(rule)?;
    // Units first: every drawn rule asks for its unit, and early attributes lie close together in a context.
    let unit = match &rule.unit {
        Some(unit) => builder.attribute(unit).under("unit")?,
        None => NONE,
    };
    let mut salts = Salts::default();
    let requires = requires(builder, parts, uses, rule).under("requires")?;
    let holdouts = holdouts(builder, parts, uses, &mut salts, rule).under("holdouts")?;
    let when = match &rule.when {
        Some(when) => expression::compile(builder, parts, uses, when).under("when")?,
        None => Nodes::default(),
    };
    let mut compiled = Rule {
        when,
        kind: rule.kind,
        state: rule.state.unwrap_or(ExperimentState::Running),
        sticky: rule.sticky == Some(true),
        scheduled: rule.start_ms.is_some() || rule.end_ms.is_some(),
        in_layer: rule.layer.is_some(),
        serve: 0,
        unit,
        layer: nobody(),
        traffic: nobody(),
        split: Split {
            salt: PreparedSalt::new(""),
            ranges: Span::default(),
        },
        requires,
        holdouts,
        start_ms,
        end_ms,
    };
    let mut names = RuleNames {
        id: builder.text(&rule.id),
        experiment: Span::default(),
        phase: 0,
        epoch: 0,
        layer: Span::default(),
    };
    if let Some(serve) = &rule.serve {
        compiled.serve = keys.index(serve).under("serve")?;
    }
    if let Some(layer_id) = &rule.layer {
        let layer = parts.layer(layer_id).under("layer")?;
        if layer.unit != compiled.unit {
            return Err(Problem::new(
                format!("the layer `{layer_id}` has another unit than the rule"),
                "give both the same unit, or take the rule out of the layer",
            )
            .under("layer"));
        }
        salts.add(&layer.salt_text).under("layer")?;
        compiled.layer = builder
            .draw(layer.salt, rule.slots.as_deref().unwrap_or_default())
            .under("slots")?;
        names.layer = builder.text(layer_id);
    }
    if let Some(traffic) = &rule.traffic {
        salts.add(&traffic.salt).under("salt").under("traffic")?;
        let salt = Builder::salt(&traffic.salt).under("traffic")?;
        compiled.traffic = builder.draw(salt, &traffic.ranges).under("ranges").under("traffic")?;
    }
    if let Some(split) = &rule.split {
        salts.add(&split.salt).under("salt").under("split")?;
        let salt = Builder::salt(&split.salt).under("split")?;
        compiled.split = Split {
            salt,
            ranges: split_ranges(builder, keys, split).under("ranges").under("split")?,
        };
    }
    if let Some(experiment) = &rule.experiment {
        check_id(experiment).under("experiment")?;
        names.experiment = builder.text(experiment);
        names.phase = phase(rule.phase.unwrap_or(1)).under("phase")?;
        names.epoch = phase(rule.epoch.unwrap_or(1)).under("epoch")?;
    }
    Ok((compiled, names))
}

fn nobody() -> Draw {
    Draw {
        salt: PreparedSalt::new(""),
        first: Range::EMPTY,
        more: Span::default(),
    }
}

/// Which fields a kind needs, may have, and does not have.
fn check_fields(rule: &wire::Rule) -> Result<(), Problem> {
    let fields = [
        ("serve", rule.serve.is_some(), rule.kind.has("serve")),
        ("unit", rule.unit.is_some(), rule.kind.has("unit")),
        ("traffic", rule.traffic.is_some(), rule.kind.has("traffic")),
        ("experiment", rule.experiment.is_some(), rule.kind.has("experiment")),
        ("phase", rule.phase.is_some(), rule.kind.has("phase")),
        ("split", rule.split.is_some(), rule.kind.has("split")),
        ("epoch", rule.epoch.is_some(), false),
        ("state", rule.state.is_some(), false),
        ("sticky", rule.sticky.is_some(), false),
        ("layer", rule.layer.is_some(), rule.slots.is_some()),
        ("slots", rule.slots.is_some(), rule.layer.is_some()),
    ];
    for (field, there, needed) in fields {
        if there && !rule.kind.has(field) {
            return Err(Problem::new(
                format!("`{field}` in a rule of this kind"),
                "remove it, or change the rule's `kind`",
            )
            .under(field));
        }
        if needed && !there {
            return Err(Problem::new(
                format!("the rule has no `{field}`"),
                format!("add `{field}` as docs/contract/manifest.md describes it"),
            ));
        }
    }
    Ok(())
}

fn check_id(id: &str) -> Result<(), Problem> {
    if (1..=MAX_ID_BYTES).contains(&id.len()) {
        return Ok(());
    }
    Err(Problem::new(
        format!("an id of {} bytes", id.len()),
        format!("use 1 to {MAX_ID_BYTES} bytes"),
    ))
}

fn schedule(rule: &wire::Rule) -> Result<(i64, i64), Problem> {
    for (field, instant) in [("start_ms", rule.start_ms), ("end_ms", rule.end_ms)] {
        if instant.is_some_and(|instant| instant.unsigned_abs() > MAX_INTEGER.unsigned_abs()) {
            return Err(Problem::new(
                "an instant out of range",
                format!("write milliseconds since 1970 within ±{MAX_INTEGER}"),
            )
            .under(field));
        }
    }
    match (rule.start_ms, rule.end_ms) {
        (Some(start), Some(end)) if start >= end => {
            Err(Problem::new("the rule ends before it starts", "let `start_ms` be less than `end_ms`").under("end_ms"))
        }
        // A missing end must hold at every `now`, i64::MAX included: `scheduled` and the evaluator see to that.
        (start, end) => Ok((start.unwrap_or(i64::MIN), end.unwrap_or(i64::MAX))),
    }
}

fn phase(number: u64) -> Result<u32, Problem> {
    let number = u32::try_from(number)
        .ok()
        .filter(|number| (1..PHASE_LIMIT).contains(&u64::from(*number)));
    number.ok_or_else(|| Problem::new("a number out of range", "use an integer from 1 to 2147483647"))
}

fn requires(builder: &mut Builder, parts: &Parts, uses: &mut Uses, rule: &wire::Rule) -> Result<Span, Problem> {
    let start = builder.tables.requires.len();
    for (at, require) in rule.requires.iter().enumerate() {
        let flag = parts
            .flag_reference(builder, &require.flag, &require.variations)
            .under(at)?;
        uses.require(builder.tables.requires.len(), flag, &require.variations);
        builder.tables.requires.push(FlagVariations {
            flag,
            variations: Span::default(),
        });
    }
    Ok(Span {
        at: index(start),
        len: index(rule.requires.len()),
    })
}

fn holdouts(
    builder: &mut Builder,
    parts: &Parts,
    uses: &mut Uses,
    salts: &mut Salts,
    rule: &wire::Rule,
) -> Result<Span, Problem> {
    if rule.holdouts.len() > MAX_HOLDOUTS {
        return Err(Problem::new(
            format!("{} holdouts", rule.holdouts.len()),
            format!("use at most {MAX_HOLDOUTS} in a rule"),
        ));
    }
    let mut found = Vec::with_capacity(rule.holdouts.len());
    for (at, id) in rule.holdouts.iter().enumerate() {
        let holdout = parts.holdout(id).under(at)?;
        salts.add(parts.holdout_salt(holdout)).under(at)?;
        uses.cost = uses.cost.saturating_add(1);
        uses.holdouts.push(holdout);
        found.push(holdout);
    }
    Ok(append(&mut builder.tables.rule_holdouts, found))
}

fn split_ranges(builder: &mut Builder, keys: &VariationKeys<'_>, split: &wire::Split) -> Result<Span, Problem> {
    if split.ranges.is_empty() {
        return Err(Problem::new(
            "a split without ranges",
            "give at least one variation a range",
        ));
    }
    let ranges = Builder::check_ranges(split.ranges.iter().map(|range| (range.0, range.1)))?;
    let mut named = [false; 256];
    let mut compiled = Vec::with_capacity(ranges.len());
    for (at, (range, wire::SplitRange(_, _, key))) in ranges.into_iter().zip(&split.ranges).enumerate() {
        let variation = keys.index(key).under(2usize).under(at)?;
        if let Some(named) = named.get_mut(usize::from(variation)) {
            *named = true;
        }
        compiled.push(SplitRange { range, variation });
    }
    let count = named.iter().filter(|named| **named).count();
    if count > MAX_SPLIT_VARIATIONS {
        return Err(Problem::new(
            format!("a split among {count} variations"),
            format!("use at most {MAX_SPLIT_VARIATIONS}"),
        ));
    }
    Ok(append(&mut builder.tables.splits, compiled))
}

/// The salts of one rule: no two draws may share one.
#[derive(Default)]
struct Salts(Vec<String>);

impl Salts {
    fn add(&mut self, salt: &str) -> Result<(), Problem> {
        if self.0.iter().any(|other| other == salt) {
            return Err(Problem::new(
                format!("the salt {salt:?} serves two draws of the rule"),
                "give each draw its own salt, or the draws depend on each other",
            ));
        }
        self.0.push(salt.to_owned());
        Ok(())
    }
}
