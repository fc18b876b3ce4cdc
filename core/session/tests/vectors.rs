//! The policy as data: every timed script of `tests/vectors/session.json`, through the public API.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evenhand_core::digest::sha256_hex;
use evenhand_core::envelope::EnvelopeError;
use evenhand_core::{Audience, Context, OwnedValue, Value as Attribute};
use evenhand_session::{Action, EventCounts, Options, Session, Track, TrackValue, UpdateError};
use serde::Deserialize;
use serde_json::{Value, json};

fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/vectors")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[derive(Deserialize)]
struct File {
    manifests: Vec<String>,
    lists: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    options: Value,
    entropy: String,
    start: i64,
    steps: Vec<Value>,
}

fn entropy(hex: &str) -> [u8; 16] {
    u128::from_str_radix(hex, 16).unwrap().to_be_bytes()
}

fn options(given: &Value) -> Options {
    let mut options = Options::default();
    for (name, value) in given.as_object().unwrap() {
        match name.as_str() {
            "environment" => options.environment = value.as_str().map(str::to_owned),
            "audience" => {
                options.audience = Some(match value.as_str().unwrap() {
                    "client" => Audience::Client,
                    _ => Audience::Server,
                });
            }
            "sdk" => options.sdk = value.as_str().map(str::to_owned),
            "fetch" => options.fetch = value.as_bool().unwrap(),
            "stream" => options.stream = value.as_bool().unwrap(),
            "poll_interval_ms" => options.poll_interval_ms = value.as_u64().unwrap(),
            "dedupe_capacity" => options.dedupe_capacity = value.as_u64().unwrap(),
            "queue_max_bytes" => options.queue_max_bytes = value.as_u64().unwrap(),
            "batch_max_bytes" => options.batch_max_bytes = value.as_u64().unwrap(),
            name => options.set_number(name, value.as_u64().unwrap()).unwrap(),
        }
    }
    options
}

fn context(given: &Value) -> Context {
    let mut context = Context::new();
    for (name, value) in given.as_object().unwrap() {
        if let Some(value) = attribute(value) {
            context.set(name, value);
        }
    }
    context
}

fn attribute(given: &Value) -> Option<OwnedValue> {
    Some(match given {
        Value::Null => return None,
        Value::String(text) => text.as_str().into(),
        Value::Number(number) => number.as_f64().unwrap().into(),
        Value::Bool(bool) => (*bool).into(),
        Value::Array(items) => OwnedValue::List(items.iter().filter_map(attribute).collect()),
        Value::Object(_) => OwnedValue::Unusable,
    })
}

/// When manifests are judged: it must not show.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Judging {
    /// By the session, when they are reported.
    Inside,
    /// Ahead, with what the session knew right before.
    Ahead,
    /// Ahead, with what it knew when the script began: much has changed since.
    Stale,
}

struct Player<'a> {
    file: &'a File,
    session: Session,
    at: String,
    judging: Judging,
    began: Session,
}

