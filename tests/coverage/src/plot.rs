//! The plots of `docs/statistics.md`, from the figures alone.

use std::path::Path;

use crate::figures::{Figures, ScenarioFigures};
use crate::svg::{Anchor, Svg};

const GREY: &str = "#777777";
const PALE: &str = "#dddddd";
const RED: &str = "#c0392b";

/// The kinds of interval that are drawn, with their colours.
pub const DRAWN: [(&str, &str, &str); 4] = [
    (
        "fixed horizon, peeked at, absolute",
        "fixed horizon, looked at every time",
        "#e08a1e",
    ),
    (
        "fixed horizon, once, absolute",
        "fixed horizon, looked at once",
        "#999999",
    ),
    ("anytime-valid, absolute", "anytime-valid", "#2166ac"),
    ("group-sequential, absolute", "group-sequential", "#1b9e77"),
];

/// All of them, into this folder.
pub fn write_all(figures: &Figures, folder: &Path) -> Result<(), String> {
    let plots = [
        ("coverage-peeking.svg", peeking(figures)),
        ("coverage-false-positives.svg", false_positives(figures)),
        ("coverage-power.svg", power(figures)),
    ];
    for (name, svg) in plots {
        let path = folder.join(name);
        std::fs::write(&path, svg).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn legend(svg: &mut Svg, left: f64, y: f64) {
    let mut x = left;
    for (_, label, colour) in DRAWN {
        svg.dot(x, y - 4.0, colour);
        svg.text(x + 9.0, y, Anchor::Start, GREY, label);
        x += 30.0 + 6.4 * label.len() as f64;
    }
}

/// How false positives pile up from look to look in one A/A experiment.
fn peeking(figures: &Figures) -> String {
    let mut svg = Svg::new(1000.0, 360.0, "False positives from look to look");
    let (left, right, top, bottom) = (60.0, 945.0, 60.0, 320.0);
    svg.heading(
        left,
        18.0,
        "Runs of an A/A experiment (10 %, even split) in which zero has been outside of the 95 % interval, by looks",
    );
    legend(&mut svg, left + 4.0, 40.0);
    let Some(experiment) = figures.of("A/A, rate 10 %, 50/50") else {
        return svg.finish();
    };
    let highest = 0.5;
    let y = |rate: f64| bottom - (bottom - top) * rate / highest;
    for percent in [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5] {
        let (colour, dashed) = if percent == 0.05 { (RED, true) } else { (PALE, false) };
        svg.line((left, y(percent)), (right, y(percent)), colour, dashed);
        svg.text(
            left - 6.0,
            y(percent) + 4.0,
            Anchor::End,
            GREY,
            &format!("{:.0} %", percent * 100.0),
        );
    }
    let looks = experiment.scenario.looks.len() as f64;
    let x = |look: usize| left + (right - left) * (look as f64 - 1.0) / (looks - 1.0);
    for look in [1, 20, 40, 60, 80, experiment.scenario.looks.len()] {
        let units = experiment.scenario.looks[look - 1];
        svg.text(x(look), bottom + 18.0, Anchor::Middle, GREY, &format!("look {look}"));
        svg.text(x(look), bottom + 32.0, Anchor::Middle, GREY, &format!("{units} units"));
    }
    for (track, _, colour) in DRAWN {
        let Some(tally) = experiment.tracks.get(track) else {
            continue;
        };
        let points: Vec<(f64, f64)> = (tally.course.iter())
            .map(|(look, runs)| (x(*look), y(*runs as f64 / tally.counted.max(1) as f64)))
            .collect();
        if track.contains("once") {
            svg.dot(right, y(tally.rejection_rate()), colour);
        } else {
            let mut sorted = points;
            sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
            svg.curve(&sorted, colour);
        }
    }
    svg.finish()
}

/// A row of dots for every scenario that `keep` keeps, at `value` of each kind of interval.
fn rows(
    title: &str,
    figures: &Figures,
    keep: impl Fn(&ScenarioFigures) -> bool,
    marks: &[f64],
    line: Option<f64>,
    value: impl Fn(&ScenarioFigures, &str) -> Option<f64>,
) -> String {
    let chosen: Vec<&ScenarioFigures> = figures.scenarios.iter().filter(|figures| keep(figures)).collect();
    let (left, right, top) = (330.0, 970.0, 80.0);
    let height = top + 20.0 * chosen.len() as f64 + 14.0;
    let mut svg = Svg::new(1000.0, height, title);
    svg.heading(10.0, 18.0, title);
    legend(&mut svg, 14.0, 40.0);
    let highest = marks.last().copied().unwrap_or(1.0);
    let x = |value: f64| left + (right - left) * value / highest;
    for mark in marks {
        svg.line((x(*mark), top - 12.0), (x(*mark), height - 8.0), PALE, false);
        svg.text(
            x(*mark),
            top - 18.0,
            Anchor::Middle,
            GREY,
            &format!("{:.0} %", mark * 100.0),
        );
    }
    if let Some(line) = line {
        svg.line((x(line), top - 12.0), (x(line), height - 8.0), RED, true);
    }
    for (row, figures) in chosen.iter().enumerate() {
        let y = top + 20.0 * row as f64 + 4.0;
        svg.text(left - 12.0, y + 4.0, Anchor::End, "#222222", &figures.scenario.name);
        for (track, _, colour) in DRAWN {
            if let Some(value) = value(figures, track) {
                svg.dot(x(value.min(highest)), y, colour);
            }
        }
    }
    svg.finish()
}

fn false_positives(figures: &Figures) -> String {
    rows(
        "False positives at 5 % nominal: A/A experiments in which zero was outside at any look",
        figures,
        |figures| figures.scenario.name.starts_with("A/A"),
        &[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
        Some(0.05),
        |figures, track| figures.tracks.get(track).map(|tally| tally.rejection_rate()),
    )
}

fn power(figures: &Figures) -> String {
    rows(
        "Power at the planned size, where a fixed-horizon test finds 80 %",
        figures,
        |figures| figures.scenario.lift != 0.0,
        &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
        None,
        |figures, track| {
            let tally = figures.tracks.get(track).filter(|_| !track.contains("peeked"))?;
            Some(tally.power())
        },
    )
}
