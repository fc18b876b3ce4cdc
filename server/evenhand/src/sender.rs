//! Batches of events over HTTP, with patience for a server that is busy: what `events import` and the demo send with.

use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::cli::connect::{agent, answer, unreachable_server};

/// Events a request; a tenth of the server's limit keeps requests short and the bar moving.
pub const BATCH: usize = 500;
/// Rejected events that are shown one by one.
const SHOWN: u64 = 20;

/// Sends events in batches over HTTP and keeps count of what became of them.
pub struct Sender {
    agent: ureq::Agent,
    url: String,
    key: String,
    pub accepted: u64,
    pub rejected: u64,
}

impl Sender {
    /// To the ingestion route of this server, as an import (no age limit) with a server key.
    pub fn new(server: &str, key: &str) -> Sender {
        let url = format!("{}/v1/events?import=true", server.trim_end_matches('/'));
        Sender {
            agent: agent(),
            url,
            key: key.to_owned(),
            accepted: 0,
            rejected: 0,
        }
    }

    /// Sends and empties the batch. `first_row` is where it began in its file, for the messages.
    pub fn send(&mut self, first_row: u64, events: &mut Vec<Value>, bar: &ProgressBar) -> Result<(), String> {
        if events.is_empty() {
            return Ok(());
        }
        let body = json!({ "events": std::mem::take(events) });
        // 503 and 429 say when to come back; a bounded number of patient tries keeps an import of hours alive.
        for attempt in 0..60 {
            let response = self
                .agent
                .post(&self.url)
                .header("Authorization", format!("Bearer {}", self.key))
                .send_json(&body)
                .map_err(|e| unreachable_server(&self.url, e))?;
            let status = response.status().as_u16();
            if matches!(status, 429 | 503) && attempt < 59 {
                let wait = response
                    .headers()
                    .get("retry-after")
                    .and_then(|v| v.to_str().ok())
                    .and_then(|v| v.parse().ok());
                std::thread::sleep(std::time::Duration::from_secs(wait.unwrap_or(1)));
                continue;
            }
            let said = answer(response, "import")?;
            self.accepted += said.get("accepted").and_then(Value::as_u64).unwrap_or(0);
            for rejected in said.get("rejected").and_then(Value::as_array).into_iter().flatten() {
                self.rejected += 1;
                let index = rejected.get("index").and_then(Value::as_u64).unwrap_or(0);
                let text = |name| rejected.get(name).and_then(Value::as_str).unwrap_or("");
                let field = match text("field") {
                    "" => String::new(),
                    field => format!(" {field}:"),
                };
                // Not through the bar itself: where there is no terminal it is hidden, and so would these be.
                bar.suspend(|| match self.rejected {
                    ..=SHOWN => eprintln!(
                        "row {}:{field} {} ({})",
                        first_row + index,
                        text("message"),
                        text("code")
                    ),
                    n if n == SHOWN + 1 => eprintln!("… further rejected rows are counted, not shown"),
                    _ => {}
                });
            }
            return Ok(());
        }
        Err("the server stayed overloaded for a minute; run the import again later, what was sent is kept".to_owned())
    }
}
