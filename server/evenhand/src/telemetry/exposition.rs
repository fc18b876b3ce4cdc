//! The text of `/metrics` read back: families, their kind, and their points. So that what is exported is what is scraped.

use std::collections::BTreeMap;

/// What a family counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper bounds.
    Histogram,
}

/// Series of one name.
#[derive(Debug, PartialEq)]
pub struct Family {
    pub name: String,
    pub help: String,
    pub kind: Kind,
    pub points: Vec<Point>,
}

/// Label names and values, in their order.
pub type Labels = Vec<(String, String)>;

/// One series.
#[derive(Debug, Default, PartialEq)]
pub struct Point {
    pub labels: Labels,
    /// Of counters and gauges.
    pub value: f64,
    /// Of histograms: upper bounds with the number of observations at or below, in ascending order.
    pub buckets: Vec<(f64, u64)>,
    pub sum: f64,
    pub count: u64,
}

/// Reads OpenMetrics text. A line that says nothing we know is left out: the text is ours, and tests hold it to this.
pub fn read(text: &str) -> Vec<Family> {
    let mut helps = BTreeMap::new();
    let mut families: Vec<Family> = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            helps.insert(name.to_owned(), help.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, ""));
            let kind = match kind {
                "counter" => Kind::Counter,
                "gauge" => Kind::Gauge,
                "histogram" => Kind::Histogram,
                _ => continue,
            };
            let help = helps.get(name).map(|help| help.trim_end_matches('.').to_owned());
            families.push(Family {
                name: name.to_owned(),
                help: help.unwrap_or_default(),
                kind,
                points: Vec::new(),
            });
        } else if !line.starts_with('#')
            && let Some((name, labels, value)) = sample(line)
            && let Some(family) = families.last_mut()
        {
            family.take(name, labels, value);
        }
    }
    families
}

impl Family {
    fn take(&mut self, name: &str, mut labels: Labels, value: f64) {
        let Some(part) = name.strip_prefix(self.name.as_str()) else {
            return;
        };
        let bound = match labels.iter().position(|(label, _)| label == "le") {
            Some(at) if self.kind == Kind::Histogram => match labels.remove(at).1.as_str() {
                "+Inf" => Some(f64::INFINITY),
                text => text.parse().ok(),
            },
            _ => None,
        };
        let at = self
            .points
            .iter()
            .position(|point| point.labels == labels)
            .unwrap_or_else(|| {
                self.points.push(Point {
                    labels,
                    ..Point::default()
                });
                self.points.len() - 1
            });
        let Some(point) = self.points.get_mut(at) else { return };
        match (self.kind, part) {
            (Kind::Counter, "_total") | (Kind::Gauge, "") => point.value = value,
            (Kind::Histogram, "_bucket") => {
                if let Some(bound) = bound {
                    point.buckets.push((bound, value as u64));
                }
            }
            (Kind::Histogram, "_sum") => point.sum = value,
            (Kind::Histogram, "_count") => point.count = value as u64,
            _ => {}
        }
    }
}

/// `name{label="value",…} number`
fn sample(line: &str) -> Option<(&str, Labels, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        None => (Labels::new(), rest),
        Some(rest) => labels(rest)?,
    };
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some((name, labels, value))
}

fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.trim_start_matches(',').split_once("=\"")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.push((name.to_owned(), value));
        rest = quoted.get(end + 1..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_read_as_they_are_written() {
        use prometheus_client::encoding::text::encode;
        use prometheus_client::metrics::{
            counter::Counter, family::Family as Series, gauge::Gauge, histogram::Histogram,
        };
        let mut registry = prometheus_client::registry::Registry::with_prefix("evenhand");
        let requests = Series::<Vec<(String, String)>, Counter>::default();
        let odd = "a \"b\" \\ \n c}".to_owned();
        requests
            .get_or_create(&vec![("route".into(), odd.clone()), ("status".into(), "200".into())])
            .inc_by(7);
        registry.register("requests", "Answers", requests);
        let open: Gauge = Gauge::default();
        open.set(-3);
        registry.register("open", "What is open", open);
        let seconds = Histogram::new([0.1, 1.0]);
        for value in [0.05, 0.5, 0.7, 3.0] {
            seconds.observe(value);
        }
        registry.register("seconds", "How long", seconds);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let read = read(&text);
        let names: Vec<_> = read
            .iter()
            .map(|f| (f.name.as_str(), f.kind, f.help.as_str()))
            .collect();
        assert_eq!(
            names,
            [
                ("evenhand_requests", Kind::Counter, "Answers"),
                ("evenhand_open", Kind::Gauge, "What is open"),
                ("evenhand_seconds", Kind::Histogram, "How long"),
            ]
        );
        assert_eq!(read[0].points[0].value, 7.0);
        assert_eq!(
            read[0].points[0].labels,
            [("route".into(), odd), ("status".into(), "200".into())]
        );
        assert_eq!(read[1].points[0].value, -3.0);
        let point = &read[2].points[0];
        assert_eq!(point.buckets, [(0.1, 1), (1.0, 3), (f64::INFINITY, 4)]);
        assert_eq!((point.count, point.sum), (4, 4.25));
    }
}
