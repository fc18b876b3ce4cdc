//! The Evenhand SDK as a state machine, without I/O: when to fetch a manifest, which exposures to send, in which batches, when to
//! try again. Every SDK is a thin loop around it, so each policy stands here, once. Pure: no clock, thread, I/O or
//! randomness; the host hands in the time with each call, and 16 random bytes at construction, after a fork and with a spool. The
//! rules in words are `docs/contract/session.md`; `tests/vectors/session.json` proves them.
//!
//! The loop of a host: ask [`Session::next`], do it, report, ask again; on [`Action::Wait`] sleep until then, or until
//! [`Session::wakes`] says that something came up. Evaluation is no part of it: it needs the [`Session::snapshot`] alone.
//!
//! ```
//! use evenhand_core::{Context, Value};
//! use evenhand_session::{Action, Options, Session, Track};
//!
//! let mut session = Session::new(Options::default(), [7; 16], 1_000);
//! let Action::FetchManifest { ticket, .. } = session.next(1_000) else { panic!("first of all a manifest") };
//! let manifest = br#"{"schema":1,"environment":"e","audience":"server","generation":1,"version":1,"issued_at_ms":0,"flags":{
//!   "greeting":{"type":"string","off":"plain","default":"plain","variations":[{"key":"plain","value":"Hello"},{"key":"warm","value":"Hi"}],
//!   "rules":[{"id":"r","kind":"experiment","experiment":"greetings","phase":1,"unit":"user_id",
//!     "traffic":{"hash":"murmur3_32","salt":"t","ranges":[[0,4294967296]]},
//!     "split":{"hash":"murmur3_32","salt":"s","ranges":[[0,2147483648,"plain"],[2147483648,4294967296,"warm"]]}}]}}}"#;
//! session.manifest_response(ticket, 200, Some("\"tag\""), None, manifest, 1_050);
//!
//! let snapshot = session.snapshot().expect("the manifest is right");
//! let context = Context::new().with("user_id", "user-42");
//! let flag = snapshot.flag("greeting").expect("it is in the manifest");
//! let packed = snapshot.evaluate_packed(flag, &context, 1_060);
//! assert_eq!(session.expose(&snapshot, flag, packed, &context, 1_060).queued, 1);
//! assert_eq!(session.expose(&snapshot, flag, packed, &context, 1_061).deduped, 1);
//! session.track(&Track::new("purchase", &[("user_id", Value::Str("user-42"))]), 1_070).expect("a good event");
//!
//! session.flush(1_080);
//! let Action::SendEvents { batch_id, events, .. } = session.next(1_080) else { panic!("a flush was asked for") };
//! assert_eq!(events, 2);
//! session.batch_response(batch_id, 202, None, br#"{"accepted":2,"rejected":[]}"#, 1_120);
//! assert_eq!(session.telemetry(1_120).exposures.sent, 1);
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod action;
mod answer;
mod clock;
mod dedupe;
mod delivery;
mod diagnostics;
mod event_ids;
mod exposure;
mod fetching;
mod jitter;
mod judging;
mod lists;
mod manifests;
mod options;
mod queue;
mod session;
mod spool;
mod sse;
mod stream;
mod telemetry;
mod track;

pub use action::Action;
pub use diagnostics::{Code, Diagnostic, Level, MAX_DIAGNOSTICS};
pub use exposure::Exposed;
pub use judging::{Preparation, Prepared};
pub use manifests::{UpdateError, Updated};
pub use options::{NumberOption, OptionError, Options};
pub use session::Session;
pub use spool::Restored;
pub use telemetry::{EventCounts, Telemetry};
pub use track::{Track, TrackValue};
