//! All files of the index, each through the code of its format.

use std::fs;
use std::path::Path;

use evenhand_core::bucket;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::line::Results;
use crate::{decisions, deliveries, population};

/// Name and format of each file, in the order of the index.
pub fn index(vectors: &Path) -> Result<Vec<(String, String)>, String> {
    let index: Value = read(vectors, "index.json")?;
    let files = index["files"].as_object().ok_or("index.json has no `files`")?;
    let format = |entry: &Value| entry["format"].as_str().unwrap_or_default().to_owned();
    let listed = files.iter().map(|(name, entry)| (name.clone(), format(entry)));
    // serde_json may sort members, and the differ reads the files in the index's own order.
    let text = fs::read_to_string(vectors.join("index.json")).map_err(|e| e.to_string())?;
    let mut listed: Vec<_> = listed.collect();
    listed.sort_by_key(|(name, _)| text.find(&format!("\"{name}\"")));
    Ok(listed)
}

pub fn read<T: DeserializeOwned>(vectors: &Path, name: &str) -> Result<T, String> {
    let path = vectors.join(name);
    let text = fs::read_to_string(&path).map_err(|e| format!("can't read {}: {e}", path.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

pub fn run(vectors: &Path, out: &Path) -> Result<(), String> {
    let mut results = Results::create(out)?;
    for (name, format) in index(vectors)? {
        let lines = match format.as_str() {
            "hash" => hashes(&read(vectors, &name)?),
            "decisions" => decisions::run(&read(vectors, &name)?)?,
            "envelope" => deliveries::envelopes(&read(vectors, &name)?)?,
            "tokens" => deliveries::tokens(&read(vectors, &name)?)?,
            "population" => population::run(&read(vectors, &name)?)?,
            // The policy below all SDKs, proven once, in core/session.
            "session" => continue,
            other => {
                return Err(format!(
                    "{name} has the format {other}, which this runner does not know"
                ));
            }
        };
        results.file(&name, lines)?;
    }
    results.finish()
}

#[derive(Deserialize)]
struct Hashes {
    cases: Vec<HashCase>,
}

#[derive(Deserialize)]
struct HashCase {
    name: String,
    salt: String,
    unit: String,
}

fn hashes(file: &Hashes) -> Vec<Value> {
    let line = |case: &HashCase| {
        let h = bucket::hash(&case.salt, &case.unit);
        json!({"case": case.name, "h": h, "basis_point": bucket::basis_point(h), "slot": bucket::slot(h)})
    };
    file.cases.iter().map(line).collect()
}
