//! Reads manifests with cases as NDJSON and writes the decisions as NDJSON: the core's side of the differential against the
//! oracle. One line in gives one line out. The shapes are in `tests/oracle/README.md`.

#[path = "../tests/case/mod.rs"]
#[allow(dead_code)]
mod case;

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use case::{Case, check_consistency, lists, written};
use evenhand_core::Snapshot;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Line {
    id: Value,
    manifest: String,
    #[serde(default)]
    lists: BTreeMap<String, String>,
    cases: Vec<Case>,
}

fn main() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let line: Line = serde_json::from_str(&line?)?;
        let compiled = Snapshot::compile(line.manifest.as_bytes(), &lists(&line.lists));
        let snapshot = compiled.as_ref().ok().map(|(snapshot, _)| snapshot);
        let unsupported: Vec<&str> = compiled
            .as_ref()
            .map_or_else(|_| Vec::new(), |(_, report)| report.unsupported().collect());
        let decisions: Vec<Value> = line
            .cases
            .iter()
            .map(|case| {
                let context = case.context();
                let decision = case.decide(snapshot, &context);
                if let Some(snapshot) = snapshot {
                    check_consistency(snapshot, case, &context, &decision);
                }
                written(snapshot, &decision)
            })
            .collect();
        let error = compiled.as_ref().err().map(|_| "refused");
        let answer = json!({"id": line.id, "error": error, "unsupported": unsupported, "decisions": decisions});
        serde_json::to_writer(&mut out, &answer)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}
