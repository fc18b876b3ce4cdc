//! `evenhand.v1.AssignmentService`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use axum::http::HeaderMap;
use evenhand_core::Slots;
use evenhand_core::context_json::ParsedContext;
use evenhand_core::override_token::Override;
use evenhand_manage::{KeyKind, Published};
use evenhand_protocol::v1::assignment_service_server::AssignmentService;
use evenhand_protocol::v1::{
    BatchGetRequest, BatchGetResponse, ContextDecisions, Decision, GetRequest, GetResponse, IgnoredOverride,
    StreamManifestRequest, StreamManifestResponse,
};
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status};

use super::metrics::Method;
use super::{caller, context, decisions, manifests, refusal};
use crate::answering::{Answers, MAY_ASK, MOST_FLAGS, Names, names, too_many_flags};
use crate::http::{App, Caller, HttpError, Ignored, granted};
use crate::platform::now_ms;
use crate::telemetry;

/// Contexts of one call.
const MOST_CONTEXTS: usize = 1_000;
/// Decisions of one call: some 15 MB of answer.
const MOST_DECISIONS: usize = 50_000;

/// The service.
pub struct Assignments {
    app: App,
    stop: watch::Receiver<bool>,
}

impl Assignments {
    pub fn new(app: App, stop: watch::Receiver<bool>) -> Self {
        Assignments { app, stop }
    }

    /// Counts an answer; a fault of ours costs its own call and nobody else's.
    fn answer<T>(
        &self,
        method: Method,
        headers: &HeaderMap,
        make: impl FnOnce() -> Result<T, HttpError>,
    ) -> Result<T, Status> {
        let start = Instant::now();
        let span = telemetry::call(method.path(), headers);
        let made = span.in_scope(|| catch_unwind(AssertUnwindSafe(make)));
        let answer = made
            .unwrap_or_else(|_| Err(HttpError::internal("a decision panicked")))
            .map_err(refusal::status);
        let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
        telemetry::ended(&span, code as i32 == 0);
        self.app.metrics.grpc.answered(method, code, start.elapsed());
        answer
    }
}

#[tonic::async_trait]
impl AssignmentService for Assignments {
    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let caller = caller::admit(&self.app, &request);
        let (metadata, _, message) = request.into_parts();
        let headers: &HeaderMap = metadata.as_ref();
        let answer = self.answer(Method::Get, headers, || {
            let asking = Asking::new(&self.app, caller?, headers)?;
            if message.flag.is_empty() {
                let text = "`flag` is empty: name one, or ask BatchGet for all";
                return Err(HttpError::bad_request("no_flag", text).field("flag"));
            }
            let mut parsed = context::read(message.context, &asking.names, "context")?;
            let decided = asking.decide(&mut parsed, Some(&[message.flag]));
            Ok(GetResponse {
                decision: decided.decisions.into_iter().next(),
                manifest_version: asking.version(),
                warnings: decided.warnings,
                ignored_overrides: asking.ignored,
            })
        });
        let mut response = Response::new(answer?);
        // One decision is smaller than what packing it costs.
        response.disable_compression();
        Ok(response)
    }

    async fn batch_get(&self, request: Request<BatchGetRequest>) -> Result<Response<BatchGetResponse>, Status> {
        let caller = caller::admit(&self.app, &request);
        let (metadata, _, message) = request.into_parts();
        let headers: &HeaderMap = metadata.as_ref();
        let answer = self.answer(Method::BatchGet, headers, || {
            let asking = Asking::new(&self.app, caller?, headers)?;
            let flags = (!message.flags.is_empty()).then_some(message.flags);
            asking.check_size(message.contexts.len(), flags.as_deref())?;
            let mut answers = Vec::with_capacity(message.contexts.len());
            for (index, context) in message.contexts.into_iter().enumerate() {
                let mut parsed = context::read(Some(context), &asking.names, &format!("contexts/{index}"))?;
                answers.push(asking.decide(&mut parsed, flags.as_deref()));
            }
            Ok(BatchGetResponse {
                answers,
                manifest_version: asking.version(),
                ignored_overrides: asking.ignored,
            })
        });
        answer.map(Response::new)
    }

    type StreamManifestStream = Pin<Box<dyn Stream<Item = Result<StreamManifestResponse, Status>> + Send>>;

    async fn stream_manifest(
        &self,
        request: Request<StreamManifestRequest>,
    ) -> Result<Response<Self::StreamManifestStream>, Status> {
        let opened = manifests::open(&self.app, &request, self.stop.clone()).map_err(refusal::status);
        let code = opened.as_ref().map_or_else(Status::code, |_| Code::Ok);
        self.app.metrics.grpc.opened(Method::StreamManifest, code);
        Ok(Response::new(Box::pin(opened?)))
    }
}