impl Player<'_> {
    fn int(step: &Value, name: &str) -> i64 {
        step[name].as_i64().unwrap_or_else(|| panic!("{name} in {step}"))
    }

    fn number(step: &Value, name: &str) -> u64 {
        step[name].as_u64().unwrap_or_else(|| panic!("{name} in {step}"))
    }

    fn manifest(&self, step: &Value) -> &str {
        step["body"].as_u64().map_or("", |at| &self.file.manifests[at as usize])
    }

    fn list(&self, step: &Value) -> Vec<u8> {
        let at = step["body"].as_u64();
        at.map_or(Vec::new(), |at| STANDARD.decode(&self.file.lists[at as usize]).unwrap())
    }

    /// Plays a step; what the session answered, where it answers anything.
    fn judge_ahead(&mut self, manifest: &str) {
        let from = match self.judging {
            Judging::Inside => return,
            Judging::Ahead => &self.session,
            Judging::Stale => &self.began,
        };
        let prepared = from.preparation().judge(manifest.as_bytes());
        self.session.prepare(prepared);
    }

    fn play(&mut self, step: &Value) -> Option<Value> {
        let now = step["now"].as_i64().unwrap_or_default();
        let status = step["status"].as_u64().unwrap_or_default() as u16;
        let after = step["retry_after"].as_str();
        match step["do"].as_str().unwrap() {
            "next" => return Some(action(self.session.next(now))),
            "wakes" => return Some(json!(self.session.wakes())),
            "manifest_response" => {
                let body = self.manifest(step).to_owned();
                self.judge_ahead(&body);
                let (ticket, etag) = (Self::number(step, "ticket"), step["etag"].as_str());
                self.session
                    .manifest_response(ticket, status, etag, after, body.as_bytes(), now);
            }
            "fetch_failed" => self.session.fetch_failed(Self::number(step, "ticket"), "no route", now),
            "list_response" => {
                let body = self.list(step);
                self.session
                    .list_response(Self::number(step, "ticket"), status, after, &body, now);
            }
            "provide_list" => {
                let body = self.list(step);
                return Some(json!(self.session.provide_list(&body, now)));
            }
            "update_manifest" => {
                let body = self.manifest(step).to_owned();
                self.judge_ahead(&body);
                return Some(json!(match self.session.update_manifest(body.as_bytes(), now) {
                    Ok(updated) if updated.changed => "taken",
                    Ok(_) => "same",
                    Err(UpdateError::Envelope(EnvelopeError::Older { .. })) => "older",
                    Err(_) => "refused",
                }));
            }
            "announced" => self
                .session
                .announced(Self::number(step, "generation"), Self::number(step, "version"), now),
            "stream_response" => self
                .session
                .stream_response(Self::number(step, "ticket"), status, after, now),
            "stream_bytes" => {
                let text = step["text"].as_str().unwrap();
                self.session
                    .stream_bytes(Self::number(step, "ticket"), text.as_bytes(), now);
            }
            "stream_closed" => self.session.stream_closed(Self::number(step, "ticket"), now),
            "expose" => return Some(self.expose(step, now)),
            "track" => return Some(self.track(step, now)),
            "batch_response" => {
                let body = step["body"].as_str().unwrap();
                self.session
                    .batch_response(Self::number(step, "batch_id"), status, after, body.as_bytes(), now);
            }
            "batch_failed" => self
                .session
                .batch_failed(Self::number(step, "batch_id"), "no route", now),
            "flush" => {
                self.session.flush(now);
            }
            "shutdown" => self.session.shutdown(now, Self::int(step, "deadline")),
            "reseed" => self.session.reseed(entropy(step["entropy"].as_str().unwrap()), now),
            "spool" => return Some(json!(String::from_utf8(self.session.spool()).unwrap())),
            "restore" => {
                let spool = step["spool"].as_str().unwrap().as_bytes();
                let restored = self
                    .session
                    .restore(spool, entropy(step["entropy"].as_str().unwrap()), now);
                return Some(json!([restored.manifest, restored.events]));
            }
            "telemetry" => return Some(self.telemetry(now)),
            "diagnostics" => return Some(self.diagnostics()),
            unknown => panic!("{}: no step is called {unknown}", self.at),
        }
        None
    }

    fn expose(&mut self, step: &Value, now: i64) -> Value {
        let snapshot = self.session.snapshot().unwrap();
        let context = context(&step["context"]);
        let flag = snapshot.flag(step["flag"].as_str().unwrap()).unwrap();
        let packed = snapshot.evaluate_packed(flag, &context, now);
        let exposed = self.session.expose(&snapshot, flag, packed, &context, now);
        json!([exposed.queued, exposed.deduped, exposed.without_unit])
    }

    fn track(&mut self, step: &Value, now: i64) -> Value {
        let units: Vec<(&str, Attribute<'_>)> = step["units"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, id)| (name.as_str(), Attribute::Str(id.as_str().unwrap())))
            .collect();
        let properties = (!step["properties"].is_null()).then(|| step["properties"].to_string());
        let tracked = self.session.track(
            &Track {
                name: step["name"].as_str().unwrap(),
                units: &units,
                value: step["value"].as_str().map(TrackValue::Decimal),
                properties: properties.as_deref(),
                timestamp_ms: step["timestamp"].as_i64(),
            },
            now,
        );
        match tracked {
            Ok(id) => json!({"event_id": id.to_string()}),
            Err(error) => json!({"error": error.code.as_str()}),
        }
    }

    fn telemetry(&mut self, now: i64) -> Value {
        let seen = self.session.telemetry(now);
        json!({
            "exposures": counts(&seen.exposures), "events": counts(&seen.events), "exposures_deduped": seen.exposures_deduped,
            "exposures_without_unit": seen.exposures_without_unit, "track_errors": seen.track_errors, "batches_sent": seen.batches_sent,
            "batches_failed": seen.batches_failed, "manifest_fetches": seen.manifest_fetches, "manifest_confirmations": seen.manifest_confirmations,
            "manifest_failures": seen.manifest_failures, "manifest_refusals": seen.manifest_refusals, "snapshots": seen.snapshots,
            "held_events": seen.held_events, "held_bytes": seen.held_bytes, "dedupe_entries": seen.dedupe_entries,
            "manifest": seen.manifest.map(|(generation, version)| [generation, version]), "manifest_age_ms": seen.manifest_age_ms,
            "stale": seen.stale, "streaming": seen.streaming, "lists_held": seen.lists_held, "lists_missing": seen.lists_missing,
        })
    }

    /// Runs of the same code: messages are not the contract's.
    fn diagnostics(&mut self) -> Value {
        let mut runs: Vec<(&str, u32)> = Vec::new();
        for diagnostic in self.session.take_diagnostics() {
            match runs.last_mut() {
                Some((code, times)) if *code == diagnostic.code.as_str() => *times += diagnostic.times,
                _ => runs.push((diagnostic.code.as_str(), diagnostic.times)),
            }
        }
        json!(runs)
    }
}

