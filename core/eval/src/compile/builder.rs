//! The tables while they are being filled: texts stored once, names found again.

use hashbrown::HashTable;
use serde_json::value::RawValue;

use super::fault::Problem;
use crate::bucket::{HASH_SPACE, PreparedSalt, is_salt};
use crate::compiled::{Draw, ExposureAttribute, NONE, Range, Span, Tables, Word, head, table_hash};
use crate::exposure_attributes;
use crate::wire::HashRange;

/// The most ranges in one list.
const MAX_RANGES: usize = 1_000;

pub(super) struct Builder {
    pub tables: Tables,
    texts: HashTable<Span>,
    attributes: HashTable<(Span, u32)>,
}

impl Builder {
    pub fn new(tables: Tables) -> Self {
        let mut builder = Self {
            tables,
            texts: HashTable::new(),
            attributes: HashTable::new(),
        };
        builder.tables.country = NONE;
        builder.tables.geo = NONE;
        builder
    }

    /// Stores a text, once.
    pub fn text(&mut self, text: &str) -> Span {
        let stored = &mut self.tables.text;
        let same = |span: &Span| span.of(stored.as_bytes()) == text.as_bytes();
        let hash = table_hash(text.as_bytes());
        if let Some(span) = self.texts.find(hash, same) {
            return *span;
        }
        // A manifest has at most 64 MiB, and no text in it is stored longer than it stands there.
        let span = Span {
            at: index(stored.len()),
            len: index(text.len()),
        };
        stored.push_str(text);
        self.texts
            .insert_unique(hash, span, |span| table_hash(span.of(stored.as_bytes())));
        span
    }

    /// A string operand.
    pub fn word(&mut self, text: &str) -> Word {
        Word {
            head: head(text.as_bytes()),
            text: self.text(text),
        }
    }

    /// The index of an attribute; `geo` is another name of `country`.
    pub fn attribute(&mut self, name: &str) -> Result<u32, Problem> {
        if name.is_empty() || name.len() > 256 {
            return Err(Problem::new(
                format!("an attribute name of {} bytes", name.len()),
                "give the attribute a name of 1 to 256 bytes",
            ));
        }
        if name == "country" || name == "geo" {
            if self.tables.country == NONE {
                self.tables.country = self.intern("country");
                self.tables.geo = self.intern("geo");
            }
            return Ok(self.tables.country);
        }
        Ok(self.intern(name))
    }

    /// The attributes that exposures of the rule compiled next carry.
    pub fn exposure_attributes(&mut self, meta: &RawValue) {
        let rule = index(self.tables.rules.len());
        for name in exposure_attributes::read(meta) {
            let name = self.text(&name);
            self.tables.exposure_attributes.push(ExposureAttribute {
                rule,
                name,
                attribute: NONE,
            });
        }
    }

    /// Last of all, so that the attributes that decide lie close together in a context.
    fn intern_exposure_attributes(&mut self) {
        let mut carried = core::mem::take(&mut self.tables.exposure_attributes);
        for entry in &mut carried {
            let name = self.tables.str(entry.name).to_owned();
            // Their names have been checked.
            entry.attribute = self.attribute(&name).unwrap_or(NONE);
        }
        self.tables.exposure_attributes = carried;
    }

    fn intern(&mut self, name: &str) -> u32 {
        let span = self.text(name);
        let text = self.tables.text.as_bytes();
        let hash = table_hash(name.as_bytes());
        if let Some((_, attribute)) = self.attributes.find(hash, |(other, _)| *other == span) {
            return *attribute;
        }
        let attribute = index(self.tables.attributes.len());
        self.tables.attributes.push(name.into());
        self.attributes
            .insert_unique(hash, (span, attribute), |(span, _)| table_hash(span.of(text)));
        attribute
    }

    /// The tables, without room to grow.
    pub fn finish(mut self) -> Tables {
        self.intern_exposure_attributes();
        let mut tables = self.tables;
        tables.text.shrink_to_fit();
        tables.variations.shrink_to_fit();
        tables.rules.shrink_to_fit();
        tables.rule_names.shrink_to_fit();
        tables.nodes.shrink_to_fit();
        tables.splits.shrink_to_fit();
        tables.exposure_attributes.shrink_to_fit();
        tables.words.shrink_to_fit();
        tables
    }

    /// The index of a flag, by its key in the manifest.
    pub fn flag(&self, key: &str) -> Option<u32> {
        self.tables.find_flag(key)
    }

    /// Checks a list of ranges and turns them into the inclusive form.
    pub fn check_ranges(ranges: impl ExactSizeIterator<Item = (u64, u64)>) -> Result<Vec<Range>, Problem> {
        if ranges.len() > MAX_RANGES {
            return Err(Problem::new(
                format!("{} ranges", ranges.len()),
                format!("use at most {MAX_RANGES}; merge those that touch"),
            ));
        }
        let mut end = 0u64;
        ranges
            .enumerate()
            .map(|(at, (lo, hi))| {
                if lo >= hi || hi > HASH_SPACE || lo < end {
                    return Err(Problem::new(
                        format!("the range [{lo}, {hi}] after {end}"),
                        "write ranges in ascending order, each [lo, hi] with lo < hi <= 4294967296 and lo not below the hi before it",
                    )
                    .under(at));
                }
                end = hi;
                // Both fit: lo < hi <= 2^32.
                Ok(Range { lo: lo as u32, last: hi.wrapping_sub(1) as u32 })
            })
            .collect()
    }

    /// A salt, prepared.
    pub fn salt(salt: &str) -> Result<PreparedSalt, Problem> {
        if is_salt(salt) {
            return Ok(PreparedSalt::new(salt));
        }
        Err(Problem::new(
            format!("the salt {salt:?}"),
            "use 1 to 64 characters of A-Z a-z 0-9 _ -",
        )
        .under("salt"))
    }

    /// A salted hash and the ranges that are in.
    pub fn draw(&mut self, salt: PreparedSalt, ranges: &[HashRange]) -> Result<Draw, Problem> {
        let ranges = Self::check_ranges(ranges.iter().map(|range| (range.0, range.1)))?;
        let (first, more) = match ranges.split_first() {
            None => (Range::EMPTY, Span::default()),
            Some((first, more)) => (*first, append(&mut self.tables.ranges, more.iter().copied())),
        };
        Ok(Draw { salt, first, more })
    }
}

/// An index or length as the tables store it. Nothing in a manifest of 64 MiB has 2^32 parts.
pub(super) fn index(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(NONE)
}

/// Appends entries to a table and says where they stand.
pub(super) fn append<T>(table: &mut Vec<T>, entries: impl IntoIterator<Item = T>) -> Span {
    let start = table.len();
    table.extend(entries);
    Span {
        at: index(start),
        len: index(table.len().saturating_sub(start)),
    }
}
