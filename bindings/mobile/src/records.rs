//! What crosses as a whole: records and enumerations, on every way in the same.

use std::collections::HashMap;

use evenhand_core::{FlagTables, FlagType, StickyRecord};
use evenhand_session::{Action, Diagnostic, EventCounts as Counted, Level, Telemetry};

/// What manifests must be.
#[derive(Debug, Default, uniffi::Record)]
pub struct EngineSettings {
    /// Public keys by id, base64url; none: bare manifests are accepted.
    pub keys: HashMap<String, String>,
    /// The environment's id; none: as the first manifest is.
    pub environment: Option<String>,
    /// `server` or `client`; none: as the first manifest is.
    pub audience: Option<String>,
}

/// What an application may choose for a session.
#[derive(Debug, Default, uniffi::Record)]
pub struct SessionSettings {
    /// What manifests must be.
    pub engine: EngineSettings,
    /// Name and version of the SDK, written into each event.
    pub sdk: String,
    /// Whether the session asks for manifests.
    pub fetch: bool,
    /// Whether the host can hold a stream of announcements open.
    pub stream: bool,
    /// The numbers among the options (docs/contract/session.md, "Options"), by their names there.
    pub numbers: HashMap<String, u64>,
}

/// What the host is to do.
#[derive(Debug, uniffi::Enum)]
pub enum NextAction {
    /// Nothing until then (milliseconds since 1970), a report, or `wakes`.
    Wait {
        /// Until when.
        until_ms: i64,
    },
    /// `GET /v1/manifest/KEY`.
    FetchManifest {
        /// Names the action in the report.
        ticket: u64,
        /// For `If-None-Match`.
        etag: Option<String>,
    },
    /// `GET /v1/lists/SHA256`.
    FetchList {
        /// Names the action in the report.
        ticket: u64,
        /// The list.
        sha256: String,
    },
    /// `GET /v1/manifest/stream`.
    OpenStream {
        /// Names the action in the report.
        ticket: u64,
        /// For `Last-Event-ID`.
        last_event_id: Option<String>,
        /// How long silence may last.
        idle_timeout_ms: i64,
    },
    /// `POST /v1/events`.
    SendEvents {
        /// Names the action in the report.
        ticket: u64,
        /// For `Content-Type`.
        content_type: String,
        /// The body.
        body: Vec<u8>,
        /// How many events are in it.
        events: u64,
    },
    /// Nothing any more.
    Done,
}

impl From<Action> for NextAction {
    fn from(action: Action) -> Self {
        match action {
            Action::Wait { until_ms } => Self::Wait { until_ms },
            Action::FetchManifest { ticket, etag } => Self::FetchManifest { ticket, etag },
            Action::FetchList { ticket, sha256 } => Self::FetchList { ticket, sha256 },
            Action::OpenStream {
                ticket,
                last_event_id,
                idle_timeout_ms,
            } => Self::OpenStream {
                ticket,
                last_event_id,
                idle_timeout_ms,
            },
            Action::SendEvents {
                batch_id,
                body,
                content_type,
                events,
            } => Self::SendEvents {
                ticket: batch_id,
                content_type: content_type.to_owned(),
                body,
                events: events as u64,
            },
            Action::Done => Self::Done,
        }
    }
}

/// The type of a flag's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum ValueType {
    /// `true` or `false`.
    Bool,
    /// Text.
    String,
    /// A whole number within ±(2^53 − 1).
    Int,
    /// A double.
    Float,
    /// Any JSON.
    Json,
}

impl From<FlagType> for ValueType {
    fn from(value_type: FlagType) -> Self {
        match value_type {
            FlagType::Bool => Self::Bool,
            FlagType::String => Self::String,
            FlagType::Int => Self::Int,
            FlagType::Float => Self::Float,
            FlagType::Json => Self::Json,
        }
    }
}

/// What a snapshot says about itself.
#[derive(Debug, uniffi::Record)]
pub struct SnapshotInfo {
    /// The environment's id.
    pub environment: String,
    /// The manifest's generation.
    pub generation: u64,
    /// The manifest's version.
    pub version: u64,
    /// When it was published, in milliseconds since 1970.
    pub issued_at_ms: i64,
    /// The attributes that its rules ask for, by their index in records.
    pub attributes: Vec<String>,
    /// Its flags, by their index.
    pub flags: Vec<FlagRow>,
}

/// A flag, as a snapshot lists it.
#[derive(Debug, uniffi::Record)]
pub struct FlagRow {
    /// Its key in the manifest (hashed in an obfuscated one).
    pub key: String,
    /// The type of its values; none when it did not compile and that could not be read.
    pub value_type: Option<ValueType>,
}

/// What a flag's packed decisions are read with (docs/contract/evaluation.md, "The packed form").
#[derive(Debug, uniffi::Record)]
pub struct FlagTablesRow {
    /// The type of the values.
    pub value_type: Option<ValueType>,
    /// The variations, by their number in the packed form.
    pub variations: Vec<VariationRow>,
    /// The rules: the packed form's rule less one is the place in here.
    pub rules: Vec<RuleRow>,
    /// Indices of the attributes that the flag can ask for.
    pub attributes: Vec<u32>,
}

