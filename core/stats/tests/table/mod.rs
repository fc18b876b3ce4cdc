//! Reads the oracle's tables and keeps the distance to them.

use std::path::Path;

use serde::de::DeserializeOwned;

/// The table of this name.
pub fn read<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle").join(name);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The largest distance seen between our figures and the oracle's.
pub struct Worst {
    tolerance: f64,
    cases: usize,
    distance: f64,
    at: String,
}

impl Worst {
    /// Distances are relative, and none may be beyond `tolerance`.
    pub fn new(tolerance: f64) -> Self {
        Self {
            tolerance,
            cases: 0,
            distance: 0.0,
            at: String::new(),
        }
    }

    /// Compares relative to the expected figure.
    pub fn see(&mut self, ours: f64, expected: f64, what: &str) {
        self.see_on_scale(ours, expected, expected.abs(), what);
    }

    /// Compares relative to `scale`: for figures that are a difference of larger ones.
    pub fn see_on_scale(&mut self, ours: f64, expected: f64, scale: f64, what: &str) {
        self.cases += 1;
        // Numbers below the normal range have fewer digits to agree in.
        let distance = if ours == expected {
            0.0
        } else {
            (ours - expected).abs() / scale.max(f64::MIN_POSITIVE)
        };
        if distance.is_nan() || distance > self.distance {
            self.distance = distance;
            self.at = format!("{what}: ours {ours:e}, expected {expected:e}");
        }
        assert!(distance <= self.tolerance, "{distance:e} off, {}", self.at);
    }

    /// Prints the worst and makes sure that the table was not empty.
    pub fn finish(self, at_least: usize) {
        println!("{} figures, farthest {:.1e} ({})", self.cases, self.distance, self.at);
        assert!(
            self.cases >= at_least,
            "only {} figures, expected at least {at_least}",
            self.cases
        );
    }
}
