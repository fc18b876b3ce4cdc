//! Collects faults with their places.

use std::cell::OnceCell;

use serde::Deserialize;

use super::fault::{Fault, Problem, Report};
use crate::wire::place::{Lines, Step};

/// The kinds of parts, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    List,
    Layer,
    Segment,
    Holdout,
    Flag,
}

impl Part {
    /// The manifest's member that holds such parts.
    fn member(self) -> &'static str {
        match self {
            Self::List => "lists",
            Self::Layer => "layers",
            Self::Segment => "segments",
            Self::Holdout => "holdouts",
            Self::Flag => "flags",
        }
    }
}

pub(super) struct Reporter<'t> {
    text: &'t str,
    lines: OnceCell<Lines>,
    faults: Vec<(Part, usize, Fault)>,
    pub report: Report,
}

impl<'t> Reporter<'t> {
    pub fn new(text: &'t str) -> Self {
        Self {
            text,
            lines: OnceCell::new(),
            faults: Vec::new(),
            report: Report::default(),
        }
    }

    /// Reads one part.
    pub fn read<T: for<'de> Deserialize<'de>>(&self, text: &str) -> Result<T, Problem> {
        serde_json::from_str(text).map_err(|error| Problem::read(&error, text))
    }

    /// Notes a problem of the part `name`, whose text is a piece of the manifest's; `at` is its place among its kind.
    pub fn part(&mut self, part: Part, at: usize, name: &str, text: &str, problem: Problem) {
        let lines = self.lines.get_or_init(|| Lines::new(self.text.as_bytes()));
        // `text` borrows from the manifest, so the difference of the two addresses is where it begins.
        let start = (text.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let prefix = [Step::from(part.member()), Step::from(name)];
        let (path, line, column, message, remedy) = problem.place(&prefix, text, start, lines);
        let flag = (part == Part::Flag).then(|| name.to_owned());
        self.faults.push((
            part,
            at,
            Fault {
                flag,
                path,
                line,
                column,
                message,
                remedy,
            },
        ));
    }

    /// The report, in the order of parts and names.
    pub fn finish(mut self) -> Report {
        self.faults.sort_by_key(|(part, at, _)| (*part, *at));
        self.report.faults = self.faults.into_iter().map(|(_, _, fault)| fault).collect();
        self.report
    }
}