/// A variation.
#[derive(Debug, uniffi::Record)]
pub struct VariationRow {
    /// Its key.
    pub key: String,
    /// Its value as RFC 8785 text.
    pub value_json: String,
}

/// A rule.
#[derive(Debug, uniffi::Record)]
pub struct RuleRow {
    /// Its id.
    pub id: String,
    /// The experiment it belongs to.
    pub experiment: Option<String>,
    /// The experiment's phase.
    pub phase: Option<u32>,
    /// The epoch inside the phase.
    pub epoch: Option<u32>,
    /// The holdouts, in the order of the packed form's bits.
    pub holdouts: Vec<HoldoutRow>,
}

/// A holdout of a rule.
#[derive(Debug, uniffi::Record)]
pub struct HoldoutRow {
    /// Its id.
    pub holdout: String,
    /// The attribute that gives its unit id.
    pub unit: String,
}

impl From<FlagTables<'_>> for FlagTablesRow {
    fn from(tables: FlagTables<'_>) -> Self {
        let variations = tables.variations.iter().map(|variation| VariationRow {
            key: variation.key.to_owned(),
            value_json: variation.value.to_owned(),
        });
        let rules = tables.rules.iter().map(|rule| RuleRow {
            id: rule.id.to_owned(),
            experiment: rule.experiment.map(str::to_owned),
            phase: rule.phase,
            epoch: rule.epoch,
            holdouts: rule
                .holdouts
                .iter()
                .map(|of| HoldoutRow {
                    holdout: of.holdout.to_owned(),
                    unit: of.unit.to_owned(),
                })
                .collect(),
        });
        Self {
            value_type: tables.value_type.map(Into::into),
            variations: variations.collect(),
            rules: rules.collect(),
            attributes: tables.attributes,
        }
    }
}

/// An assignment that a host keeps, or has kept.
#[derive(Debug, uniffi::Record)]
pub struct StickyRow {
    /// The experiment's id.
    pub experiment: String,
    /// The experiment's phase.
    pub phase: u32,
    /// The unit id, as text.
    pub unit: String,
    /// The variation's key.
    pub variation: String,
}

impl From<StickyRecord> for StickyRow {
    fn from(record: StickyRecord) -> Self {
        Self {
            experiment: record.experiment,
            phase: record.phase,
            unit: record.unit,
            variation: record.variation,
        }
    }
}

impl From<StickyRow> for StickyRecord {
    fn from(row: StickyRow) -> Self {
        Self {
            experiment: row.experiment,
            phase: row.phase,
            unit: row.unit,
            variation: row.variation,
        }
    }
}

/// A variation that is forced: by a test, or by a verified override token.
#[derive(Debug, uniffi::Record)]
pub struct ForcedRow {
    /// The flag's key.
    pub flag: String,
    /// The variation's key.
    pub variation: String,
}

/// A unit of a tracked event: exactly one of the two, or neither for a value that is no unit id.
#[derive(Debug, uniffi::Record)]
pub struct TrackedUnit {
    /// The unit type: the attribute's name.
    pub name: String,
    /// Its id, where it is a text.
    pub text: Option<String>,
    /// Its id, where it is a number.
    pub number: Option<f64>,
}

/// What happened. `decimal` and `number` are the event's own number: at most one of the two.
#[derive(Debug, uniffi::Record)]
pub struct TrackedEvent {
    /// The event's name.
    pub name: String,
    /// To whom.
    pub units: Vec<TrackedUnit>,
    /// Exact, as decimal text with at most 6 digits behind the point.
    pub decimal: Option<String>,
    /// As a double.
    pub number: Option<f64>,
    /// A JSON object.
    pub properties: Option<String>,
    /// When it happened, in milliseconds since 1970; now where there is none.
    pub timestamp_ms: Option<i64>,
}

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, uniffi::Enum)]
pub enum DiagnosticLevel {
    /// For whoever looks closely.
    Info,
    /// Something was put off, or lost and counted.
    Warn,
    /// Somebody has to do something.
    Error,
}

/// One thing to tell the application's logger.
#[derive(Debug, uniffi::Record)]
pub struct DiagnosticRow {
    /// When it happened last, in milliseconds since 1970.
    pub at_ms: i64,
    /// How much it matters.
    pub level: DiagnosticLevel,
    /// A stable name (docs/contract/session.md, "Diagnostics").
    pub code: String,
    /// What, where, and how to mend it.
    pub text: String,
    /// How often it happened in a row.
    pub times: u32,
}

impl From<Diagnostic> for DiagnosticRow {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            at_ms: diagnostic.at_ms,
            level: match diagnostic.level() {
                Level::Info => DiagnosticLevel::Info,
                Level::Warn => DiagnosticLevel::Warn,
                Level::Error => DiagnosticLevel::Error,
            },
            code: diagnostic.code.as_str().to_owned(),
            text: diagnostic.message,
            times: diagnostic.times,
        }
    }
}