/// One call: who asks, and of which manifest.
struct Asking<'a> {
    app: &'a App,
    names: Names,
    published: Option<Arc<Published>>,
    granted: Vec<Override>,
    ignored: Vec<IgnoredOverride>,
}

impl<'a> Asking<'a> {
    fn new(app: &'a App, caller: Caller, headers: &HeaderMap) -> Result<Asking<'a>, HttpError> {
        caller.require(MAY_ASK)?;
        let environment = &caller.key.environment;
        let (granted, ignored) = granted(app, environment, headers);
        let told = |Ignored { code, message }| IgnoredOverride {
            code: code.to_owned(),
            message,
        };
        Ok(Asking {
            app,
            names: names(app, &caller),
            published: app.manage.current(environment),
            granted,
            ignored: ignored.into_iter().map(told).collect(),
        })
    }

    fn version(&self) -> Option<u64> {
        self.published.as_deref().map(|published| published.version)
    }

    fn check_size(&self, contexts: usize, flags: Option<&[String]>) -> Result<(), HttpError> {
        if contexts == 0 || contexts > MOST_CONTEXTS {
            let text = format!("{contexts} contexts in one call; send 1 to {MOST_CONTEXTS}");
            return Err(HttpError::bad_request("wrong_number_of_contexts", text).field("contexts"));
        }
        if flags.is_some_and(|flags| flags.len() > MOST_FLAGS) {
            return Err(too_many_flags());
        }
        let all = || self.published.as_deref().map_or(0, |p| p.snapshot.flags().len());
        let decisions = contexts.saturating_mul(flags.map_or_else(all, <[String]>::len));
        // One context may always ask for everything.
        if decisions > MOST_DECISIONS && contexts > 1 {
            let text = format!(
                "{decisions} decisions in one call; ask for at most {MOST_DECISIONS}: name the flags, or send fewer contexts"
            );
            return Err(HttpError::bad_request("too_many_decisions", text).field("contexts"));
        }
        Ok(())
    }

    fn decide(&self, parsed: &mut ParsedContext, flags: Option<&[String]>) -> ContextDecisions {
        for grant in &self.granted {
            parsed.context.set_forced(&grant.flag, &grant.variation);
        }
        let published = self.published.as_deref();
        let slots = published.map_or_else(Slots::default, |p| Slots::of(&p.snapshot, &parsed.context));
        let answers = Answers::new(published, &self.names, &slots, now_ms(), flags).noted_by(&self.app.platform);
        self.app.metrics.decisions.inc_by(answers.count() as u64);
        let mut decisions: Vec<Decision> = Vec::with_capacity(answers.count());
        telemetry::evaluation(answers.count()).in_scope(|| {
            let _: Result<(), std::convert::Infallible> = answers.try_each(|assignment| {
                decisions.push(decisions::decision(&assignment));
                Ok(())
            });
        });
        ContextDecisions {
            decisions,
            warnings: context::warnings(&parsed.unusable),
        }
    }
}

/// Who may follow manifests: a client's is public, and it fetches it.
pub const MAY_FOLLOW: &[KeyKind] = &[KeyKind::Server, KeyKind::Sidecar];