fn counts(seen: &EventCounts) -> Value {
    json!({"queued": seen.queued, "restored": seen.restored, "sent": seen.sent, "rejected": seen.rejected, "refused": seen.refused,
           "dropped": seen.dropped, "disowned": seen.disowned})
}

fn action(action: Action) -> Value {
    match action {
        Action::Wait { until_ms } => json!({"action": "wait", "until": until_ms}),
        Action::FetchManifest { ticket, etag } => json!({"action": "fetch_manifest", "ticket": ticket, "etag": etag}),
        Action::FetchList { ticket, sha256 } => json!({"action": "fetch_list", "ticket": ticket, "sha256": sha256}),
        Action::OpenStream {
            ticket, last_event_id, ..
        } => json!({"action": "open_stream", "ticket": ticket, "last_event_id": last_event_id}),
        Action::SendEvents { batch_id, body, .. } => {
            json!({"action": "send_events", "batch_id": batch_id, "body": String::from_utf8(body).unwrap()})
        }
        Action::Done => json!({"action": "done"}),
    }
}

#[test]
fn every_script_goes_as_the_model_says() {
    let text = file("session.json");
    let index: Value = serde_json::from_str(&file("index.json")).unwrap();
    let entry = &index["files"]["session.json"];
    assert_eq!(
        json!(sha256_hex(text.as_bytes())),
        entry["sha256"],
        "session.json is not the file the index lists"
    );
    let file: File = serde_json::from_str(&text).unwrap();
    assert_eq!(json!(file.cases.len()), entry["cases"]);
    let mut wrong = Vec::new();
    let every = [Judging::Inside, Judging::Ahead, Judging::Stale];
    for (case, judging) in file.cases.iter().flat_map(|case| every.map(|judging| (case, judging))) {
        let session = || Session::new(options(&case.options), entropy(&case.entropy), case.start);
        let mut player = Player {
            file: &file,
            session: session(),
            at: case.name.clone(),
            judging,
            began: session(),
        };
        for (number, step) in case.steps.iter().enumerate() {
            let found = player.play(step);
            let expected = step.get("expect").cloned();
            if found != expected {
                let shown = |value: &Option<Value>| value.as_ref().map_or("nothing".into(), Value::to_string);
                wrong.push(format!(
                    "{} ({judging:?}), step {number}, {}:\n  expected {}\n  found    {}",
                    case.name,
                    step["do"],
                    shown(&expected),
                    shown(&found)
                ));
                break;
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} scripts differ\n{}",
        wrong.len(),
        file.cases.len(),
        wrong.iter().take(8).map(String::as_str).collect::<Vec<_>>().join("\n")
    );
}
