//! Do events come, and in time? Both as one process sees it since it started: what it decided, what it received.

use evenhand_stats::{EXPOSURE_LOSS_MIN_UNITS, exposure_loss};
use serde::Serialize;
use utoipa::ToSchema;

use super::health::{Finding, of_verdict};
use crate::delays::Delays;

/// Fewer events of a kind than this say nothing of their delays.
pub const LATE_MIN_EVENTS: u64 = 100;
/// A greater share over an hour late is a warning.
pub const LATE_WARNING: f64 = 0.05;

/// What a node knows of how events come in.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// Units decided against exposures received.
    pub exposure_loss: ExposureLossHealth,
    /// Delays.
    pub late_events: LateEventsHealth,
}

/// Nothing is known.
impl Default for Arrival {
    fn default() -> Self {
        let (units, events) = (SampledUnits::default(), Delays::default());
        Self {
            exposure_loss: lost_exposures(units, units, None),
            late_events: late_events(0, &events, &events),
        }
    }
}

/// Units that this node decided, through its HTTP and gRPC routes, and of which no exposure is stored.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ExposureLossHealth {
    /// Warning: surely (99 %) more than 2 % are lost. Failure: 20 % or more of those asked for by name. Unknown: fewer than 100 units to look at.
    pub finding: Finding,
    /// Sampled units, decided so long ago that their exposure should be here (600 s unless `exposures_due_s` says otherwise).
    pub decided_sampled: u64,
    /// Those of them with an exposure of this experiment and phase.
    pub received: u64,
    /// The share of the others.
    pub share_lost: Option<f64>,
    /// Since when units are sampled, milliseconds since 1970: at most two days back, and no further than the start of this process. Null: this node has decided nothing in this phase.
    pub since_ms: Option<i64>,
    /// Of those looked at, the units for which the experiment's flag was asked by name. (What an answer of all flags holds need not be shown.)
    pub by_name: SampledUnits,
}

/// Sampled units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct SampledUnits {
    /// How many.
    pub decided: u64,
    /// Those of them with an exposure.
    pub received: u64,
}

/// How late events came to this node (receipt less effective time), imports left out. Of an environment: events of all experiments.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LateEventsHealth {
    /// Warning: of exposures, or of all other events, more than 5 % were over an hour late, so days that seem over will still change. Unknown: fewer than 100 of each.
    pub finding: Finding,
    /// Since when is counted: the start of this process, milliseconds since 1970.
    pub since_ms: i64,
    /// Events acknowledged, repeated ones each time.
    pub accepted: u64,
    /// Of them, more than a minute late.
    pub over_a_minute: u64,
    /// More than an hour late.
    pub over_an_hour: u64,
    /// More than a day late.
    pub over_a_day: u64,
    /// The same of exposures alone.
    pub exposures: LateEvents,
}

/// Events by how late they came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LateEvents {
    /// Events acknowledged.
    pub accepted: u64,
    /// Of them, more than a minute late.
    pub over_a_minute: u64,
    /// More than an hour late.
    pub over_an_hour: u64,
    /// More than a day late.
    pub over_a_day: u64,
}

impl From<&Delays> for LateEvents {
    fn from(delays: &Delays) -> Self {
        let [over_a_minute, over_an_hour, over_a_day] = delays.over;
        Self {
            accepted: delays.accepted,
            over_a_minute,
            over_an_hour,
            over_a_day,
        }
    }
}

/// Judges delays.
#[must_use]
pub fn late_events(since_ms: i64, exposures: &Delays, others: &Delays) -> LateEventsHealth {
    let (exposures, others) = (LateEvents::from(exposures), LateEvents::from(others));
    let judged = |events: &LateEvents| {
        if events.accepted < LATE_MIN_EVENTS {
            Finding::Unknown
        } else if events.over_an_hour as f64 > events.accepted as f64 * LATE_WARNING {
            Finding::Warning
        } else {
            Finding::Healthy
        }
    };
    LateEventsHealth {
        finding: judged(&exposures).max(judged(&others)),
        since_ms,
        accepted: exposures.accepted + others.accepted,
        over_a_minute: exposures.over_a_minute + others.over_a_minute,
        over_an_hour: exposures.over_an_hour + others.over_an_hour,
        over_a_day: exposures.over_a_day + others.over_a_day,
        exposures,
    }
}

/// Judges a sample of decided units, asked for by name or listed among all; `since_ms` as in [`ExposureLossHealth`].
#[must_use]
pub fn lost_exposures(by_name: SampledUnits, listed: SampledUnits, since_ms: Option<i64>) -> ExposureLossHealth {
    let judged = |units: SampledUnits| {
        let judged = exposure_loss(units.decided, units.received).ok();
        judged.map_or(Finding::Unknown, |judged| of_verdict(judged.verdict))
    };
    let (decided, received) = (by_name.decided + listed.decided, by_name.received + listed.received);
    let all = SampledUnits { decided, received };
    ExposureLossHealth {
        finding: judged(by_name).max(judged(all).min(Finding::Warning)),
        decided_sampled: decided,
        received,
        share_lost: (decided > 0).then(|| decided.saturating_sub(received) as f64 / decided as f64),
        since_ms,
        by_name,
    }
}

/// The descriptions above say so.
const _: () = assert!(EXPOSURE_LOSS_MIN_UNITS == 100 && LATE_MIN_EVENTS == 100);
