//! The populations through a running server: one `GET /v1/assignments` a unit, over a few keep-alive connections.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::line::Results;
use crate::population::{Population, Populations, Tally, Unit};
use crate::vectors;

/// Connections in parallel.
const CONNECTIONS: u64 = 4;
/// Requests sent ahead on one connection before their answers are read. Below what either side's socket buffers hold.
const AHEAD: u64 = 32;
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Answer {
    manifest_version: Option<u64>,
    assignments: BTreeMap<String, Assignment>,
    #[serde(default)]
    warnings: Vec<Value>,
}

#[derive(Deserialize)]
struct Assignment {
    variation: Option<String>,
    reason: String,
    bucket: Option<u64>,
}

pub fn run(vectors: &Path, out: &Path, address: &str, key: &str) -> Result<(), String> {
    let mut results = Results::create(out)?;
    for (name, format) in vectors::index(vectors)? {
        if format == "population" {
            let file: Populations = vectors::read(vectors, &name)?;
            let lines: Result<_, String> = file.cases.iter().map(|case| population(case, address, key)).collect();
            results.file(&name, lines?)?;
        }
    }
    results.finish()
}

fn population(case: &Population, address: &str, key: &str) -> Result<Value, String> {
    let version = case.version()?;
    let blocks = thread::scope(|scope| {
        let share = case.units.div_ceil(CONNECTIONS);
        let asking: Vec<_> = (0..CONNECTIONS)
            .map(|at| (at * share, (at * share + share).min(case.units)))
            .map(|(from, to)| scope.spawn(move || block(case, version, address, key, from, to)))
            .collect();
        let join = |one: thread::ScopedJoinHandle<'_, _>| one.join().map_err(|_| "a connection's thread panicked")?;
        asking.into_iter().map(join).collect::<Result<Vec<_>, String>>()
    })?;
    let mut tally = Tally::new(case);
    for (i, decisions) in (0..).zip(blocks.into_iter().flatten()) {
        let decisions = decisions
            .iter()
            .map(|one| (one.variation.as_deref(), one.reason.as_str(), one.bucket));
        tally.unit(&Unit::number(i), decisions);
    }
    Ok(tally.line())
}

/// The decisions of units `from..to`, each in the order of the case's flags.
fn block(
    case: &Population,
    version: u64,
    address: &str,
    key: &str,
    from: u64,
    to: u64,
) -> Result<Vec<Vec<Assignment>>, String> {
    let stream = TcpStream::connect(address).map_err(|e| format!("can't connect to {address}: {e}"))?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
    let mut answers = BufReader::new(stream.try_clone().map_err(|e| e.to_string())?);
    let mut found = Vec::new();
    let mut next = from;
    while next < to {
        let until = (next + AHEAD).min(to);
        let requests: String = (next..until)
            .map(|i| {
                format!(
                    "GET {} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\r\n",
                    target(case, i)
                )
            })
            .collect();
        (&stream)
            .write_all(requests.as_bytes())
            .map_err(|e| format!("sending: {e}"))?;
        for i in next..until {
            let told = |e: String| format!("GET {}: {e}", target(case, i));
            let body = body(&mut answers).map_err(told)?;
            found.push(decisions(case, version, &body).map_err(told)?);
        }
        next = until;
    }
    Ok(found)
}

/// Texts go into `user_id`, numbers into the context, where they are numbers. Half of the units ask for all flags, the others by name: two ways through the server.
fn target(case: &Population, i: u64) -> String {
    let unit = match Unit::number(i) {
        Unit::Text(text) => format!("user_id={}", encoded(&text)),
        Unit::Integer(integer) => format!("context={}", encoded(&json!({"user_id": integer}).to_string())),
    };
    let flags = match i / 5 % 2 {
        0 => String::new(),
        _ => format!("&flags={}", encoded(&case.flags.join(","))),
    };
    format!("/v1/assignments?{unit}{flags}")
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn body(answers: &mut BufReader<TcpStream>) -> Result<Vec<u8>, String> {
    let line = |answers: &mut BufReader<TcpStream>| {
        let mut line = String::new();
        match answers.read_line(&mut line).map_err(|e| format!("reading: {e}"))? {
            0 => Err("the server closed the connection".to_owned()),
            _ => Ok(line),
        }
    };
    let status = line(answers)?;
    let mut length = None;
    loop {
        let header = line(answers)?;
        match header.trim_end().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = Some(value.trim().parse::<usize>().map_err(|e| format!("{header:?}: {e}"))?);
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; length.ok_or("the answer has no Content-Length")?];
    answers.read_exact(&mut body).map_err(|e| format!("reading: {e}"))?;
    if status.starts_with("HTTP/1.1 200 ") {
        Ok(body)
    } else {
        Err(format!("{}: {}", status.trim_end(), String::from_utf8_lossy(&body)))
    }
}

fn decisions(case: &Population, version: u64, body: &[u8]) -> Result<Vec<Assignment>, String> {
    let mut answer: Answer = serde_json::from_slice(body).map_err(|e| format!("the answer: {e}"))?;
    if answer.manifest_version != Some(version) {
        return Err(format!(
            "the server has manifest {:?}, the case {version}",
            answer.manifest_version
        ));
    }
    if !answer.warnings.is_empty() {
        return Err(format!("the server warns: {:?}", answer.warnings));
    }
    let of_flag = |flag: &String| answer.assignments.remove(flag).ok_or(format!("no answer for {flag}"));
    let found = case.flags.iter().map(of_flag).collect::<Result<_, _>>()?;
    match answer.assignments.keys().next() {
        None => Ok(found),
        Some(more) => Err(format!("an answer for {more}, which was not asked for")),
    }
}