/// What became of events of one kind: `queued + restored = sent + rejected + refused + dropped + disowned +` those still held.
#[derive(Debug, uniffi::Record)]
pub struct EventCounts {
    /// Accepted into the queue.
    pub queued: u64,
    /// Taken from a spool.
    pub restored: u64,
    /// Taken by the server.
    pub sent: u64,
    /// Rejected by the server, one by one.
    pub rejected: u64,
    /// Dropped because the server could not read even a batch of this one event.
    pub refused: u64,
    /// Dropped because the queue was full.
    pub dropped: u64,
    /// Left to the parent process after a fork.
    pub disowned: u64,
}

impl From<Counted> for EventCounts {
    fn from(counts: Counted) -> Self {
        Self {
            queued: counts.queued,
            restored: counts.restored,
            sent: counts.sent,
            rejected: counts.rejected,
            refused: counts.refused,
            dropped: counts.dropped,
            disowned: counts.disowned,
        }
    }
}

/// The session in numbers. Counters begin at 0 with the session.
#[derive(Debug, uniffi::Record)]
pub struct TelemetryRow {
    /// Evaluations the host has reported.
    pub evaluations: u64,
    /// Exposures, holdouts' included.
    pub exposures: EventCounts,
    /// Exposures not queued because the same one was lately.
    pub exposures_deduped: u64,
    /// Exposures not queued because the context has no unit id to expose.
    pub exposures_without_unit: u64,
    /// Tracked events.
    pub events: EventCounts,
    /// Calls of track that were refused.
    pub track_errors: u64,
    /// Events waiting or under way.
    pub held_events: u64,
    /// Their bytes of JSON.
    pub held_bytes: u64,
    /// Exposures remembered.
    pub dedupe_entries: u64,
    /// Batches the server took.
    pub batches_sent: u64,
    /// Batches that were not delivered.
    pub batches_failed: u64,
    /// Manifest fetches begun.
    pub manifest_fetches: u64,
    /// Fetches that brought a manifest, the same or a new one, or a 304.
    pub manifest_confirmations: u64,
    /// Fetches without a usable answer.
    pub manifest_failures: u64,
    /// Manifests refused, from whatever source.
    pub manifest_refusals: u64,
    /// Snapshots made.
    pub snapshots: u64,
    /// Generation of the manifest in use.
    pub manifest_generation: Option<u64>,
    /// Version of the manifest in use.
    pub manifest_version: Option<u64>,
    /// When the manifest in use was published, in milliseconds since 1970.
    pub manifest_issued_at_ms: Option<i64>,
    /// Milliseconds since the server last confirmed the manifest.
    pub manifest_age_ms: Option<i64>,
    /// Whether the server has not confirmed it for `stale_after_ms`.
    pub stale: bool,
    /// Whether the stream is open.
    pub streaming: bool,
    /// Id lists the manifest names and the session holds.
    pub lists_held: u64,
    /// Id lists the manifest names and the session lacks.
    pub lists_missing: u64,
    /// Diagnostics lost because nobody took them.
    pub diagnostics_lost: u64,
    /// The last diagnostic above `info`.
    pub last_error: Option<DiagnosticRow>,
}

impl From<Telemetry> for TelemetryRow {
    fn from(telemetry: Telemetry) -> Self {
        Self {
            evaluations: telemetry.evaluations,
            exposures: telemetry.exposures.into(),
            exposures_deduped: telemetry.exposures_deduped,
            exposures_without_unit: telemetry.exposures_without_unit,
            events: telemetry.events.into(),
            track_errors: telemetry.track_errors,
            held_events: telemetry.held_events,
            held_bytes: telemetry.held_bytes,
            dedupe_entries: telemetry.dedupe_entries,
            batches_sent: telemetry.batches_sent,
            batches_failed: telemetry.batches_failed,
            manifest_fetches: telemetry.manifest_fetches,
            manifest_confirmations: telemetry.manifest_confirmations,
            manifest_failures: telemetry.manifest_failures,
            manifest_refusals: telemetry.manifest_refusals,
            snapshots: telemetry.snapshots,
            manifest_generation: telemetry.manifest.map(|(generation, _)| generation),
            manifest_version: telemetry.manifest.map(|(_, version)| version),
            manifest_issued_at_ms: telemetry.manifest_issued_at_ms,
            manifest_age_ms: telemetry.manifest_age_ms,
            stale: telemetry.stale,
            streaming: telemetry.streaming,
            lists_held: telemetry.lists_held,
            lists_missing: telemetry.lists_missing,
            diagnostics_lost: telemetry.diagnostics_lost,
            last_error: telemetry.last_error.map(Into::into),
        }
    }
}

/// What a verified token grants.
#[derive(Debug, uniffi::Record)]
pub struct VerifiedOverride {
    /// The flag's key.
    pub flag: String,
    /// The variation that is forced.
    pub variation: String,
    /// Until when, in milliseconds since 1970.
    pub expires_at_ms: i64,
}

/// Where a unit falls under a salt.
#[derive(Debug, uniffi::Record)]
pub struct BucketRow {
    /// The whole hash.
    pub h: u32,
    /// 0 to 9999: the hash in ten-thousandths.
    pub basis_point: u16,
    /// 0 to 9999: the layer's slot.
    pub slot: u16,
}
