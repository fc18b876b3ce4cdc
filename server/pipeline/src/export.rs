//! All raw events as CSV or NDJSON.

use std::io::Write;

use rusqlite::{Row, types::ValueRef};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;

use crate::{
    Pipeline, StoreError,
    analytics::{EVENTS, open_reader},
    error::Doing,
};

/// How to write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// A header, then one line an event; `units` and `properties` as JSON text.
    Csv,
    /// One JSON object a line.
    Ndjson,
}

/// An export that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The receiver can't be written.
    #[error("writing the export: {0}")]
    Write(#[from] std::io::Error),
}

impl From<csv::Error> for ExportError {
    fn from(error: csv::Error) -> Self {
        Self::Write(std::io::Error::other(error))
    }
}

/// Events between two looks at the progress. Each part is a read of its own: one long one would keep the store from shrinking its
/// write-ahead file.
const PART: i64 = 10_000;

/// Columns that hold JSON and stay JSON in NDJSON.
const JSON_COLUMNS: [&str; 2] = ["units", "properties"];

impl Pipeline {
    /// Writes every processed event, in the order of their ids, with the columns of the view `events`. `progress` is told
    /// (written so far, total) now and then. Blocking. How many were written.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub fn export(
        &self,
        format: ExportFormat,
        out: &mut dyn Write,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<u64, ExportError> {
        const DOING: &str = "reading events";
        let connection = open_reader(&self.inner.dir)?;
        let total: i64 = connection
            .query_row("SELECT COUNT(*) FROM event", [], |row| row.get(0))
            .doing(DOING)?;
        let total = u64::try_from(total).unwrap_or(0);
        let bounds = "SELECT MAX(id) FROM (SELECT id FROM event WHERE id > ?1 ORDER BY id LIMIT ?2)";
        let sql = format!("SELECT {EVENTS} WHERE e.id > ?1 AND e.id <= ?2 ORDER BY e.id");
        let mut part = connection.prepare(&sql).doing(DOING)?;
        let columns: Vec<String> = part.column_names().into_iter().map(str::to_owned).collect();
        let mut writer = Sink::new(format, columns, out)?;
        let (mut from, mut written) = (Vec::new(), 0);
        progress(0, total);
        loop {
            let to: Option<Vec<u8>> = connection
                .query_row(bounds, rusqlite::params![from, PART], |row| row.get(0))
                .doing(DOING)?;
            let Some(to) = to else { break };
            let mut rows = part.query(rusqlite::params![from, to]).doing(DOING)?;
            while let Some(row) = rows.next().doing(DOING)? {
                writer.write(row)?;
                written += 1;
            }
            progress(written, total.max(written));
            from = to;
        }
        writer.finish()?;
        Ok(written)
    }
}

enum Sink<'o> {
    Csv(Box<csv::Writer<&'o mut dyn Write>>, usize),
    Ndjson(&'o mut dyn Write, Vec<String>),
}

impl<'o> Sink<'o> {
    fn new(format: ExportFormat, columns: Vec<String>, out: &'o mut dyn Write) -> Result<Self, ExportError> {
        Ok(match format {
            ExportFormat::Ndjson => Self::Ndjson(out, columns),
            ExportFormat::Csv => {
                let mut writer = csv::Writer::from_writer(out);
                writer.write_record(&columns)?;
                Self::Csv(Box::new(writer), columns.len())
            }
        })
    }

    fn write(&mut self, row: &Row<'_>) -> Result<(), ExportError> {
        const DOING: &str = "reading an event";
        match self {
            Self::Csv(writer, columns) => {
                for column in 0..*columns {
                    match row.get_ref(column).doing(DOING)? {
                        ValueRef::Text(text) => writer.write_field(text)?,
                        ValueRef::Integer(number) => writer.write_field(number.to_string())?,
                        ValueRef::Real(number) => writer.write_field(number.to_string())?,
                        ValueRef::Null | ValueRef::Blob(_) => writer.write_field("")?,
                    }
                }
                writer.write_record(None::<&[u8]>)?;
            }
            Self::Ndjson(out, columns) => {
                let mut values = Vec::with_capacity(columns.len());
                for (place, name) in columns.iter().enumerate() {
                    values.push((name.as_str(), row.get_ref(place).doing(DOING)?));
                }
                serde_json::to_writer(&mut **out, &Line(values)).map_err(std::io::Error::from)?;
                out.write_all(b"\n")?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), ExportError> {
        match self {
            Self::Csv(mut writer, _) => writer.flush()?,
            Self::Ndjson(out, _) => out.flush()?,
        }
        Ok(())
    }
}

/// One event as an object; absent fields are left out.
struct Line<'r>(Vec<(&'r str, ValueRef<'r>)>);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &self.0 {
            match value {
                ValueRef::Null | ValueRef::Blob(_) => {}
                ValueRef::Integer(number) => map.serialize_entry(name, number)?,
                ValueRef::Real(number) => map.serialize_entry(name, number)?,
                ValueRef::Text(bytes) => {
                    let text = std::str::from_utf8(bytes).map_err(serde::ser::Error::custom)?;
                    if JSON_COLUMNS.contains(name) {
                        let json: &RawValue = serde_json::from_str(text).map_err(serde::ser::Error::custom)?;
                        map.serialize_entry(name, json)?;
                    } else {
                        map.serialize_entry(name, text)?;
                    }
                }
            }
        }
        map.end()
    }
}
