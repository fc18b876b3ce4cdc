//! `evenhand sql`: read-only SQL over raw events and per-unit aggregates.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::connect::Connect;

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Aligned columns
    Table,
    /// RFC 4180
    Csv,
    /// The server's JSON
    Json,
}

#[derive(Args)]
pub struct Sql {
    /// One SELECT; the views are described in docs/results.md
    query: String,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Most rows to return
    #[arg(long, default_value_t = 1000)]
    limit: u64,
    #[command(flatten)]
    connect: Connect,
}

impl Sql {
    pub fn run(self) -> Result<ExitCode, String> {
        let path = format!("/api/environments/{}/sql", self.connect.environment);
        let answer = self
            .connect
            .client()?
            .post(&path, &json!({ "query": self.query, "limit": self.limit }))?;
        match self.format {
            Format::Json => println!("{}", serde_json::to_string_pretty(&answer).map_err(|e| e.to_string())?),
            Format::Table => print!("{}", aligned(&strings(&answer, "columns"), &rows(&answer))),
            Format::Csv => {
                let mut out = csv::Writer::from_writer(std::io::stdout().lock());
                let mut write = |cells: &[String]| out.write_record(cells).map_err(|e| format!("can't write: {e}"));
                write(&strings(&answer, "columns"))?;
                for row in rows(&answer) {
                    write(&row)?;
                }
            }
        }
        if answer.get("truncated").and_then(Value::as_bool) == Some(true) {
            eprintln!("more rows than --limit {}; these are the first", self.limit);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn strings(answer: &Value, name: &str) -> Vec<String> {
    answer
        .get(name)
        .and_then(Value::as_array)
        .map(|a| a.iter().map(cell).collect())
        .unwrap_or_default()
}

fn rows(answer: &Value) -> Vec<Vec<String>> {
    let all = answer.get("rows").and_then(Value::as_array);
    all.into_iter()
        .flatten()
        .map(|row| row.as_array().map(|r| r.iter().map(cell).collect()).unwrap_or_default())
        .collect()
}

/// Columns padded to their widest cell; numbers to the right.
pub fn aligned(header: &[String], rows: &[Vec<String>]) -> String {
    let count = header.len();
    let width = |at: usize| {
        rows.iter()
            .filter_map(|r| r.get(at))
            .chain(header.get(at))
            .map(|c| c.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let numeric: Vec<bool> = (0..count)
        .map(|at| !rows.is_empty() && rows.iter().all(|r| r.get(at).is_none_or(|c| is_figure(c))))
        .collect();
    let mut out = String::new();
    let mut line = |cells: &[String]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(widths.iter().zip(&numeric))
            .map(|(c, (w, right))| if *right { format!("{c:>w$}") } else { format!("{c:<w$}") })
            .collect();
        out.push_str(padded.join("  ").trim_end());
        out.push('\n');
    };
    line(header);
    line(&widths.iter().map(|w| "-".repeat(*w)).collect::<Vec<_>>());
    rows.iter().for_each(|row| line(row));
    out
}

fn is_figure(text: &str) -> bool {
    let bare = text.trim_start_matches(['+', '-']).trim_end_matches([' ', '%']);
    text.is_empty() || text == "–" || bare.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_right_and_words_left() {
        let header = vec!["name".to_owned(), "n".to_owned()];
        let rows = vec![
            vec!["a".to_owned(), "5".to_owned()],
            vec!["longer".to_owned(), "1200".to_owned()],
        ];
        assert_eq!(
            aligned(&header, &rows),
            "name       n\n------  ----\na          5\nlonger  1200\n"
        );
    }
}
