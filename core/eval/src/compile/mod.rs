//! From manifest bytes to tables: read, checked, names to indices, salts prepared, operands parsed. One bad flag costs only
//! itself; what it costs and why is in the [`Report`].

mod builder;
mod expression;
mod fault;
mod flag;
mod graph;
mod parts;
mod references;
mod reporter;
mod rule;

pub use fault::{Fault, ManifestError, MissingList, Report};

use hashbrown::HashTable;

use crate::bucket::is_salt;
use crate::compiled::{Tables, table_hash};
use crate::digest::SaltedHash;
use crate::id_list::IdList;
use crate::wire::place::{self, Lines, Step};
use crate::wire::{Audience, RawManifest};
use builder::{Builder, index};
use fault::Problem;
use parts::Parts;
use references::References;
use reporter::{Part, Reporter};

/// The longest manifest.
pub const MAX_MANIFEST_BYTES: usize = 64 * 1024 * 1024;
/// The most flags of a manifest.
pub const MAX_FLAGS: usize = 100_000;

/// Where the compiler gets the id lists that a manifest names.
pub trait ListSource {
    /// The list at an address, if the host has it.
    fn list(&self, sha256: &str) -> Option<IdList>;
}

/// A host without id lists.
impl ListSource for () {
    fn list(&self, _sha256: &str) -> Option<IdList> {
        None
    }
}

/// Lists by themselves.
impl ListSource for [IdList] {
    fn list(&self, sha256: &str) -> Option<IdList> {
        self.iter().find(|list| list.sha256() == sha256).cloned()
    }
}

impl ListSource for Vec<IdList> {
    fn list(&self, sha256: &str) -> Option<IdList> {
        self.as_slice().list(sha256)
    }
}

/// Lists by address.
impl ListSource for std::collections::BTreeMap<String, IdList> {
    fn list(&self, sha256: &str) -> Option<IdList> {
        self.get(sha256).cloned()
    }
}

/// Compiles a bare manifest.
pub(crate) fn compile(json: &[u8], lists: &dyn ListSource) -> Result<(Tables, Report), ManifestError> {
    if json.len() > MAX_MANIFEST_BYTES {
        return Err(refused(
            json,
            &[],
            Problem::new(
                format!("{} bytes", json.len()),
                format!("keep a manifest within {MAX_MANIFEST_BYTES} bytes"),
            ),
        ));
    }
    let text = core::str::from_utf8(json).map_err(|error| {
        let (line, column) = Lines::new(json).place(error.valid_up_to());
        ManifestError {
            path: String::new(),
            line,
            column,
            message: "the text is not UTF-8".into(),
            remedy: "write the manifest in UTF-8".into(),
        }
    })?;
    let raw: RawManifest<'_> =
        serde_json::from_str(text).map_err(|error| refused(json, &[], Problem::read(&error, text)))?;
    check(&raw).map_err(|problem| refused(json, &[], problem))?;
    let empty = crate::wire::RawMap::default();
    let mut reporter = Reporter::new(text);
    let mut builder = Builder::new(empty_tables(&raw));
    index_flags(&mut builder, &raw);
    let mut parts = Parts::default();
    let segments = raw.segments.as_ref().unwrap_or(&empty);
    let holdouts = raw.holdouts.as_ref().unwrap_or(&empty);
    parts.read_lists(&mut builder, raw.lists.as_ref().unwrap_or(&empty), lists, &mut reporter);
    parts.read_layers(&mut builder, raw.layers.as_ref().unwrap_or(&empty), &mut reporter);
    parts.read_segments(&mut builder, segments, &mut reporter);
    parts.read_holdouts(&mut builder, holdouts, &mut reporter);
    let mut flag_uses = Vec::with_capacity(raw.flags.0.len());
    for (at, (key, text)) in raw.flags.0.iter().enumerate() {
        let span = builder.text(key);
        let compiled = flag::check_key(key)
            .and_then(|()| reporter.read::<crate::wire::Flag>(text.get()))
            .and_then(|wire| flag::compile(&mut builder, &parts, span, &wire));
        let (flag, uses) = match compiled {
            Ok((flag, uses)) => (flag, Some(uses)),
            Err(problem) => {
                reporter.part(Part::Flag, at, key, text.get(), problem);
                (flag::salvage(&mut builder, span, text.get()), None)
            }
        };
        builder.tables.flags.push(flag);
        flag_uses.push(uses);
    }
    let flags = &raw.flags;
    References {
        builder: &mut builder,
        parts: &mut parts,
        flag_uses,
        reporter: &mut reporter,
        segments,
        holdouts,
        flags,
    }
    .settle();
    Ok((builder.finish(), reporter.finish()))
}

