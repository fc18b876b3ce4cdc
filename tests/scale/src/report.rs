//! Figures with their bars: shown while they come, judged at the end, written as JSON.

use serde_json::{Map, Value, json};

/// Whether more or less of a figure is better.
#[derive(Clone, Copy)]
pub enum Bar {
    AtLeast(f64),
    Below(f64),
}

/// All figures of a run.
#[derive(Default)]
pub struct Report {
    figures: Map<String, Value>,
    missed: Vec<String>,
    faults: Vec<String>,
}

impl Report {
    /// Notes a figure.
    pub fn note(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        println!("  {name:44} {value}");
        self.figures.insert(name.to_owned(), value);
    }

    /// Notes a figure, rounded to three digits after the point.
    pub fn number(&mut self, name: &str, value: f64) {
        self.note(name, rounded(value));
    }

    /// Notes a figure that has a bar.
    pub fn judge(&mut self, name: &str, value: f64, bar: Bar) {
        let (holds, limit, word) = match bar {
            Bar::AtLeast(limit) => (value >= limit, limit, "at least"),
            Bar::Below(limit) => (value < limit, limit, "below"),
        };
        let verdict = if holds { "holds" } else { "MISSED" };
        println!("  {name:44} {:>12} {word} {limit}: {verdict}", rounded(value));
        self.figures.insert(
            name.to_owned(),
            json!({ "value": rounded(value), "bar": format!("{word} {limit}"), "holds": holds }),
        );
        if !holds {
            self.missed
                .push(format!("{name} is {}, the bar is {word} {limit}", rounded(value)));
        }
    }

    /// Something that must never happen, whatever the machine's speed.
    pub fn fault(&mut self, what: String) {
        println!("  FAULT {what}");
        self.faults.push(what);
    }

    /// Bars that were missed.
    pub fn missed(&self) -> &[String] {
        &self.missed
    }

    /// Faults.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// The whole as JSON.
    pub fn json(&self) -> Value {
        json!({ "figures": self.figures, "missed": self.missed, "faults": self.faults })
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
