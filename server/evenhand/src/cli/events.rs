//! `evenhand events import | export`: raw events in and out, with a progress bar.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::connect::{Connect, answer};
use crate::sender::{BATCH, Sender};

#[derive(Subcommand)]
pub enum Events {
    /// Send a CSV or NDJSON file of events; run it twice and nothing counts twice
    Import(Import),
    /// Write all stored events as CSV or NDJSON
    Export(Export),
}

impl Events {
    pub fn run(self) -> Result<ExitCode, String> {
        match self {
            Events::Import(c) => c.run(),
            Events::Export(c) => c.run(),
        }
    }
}

#[derive(Args)]
pub struct Import {
    /// A .csv file with a header line, or a .ndjson file with one event a line
    file: PathBuf,
    /// Field of the event and the column it comes from, for CSV: `timestamp=time`, `units.device_id=device`, `properties.item=item_id`.
    /// Columns named like a field need no mapping
    #[arg(long = "column", value_name = "FIELD=COLUMN")]
    columns: Vec<String>,
    /// Field of every event with one fixed value: `event_name=purchase`
    #[arg(long = "constant", value_name = "FIELD=VALUE")]
    constants: Vec<String>,
    /// The server key to import with; else the one in keys.json of the data directory
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    connect: Connect,
}

/// Where each field of an event comes from.
struct Mapping {
    columns: Vec<(String, usize)>,
    constants: Vec<(String, String)>,
}

const FIELDS: &[&str] = &[
    "event_id",
    "event_name",
    "timestamp",
    "user_id",
    "unit",
    "experiment_id",
    "variation_id",
    "phase",
    "epoch",
    "value",
    "reason",
];

impl Mapping {
    fn new(header: &csv::StringRecord, columns: &[String], constants: &[String]) -> Result<Mapping, String> {
        let position = |name: &str| header.iter().position(|h| h == name);
        let mut mapping = Mapping {
            columns: Vec::new(),
            constants: Vec::new(),
        };
        for given in columns {
            let (field, column) = split_pair(given, "--column")?;
            check_field(field)?;
            let at = position(column).ok_or_else(|| {
                format!(
                    "--column {given}: the file has no column {column:?}; it has {}",
                    header.iter().collect::<Vec<_>>().join(", ")
                )
            })?;
            mapping.columns.push((field.to_owned(), at));
        }
        for given in constants {
            let (field, value) = split_pair(given, "--constant")?;
            check_field(field)?;
            mapping.constants.push((field.to_owned(), value.to_owned()));
        }
        for field in FIELDS {
            let taken =
                mapping.columns.iter().any(|(f, _)| f == field) || mapping.constants.iter().any(|(f, _)| f == field);
            if let (false, Some(at)) = (taken, position(field)) {
                mapping.columns.push(((*field).to_owned(), at));
            }
        }
        let has = |name: &str| {
            mapping.columns.iter().any(|(f, _)| f == name) || mapping.constants.iter().any(|(f, _)| f == name)
        };
        for needed in ["event_name", "timestamp"] {
            if !has(needed) {
                return Err(format!(
                    "no column for {needed}; say --column {needed}=COLUMN or --constant {needed}=VALUE"
                ));
            }
        }
        Ok(mapping)
    }

    /// One event. The id, where the file has none, is made from the row, so that a second import is the same event.
    fn event(&self, record: &csv::StringRecord, file_seed: &[u8], row: u64) -> Value {
        let mut event = Map::new();
        let from_columns = self
            .columns
            .iter()
            .filter_map(|(f, at)| record.get(*at).map(|v| (f.as_str(), v)));
        let fixed = self.constants.iter().map(|(f, v)| (f.as_str(), v.as_str()));
        for (field, text) in from_columns.chain(fixed) {
            if text.is_empty() {
                continue;
            }
            match field.split_once('.') {
                Some((object, name)) => {
                    let inner = event.entry(object).or_insert_with(|| Value::Object(Map::new()));
                    if let Value::Object(inner) = inner {
                        inner.insert(name.to_owned(), Value::String(text.to_owned()));
                    }
                }
                None => {
                    // Milliseconds since 1970 are a number to the server; RFC 3339 is text.
                    let whole = matches!(field, "phase" | "epoch" | "timestamp")
                        .then(|| text.parse::<u64>().ok())
                        .flatten();
                    event.insert(
                        field.to_owned(),
                        whole.map(Value::from).unwrap_or_else(|| Value::String(text.to_owned())),
                    );
                }
            }
        }
        if !event.contains_key("event_id") {
            let mut hash = Sha256::new();
            hash.update(file_seed);
            hash.update(row.to_le_bytes());
            for cell in record {
                hash.update((cell.len() as u64).to_le_bytes());
                hash.update(cell.as_bytes());
            }
            for (field, value) in &self.constants {
                hash.update(field.as_bytes());
                hash.update(value.as_bytes());
            }
            let digest: [u8; 32] = hash.finalize().into();
            event.insert("event_id".to_owned(), Value::String(uuid_from(&digest)));
        }
        Value::Object(event)
    }
}

