//! The coverage study: how often intervals are wrong when they are looked at a hundred times.
//!
//! `run --size full --write` makes `figures.json`, the plots and the tables of `docs/statistics.md`; `--size small` makes the first
//! runs of every scenario again and compares them with the committed figures.

mod draw;
mod figures;
mod judge;
mod page;
mod plot;
mod scenario;
mod simulate;
mod svg;
mod track;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::figures::{Figures, ScenarioFigures};
use crate::scenario::Scenario;
use crate::track::{ALPHA, TRACKS};

/// The seed of the committed study.
const SEED: u64 = 20_261_126;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Size {
    /// The first runs of every scenario, compared with the committed figures.
    Small,
    /// The whole study.
    Full,
}

#[derive(Parser)]
#[command(about = "Simulates how often intervals are wrong, however often they are looked at")]
struct Arguments {
    /// How many runs.
    #[arg(long, value_enum, default_value = "small")]
    size: Size,
    /// Only scenarios whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Keep the figures (after every scenario, so that a study can be resumed), and make plots and tables of them.
    #[arg(long)]
    write: bool,
    /// With --write: leave scenarios alone that have as many runs already, by the same definition.
    #[arg(long)]
    resume: bool,
    /// Runs a scenario, instead of the size's.
    #[arg(long)]
    runs: Option<u64>,
    /// Figures of this study to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Threads; as many as there are cores by default.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    match study(&Arguments::parse()) {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("coverage: {error}");
            ExitCode::FAILURE
        }
    }
}

fn study(arguments: &Arguments) -> Result<Vec<String>, String> {
    if arguments.write && arguments.size == Size::Small && arguments.runs.is_none() {
        return Err("--write keeps whole studies: with --size full, or a number of --runs".into());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let kept = root.join("tests/coverage/figures.json");
    let empty = Figures {
        seed: SEED,
        alpha: ALPHA,
        scenarios: Vec::new(),
    };
    let mut committed = Figures::read(&kept)?
        .filter(|figures| figures.seed == SEED)
        .unwrap_or(empty.clone());
    let runs = arguments.runs.unwrap_or(match arguments.size {
        Size::Small => 200,
        Size::Full => 20_000,
    });
    let runs = runs.next_multiple_of(simulate::BLOCK);
    let threads = arguments
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let all = scenario::all();
    let done = |scenario: &Scenario| {
        let kept = committed.of(&scenario.name);
        arguments.resume && kept.is_some_and(|kept| kept.scenario == *scenario && kept.runs >= runs && complete(kept))
    };
    let chosen: Vec<&Scenario> = (all.iter())
        .filter(|scenario| scenario.name.contains(&arguments.only) && !done(scenario))
        .collect();

    let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} runs, {eta} left  {msg}");
    let bar = ProgressBar::new(runs * chosen.len() as u64).with_style(style.map_err(|error| error.to_string())?);
    let mut made = empty;
    let (mut faults, mut promises, mut highest) = (Vec::new(), 0, 0.0f64);
    for scenario in &chosen {
        bar.set_message(scenario.name.clone());
        if bar.is_hidden() {
            println!("{} ({} of {})", scenario.name, made.scenarios.len() + 1, chosen.len());
        }
        let made_tracks = simulate::simulate(scenario, SEED, runs, threads, &|count| bar.inc(count));
        let (mut tracks, mut slices) = (BTreeMap::new(), BTreeMap::new());
        for (track, (tally, slice)) in TRACKS
            .iter()
            .zip(made_tracks)
            .filter(|(track, _)| track.applies(scenario))
        {
            tracks.insert(track.name.to_owned(), tally);
            slices.insert(track.name.to_owned(), slice);
        }
        let figures = ScenarioFigures {
            scenario: (*scenario).clone(),
            runs,
            tracks,
            slices,
        };
        faults.extend(judge::broken(&figures));
        for track in TRACKS.iter().filter(|track| track.promised) {
            let tally = figures.tracks.get(track.name);
            for (_, rate) in tally.map(|tally| judge::rates(scenario, tally)).unwrap_or_default() {
                promises += 1;
                highest = highest.max(rate);
            }
        }
        if arguments.write {
            committed.put(figures.clone(), &all);
            committed.write(&kept)?;
        } else {
            faults.extend(judge::differences(&figures, &committed));
        }
        made.scenarios.push(figures);
    }
    bar.finish_and_clear();
    if arguments.write {
        plot::write_all(&committed, &root.join("docs"))?;
        page::write(&committed, &root.join("docs/statistics.md"))?;
    }
    if let Some(path) = &arguments.json {
        made.write(path)?;
    }
    for fault in &faults {
        println!("{fault}");
    }
    println!(
        "coverage: {}, {} scenarios of {runs} runs, seed {SEED}, {promises} promised rates, highest {:.2} %, {} faults",
        if faults.is_empty() { "passed" } else { "failed" },
        chosen.len(),
        highest * 100.0,
        faults.len()
    );
    Ok(faults)
}

/// Whether figures have every kind of interval that their scenario has.
fn complete(figures: &ScenarioFigures) -> bool {
    (TRACKS.iter())
        .filter(|track| track.applies(&figures.scenario))
        .all(|track| figures.tracks.contains_key(track.name))
}