fn refused(json: &[u8], prefix: &[Step], problem: Problem) -> ManifestError {
    let text = core::str::from_utf8(json).unwrap_or_default();
    let (path, line, column, message, remedy) = problem.place(prefix, text, 0, &Lines::new(json));
    ManifestError {
        path,
        line,
        column,
        message,
        remedy,
    }
}

/// The rules outside the parts.
fn check(raw: &RawManifest<'_>) -> Result<(), Problem> {
    if raw.schema != 1 {
        return Err(Problem::new(
            format!("schema {}", raw.schema),
            "publish the manifest with schema 1, or update this program",
        )
        .under("schema"));
    }
    for (field, number) in [("generation", raw.generation), ("version", raw.version)] {
        if number == 0 {
            return Err(Problem::new("0", "count from 1").under(field));
        }
        parts::check_integer(number).map_err(|problem| problem.under(field))?;
    }
    parts::check_integer(raw.issued_at_ms.unsigned_abs()).map_err(|problem| problem.under("issued_at_ms"))?;
    if raw.flags.0.len() > MAX_FLAGS {
        return Err(Problem::new(
            format!("{} flags", raw.flags.0.len()),
            format!("keep an environment within {MAX_FLAGS} flags"),
        )
        .under("flags"));
    }
    if let Some(obfuscation) = &raw.obfuscation {
        if raw.audience != Audience::Client {
            return Err(Problem::new(
                "`obfuscation` in a manifest for servers",
                "remove it, or make the audience `client`",
            )
            .under("obfuscation"));
        }
        if !is_salt(&obfuscation.salt) {
            let problem = Problem::new(
                format!("the salt {:?}", obfuscation.salt),
                "use 1 to 64 characters of A-Z a-z 0-9 _ -",
            );
            return Err(problem.under("salt").under("obfuscation"));
        }
    }
    Ok(())
}

/// Every key before any flag: a flag may refer to one that stands later.
fn index_flags(builder: &mut Builder, raw: &RawManifest<'_>) {
    let mut flags = HashTable::with_capacity(raw.flags.0.len());
    for (at, (key, _)) in raw.flags.0.iter().enumerate() {
        let span = builder.text(key);
        let text = builder.tables.text.as_bytes();
        let hash = table_hash(key.as_bytes());
        flags.insert_unique(hash, (span, index(at)), |(span, _): &(crate::compiled::Span, u32)| {
            table_hash(span.of(text))
        });
    }
    builder.tables.flag_index = flags;
}

fn empty_tables(raw: &RawManifest<'_>) -> Tables {
    Tables {
        environment: raw.environment.as_str().into(),
        audience: raw.audience,
        generation: raw.generation,
        version: raw.version,
        issued_at_ms: raw.issued_at_ms,
        obfuscation: raw
            .obfuscation
            .as_ref()
            .map(|obfuscation| SaltedHash::new(&obfuscation.salt)),
        text: String::new(),
        flags: Vec::with_capacity(raw.flags.0.len()),
        flag_index: HashTable::new(),
        variations: Vec::new(),
        override_units: Vec::new(),
        rules: Vec::new(),
        rule_names: Vec::new(),
        rule_holdouts: Vec::new(),
        exposure_attributes: Vec::new(),
        requires: Vec::new(),
        nodes: Vec::new(),
        ranges: Vec::new(),
        splits: Vec::new(),
        unit_draws: Vec::new(),
        flag_tests: Vec::new(),
        variation_sets: Vec::new(),
        words: Vec::new(),
        word_sets: Vec::new(),
        hashes: Vec::new(),
        numbers: Vec::new(),
        versions: Vec::new(),
        dotted: Vec::new(),
        patterns: Vec::new(),
        cidrs: Vec::new(),
        lists: Vec::new(),
        segments: Vec::new(),
        holdouts: Vec::new(),
        attributes: Vec::new(),
        country: crate::compiled::NONE,
        geo: crate::compiled::NONE,
    }
}

/// The place of a text that a late check found wrong: the first value that is this text, under this member.
impl Problem {
    fn at_text(self, part: &str, value: &str, member: &str) -> Self {
        match place::find_text(part, value, member) {
            Some(offset) => self.at_offset(offset),
            None => self,
        }
    }
}