/// A version 8 UUID (RFC 9562: vendor-specific) of the first 16 bytes of a digest.
fn uuid_from(digest: &[u8; 32]) -> String {
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

fn split_pair<'a>(given: &'a str, option: &str) -> Result<(&'a str, &'a str), String> {
    given
        .split_once('=')
        .ok_or_else(|| format!("{option} {given}: expected FIELD=…"))
}

fn check_field(field: &str) -> Result<(), String> {
    let nested = field
        .split_once('.')
        .is_some_and(|(object, name)| matches!(object, "units" | "properties") && !name.is_empty());
    if nested || FIELDS.contains(&field) {
        return Ok(());
    }
    Err(format!(
        "{field:?} is no field of an event; there are {}, units.NAME and properties.NAME",
        FIELDS.join(", ")
    ))
}

impl Import {
    fn run(self) -> Result<ExitCode, String> {
        let key = match &self.key {
            Some(key) => key.clone(),
            None => self.connect.key("server")?,
        };
        let mut sender = Sender::new(&self.connect.server, &key);
        let summary = import_file(&self.file, &self.columns, &self.constants, &mut sender)?;
        println!("{summary}");
        Ok(if sender.rejected == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(2)
        })
    }
}

/// Sends a file; the summary is one line.
fn import_file(file: &Path, columns: &[String], constants: &[String], sender: &mut Sender) -> Result<String, String> {
    let handle = File::open(file).map_err(|e| format!("can't open {}: {e}", file.display()))?;
    let size = handle.metadata().map(|m| m.len()).unwrap_or(0);
    let bar = progress(size);
    let input = bar.wrap_read(BufReader::new(handle));
    let gzip = file.extension().is_some_and(|e| e == "gz");
    let name = file.file_name().and_then(|n| n.to_str()).unwrap_or("");
    let input: Box<dyn Read> = if gzip {
        Box::new(flate2::read::MultiGzDecoder::new(input))
    } else {
        Box::new(input)
    };
    if name.trim_end_matches(".gz").ends_with(".csv") {
        import_rows(input, columns, constants, sender, &bar)?;
    } else {
        if !columns.is_empty() || !constants.is_empty() {
            return Err("--column and --constant are for CSV; an NDJSON file holds whole events".to_owned());
        }
        import_lines(input, sender, &bar)?;
    }
    bar.finish_and_clear();
    Ok(format!(
        "{} events accepted, {} rejected, from {}",
        sender.accepted,
        sender.rejected,
        file.display()
    ))
}

fn import_rows(
    input: Box<dyn Read + '_>,
    columns: &[String],
    constants: &[String],
    sender: &mut Sender,
    bar: &ProgressBar,
) -> Result<(), String> {
    let mut reader = csv::ReaderBuilder::new().from_reader(input);
    let header = reader.headers().map_err(|e| format!("the header line: {e}"))?.clone();
    let mapping = Mapping::new(&header, columns, constants)?;
    let seed: [u8; 32] = Sha256::digest(header.iter().collect::<Vec<_>>().join("\u{1f}")).into();
    let mut batch = Vec::with_capacity(BATCH);
    let mut record = csv::StringRecord::new();
    let mut row = 1u64;
    let mut first = 2u64;
    while reader.read_record(&mut record).map_err(|e| format!("{e}"))? {
        row += 1;
        batch.push(mapping.event(&record, &seed, row));
        if batch.len() == BATCH {
            sender.send(first, &mut batch, bar)?;
            first = row + 1;
        }
    }
    sender.send(first, &mut batch, bar)
}

fn import_lines(input: Box<dyn Read + '_>, sender: &mut Sender, bar: &ProgressBar) -> Result<(), String> {
    let mut batch = Vec::with_capacity(BATCH);
    let mut first = 1u64;
    let mut row = 0u64;
    for line in BufReader::new(input).lines() {
        row += 1;
        let line = line.map_err(|e| format!("line {row}: {e}"))?;
        if line.trim().is_empty() {
            continue;
        }
        // A line that is no JSON is sent as the string it is, so that the server's own message names it and the rest goes on.
        batch.push(serde_json::from_str(&line).unwrap_or(Value::String(line)));
        if batch.len() == BATCH {
            sender.send(first, &mut batch, bar)?;
            first = row + 1;
        }
    }
    sender.send(first, &mut batch, bar)
}

fn progress(bytes: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:40} {percent:>3} %  {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style)
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Csv,
    Ndjson,
}

#[derive(Args)]
pub struct Export {
    /// Where to write; `-` is standard output
    file: PathBuf,
    #[arg(long, value_enum, default_value = "ndjson")]
    format: Format,
    #[command(flatten)]
    connect: Connect,
}

impl Export {
    fn run(self) -> Result<ExitCode, String> {
        let format = match self.format {
            Format::Csv => "csv",
            Format::Ndjson => "ndjson",
        };
        let path = format!("/api/environments/{}/export?format={format}", self.connect.environment);
        let mut response = self.connect.client()?.open(&path)?;
        if !response.status().is_success() {
            return answer(response, "export").map(|_| ExitCode::FAILURE);
        }
        let rows = response
            .headers()
            .get("x-evenhand-events")
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.parse().ok());
        let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {pos}/{len} events  {per_sec}  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(rows.unwrap_or(0)).with_style(style);
        let stdout = self.file.as_os_str() == "-";
        let mut out: Box<dyn Write> = if stdout {
            Box::new(BufWriter::new(std::io::stdout().lock()))
        } else {
            let file = File::create(&self.file).map_err(|e| format!("can't write {}: {e}", self.file.display()))?;
            Box::new(BufWriter::new(file))
        };
        let mut written = 0u64;
        let mut lines = BufReader::new(response.body_mut().with_config().limit(u64::MAX).reader());
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = lines
                .read_until(b'\n', &mut line)
                .map_err(|e| format!("the export broke off after {written} lines: {e}"))?;
            if read == 0 {
                break;
            }
            out.write_all(&line)
                .map_err(|e| format!("can't write {}: {e}", self.file.display()))?;
            written += 1;
            if written.is_multiple_of(1000) {
                bar.set_position(written);
            }
        }
        out.flush()
            .map_err(|e| format!("can't write {}: {e}", self.file.display()))?;
        bar.finish_and_clear();
        if !stdout {
            println!("{written} lines to {}", self.file.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(cells: &[&str]) -> csv::StringRecord {
        csv::StringRecord::from(cells.to_vec())
    }

    #[test]
    fn columns_and_constants_make_an_event_and_its_id_is_the_rows_own() {
        let header = record(&["id", "timestamp", "item"]);
        let columns = ["units.impression_id=id".to_owned(), "properties.item=item".to_owned()];
        let constants = ["event_name=click".to_owned()];
        let mapping = Mapping::new(&header, &columns, &constants).unwrap();
        let row = record(&["i-1", "2019-11-24T00:00:17Z", "79"]);
        let event = mapping.event(&row, b"f", 2);
        assert_eq!(event["units"]["impression_id"], "i-1");
        assert_eq!(event["properties"]["item"], "79");
        assert_eq!(event["event_name"], "click");
        assert_eq!(event["event_id"], mapping.event(&row, b"f", 2)["event_id"]);
        assert_ne!(event["event_id"], mapping.event(&row, b"f", 3)["event_id"]);
    }

    #[test]
    fn a_mapping_that_can_not_work_says_what_there_is() {
        let header = record(&["when", "who"]);
        let none = Mapping::new(&header, &[], &[]).err().unwrap();
        assert!(none.contains("event_name"), "{none}");
        let wrong = Mapping::new(&header, &["timestamp=time".to_owned()], &[])
            .err()
            .unwrap();
        assert!(wrong.contains("when, who"), "{wrong}");
        let field = Mapping::new(&header, &["tiem=when".to_owned()], &[]).err().unwrap();
        assert!(field.contains("tiem"), "{field}");
    }
}
