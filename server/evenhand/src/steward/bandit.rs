//! The next weights of a bandit: batched Thompson sampling over all units of the phase.

use evenhand_manage::BANDIT_GRAIN;
use evenhand_manage::definition::{Bandit, OnWinner};
use evenhand_manage::steward::{Request, Running};
use evenhand_manage::stewardship::{Cause, RoundArm, StewardAct};
use evenhand_pipeline::results::{ArmResults, MetricResults};
use evenhand_pipeline::{Advice, ExperimentResults};
use evenhand_stats::{
    ArmEstimate, BanditPolicy, BestArm, Conversions, MetricKind, Posteriors, RatePrior, best_arm, update_weights,
};

use super::Found;

/// Less than this, in basis points, is no reason to begin an epoch: every epoch moves units and is kept for good. Simulated as in the tests below, 300 updates of three equal
/// variations make 70 to 109 epochs; with 200 basis points they made up to 251, with 1,000 the best of unequal ones was left with 90 %.
const LEAST_CHANGE: u32 = 500;
/// Epochs that a phase may have; weights stay as they are from then on.
pub const MAX_EPOCHS: usize = 500;

/// Variations that a sentence names.
const LEADERS: usize = 5;

/// What a look at a bandit leads to.
#[derive(Debug, Default, PartialEq)]
pub struct Turn {
    /// What is asked for.
    pub found: Vec<Found>,
    /// The variation to ship, and why.
    pub ship: Option<(String, String)>,
}

/// What follows from these results. While they are in doubt, nothing.
pub fn look(plan: &Bandit, running: &Running, results: &ExperimentResults) -> Result<Turn, String> {
    let sound = results.complete && !matches!(results.guidance.advice, Advice::FixTheData);
    let metric = results.metrics.iter().find(|metric| metric.id == plan.metric);
    let (Some(metric), Some(epoch), true) = (metric, running.phase.epoch(), sound) else {
        return Ok(Turn::default());
    };
    let learned: Vec<Option<ArmEstimate>> = metric.arms.iter().map(|arm| arm.pooled.or(arm.estimate)).collect();
    let units: Vec<u64> = learned.iter().map(|arm| arm.map_or(0, |arm| arm.units)).collect();
    if units.iter().any(|units| *units < plan.minimum_units) {
        return Ok(Turn::default());
    }
    let policy = BanditPolicy {
        floor: plan.floor,
        minimum_units: plan.minimum_units,
        stop_probability: plan.stop_probability,
        stop_loss: None,
    };
    let unavailable = |why| format!("the bandit can't judge {}: {why:?}", plan.metric);
    let best = best_arm(&posteriors(metric, &learned).map_err(unavailable)?, metric.better).map_err(unavailable)?;
    let update = update_weights(&best, &units, &policy).map_err(unavailable)?;
    let weights = whole_per_cents(&update.weights);
    let current = |arm: &ArmResults| {
        let held = epoch.weights.iter().find(|held| held.variation == arm.variation_id);
        held.map_or(0, |held| held.weight)
    };
    let changed =
        (metric.arms.iter().zip(&weights)).any(|(arm, weight)| current(arm).abs_diff(*weight) >= LEAST_CHANGE);
    let mut turn = Turn::default();
    let said = standing(metric, &best);
    if changed && running.phase.epochs.len() < MAX_EPOCHS {
        let arms = metric.arms.iter().zip(&units).zip(&best.probabilities).zip(&weights);
        let arms = arms.map(|(((arm, units), probability), weight)| RoundArm {
            variation: arm.variation_id.clone(),
            units: *units,
            probability: *probability,
            weight: *weight,
        });
        turn.found.push(Found {
            request: Request::Weights {
                epoch: epoch.epoch,
                arms: arms.collect(),
            },
            because: format!("the best on {}: {said}", plan.metric),
        });
    }
    if let Some(winner) = update.winner.and_then(|winner| metric.arms.get(winner)) {
        let because = format!(
            "{} is the best on {} with a probability of at least {}: {said}",
            winner.variation_id, plan.metric, plan.stop_probability
        );
        if plan.on_winner == OnWinner::Ship && !matches!(results.guidance.advice, Advice::Stop) {
            turn.ship = Some((winner.variation_id.clone(), because));
        } else {
            turn.found.push(Found {
                request: Request::Found {
                    cause: Cause::Winner,
                    act: StewardAct::Notify,
                    dry_run: false,
                    metric: Some(plan.metric.clone()),
                    variation: Some(winner.variation_id.clone()),
                },
                because,
            });
        }
    }
    Ok(turn)
}

/// Of rates beta, of all else normal.
fn posteriors(metric: &MetricResults, arms: &[Option<ArmEstimate>]) -> Result<Posteriors, evenhand_stats::Unavailable> {
    if metric.kind != MetricKind::Proportion {
        return Posteriors::of_means(arms);
    }
    let rates: Vec<Conversions> = (arms.iter())
        .map(|arm| Conversions {
            units: arm.map_or(0, |arm| arm.units),
            conversions: arm.map_or(0, |arm| arm.total.round() as u64),
        })
        .collect();
    Posteriors::of_rates(&rates, &RatePrior::default())
}

/// The leaders, the first of them first.
fn standing(metric: &MetricResults, best: &BestArm) -> String {
    let mut arms: Vec<(&ArmResults, f64)> = metric.arms.iter().zip(best.probabilities.iter().copied()).collect();
    arms.sort_by(|one, other| other.1.total_cmp(&one.1));
    let shown: Vec<String> = (arms.iter().take(LEADERS))
        .map(|(arm, probability)| format!("{} {:.1} %", arm.variation_id, probability * 100.0))
        .collect();
    shown.join(", ")
}

/// Weights that sum to 10,000, each at least a floor that is a whole per cent, rounded to whole per cents by the largest remainder: none falls below the floor.
fn whole_per_cents(weights: &[u32]) -> Vec<u32> {
    let mut rounded: Vec<u32> = weights
        .iter()
        .map(|weight| weight / BANDIT_GRAIN * BANDIT_GRAIN)
        .collect();
    let left = weights.iter().sum::<u32>().saturating_sub(rounded.iter().sum()) / BANDIT_GRAIN;
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|arm| std::cmp::Reverse(weights.get(*arm).map_or(0, |weight| weight % BANDIT_GRAIN)));
    for arm in order.into_iter().take(left as usize) {
        if let Some(weight) = rounded.get_mut(arm) {
            *weight += BANDIT_GRAIN;
        }
    }
    rounded
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use evenhand_manage::definition::{Arm, Experiment};
    use evenhand_manage::state::{Epoch, Phase, PhaseSalts};
    use evenhand_pipeline::KeyKind;
    use evenhand_pipeline::analytics::{NamedCell, PhaseAggregates, TargetAggregates};
    use evenhand_pipeline::catalog::{
        CatalogExperiment, CatalogMetric, CatalogVariation, EventMetric, MetricDefinition, NumberSource, Reading, Role,
    };
    use evenhand_pipeline::process::aggregate::{Standing, Sums};
    use evenhand_pipeline::process::cut::Cut;
    use evenhand_pipeline::results::summarise;
    use serde_json::json;

    use super::*;

    const ARMS: [&str; 3] = ["a", "b", "c"];

    /// A bandit over simulated units, through the same results as in the server: its phase in the end.
    fn played(truth: [f64; 3], updates: u32, units: u32, seed: u64) -> Phase {
        let weights = [3_400, 3_300, 3_300];
        let arms = |weights: &[u32]| -> Vec<Arm> {
            let arm = |(variation, weight): (&&str, &u32)| Arm {
                variation: (*variation).into(),
                weight: *weight,
            };
            ARMS.iter().zip(weights).map(arm).collect()
        };
        let definition: Experiment = serde_json::from_value(json!({
            "key": "x", "flag": "f", "unit": "user_id", "sticky": true, "variations": arms(&weights),
            "metrics": [{ "metric": "m", "role": "primary" }], "bandit": { "metric": "m" },
        }))
        .unwrap();
        let epoch = |epoch: u32, weights: Vec<Arm>| Epoch {
            epoch,
            started_ms: 0,
            ended_ms: None,
            weights,
            split: Vec::new(),
        };
        let mut phase = Phase {
            phase: 1,
            started_ms: 0,
            ended_ms: None,
            salts: PhaseSalts {
                traffic: "t".into(),
                split: "s".into(),
            },
            traffic: 10_000,
            targeting: None,
            epochs: vec![epoch(1, arms(&weights))],
        };
        let events = EventMetric {
            kind: MetricKind::Proportion,
            event_name: "e".into(),
            filter: Vec::new(),
            steps_before: Vec::new(),
            number: NumberSource::Value,
            from_seconds: 0,
            window_seconds: 60,
            bands: false,
            cap_micros: None,
            pre_period_seconds: None,
        };
        let mut catalog = CatalogExperiment {
            id: "x".into(),
            phase: 1,
            unit_type: "user_id".into(),
            start_ms: None,
            planned_end_ms: None,
            analysis: Default::default(),
            aliases: Vec::new(),
            variations: (ARMS.iter())
                .map(|id| CatalogVariation {
                    id: (*id).into(),
                    weight: 3_333,
                    is_control: *id == "a",
                    aliases: Vec::new(),
                })
                .collect(),
            epoch_weights: BTreeMap::new(),
            dimensions: Vec::new(),
            metrics: vec![CatalogMetric {
                id: "m".into(),
                definition: MetricDefinition::Events(events),
                reading: Reading {
                    role: Role::Primary,
                    ..Reading::default()
                },
            }],
        };
        let mut state = seed;
        let mut draw = move || {
            // xorshift64*, of Vigna.
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
        };
        let mut cells: BTreeMap<(u32, usize), (i64, i64)> = BTreeMap::new();
        for _ in 0..updates {
            let current = phase.epoch().unwrap().clone();
            let held: Vec<u32> = current.weights.iter().map(|arm| arm.weight).collect();
            catalog.epoch_weights.insert(current.epoch, held.clone());
            for (arm, weight) in held.iter().enumerate() {
                let cell = cells.entry((current.epoch, arm)).or_default();
                for _ in 0..units * weight / 10_000 {
                    cell.0 += 1;
                    cell.1 += i64::from(draw() < truth[arm]);
                }
            }
            let target = |of_metric: bool| TargetAggregates {
                complete: true,
                bands: Vec::new(),
                cells: (cells.iter())
                    .map(|((epoch, arm), (n, conversions))| {
                        let mut sums = Sums {
                            n: *n,
                            ..Sums::default()
                        };
                        if of_metric {
                            sums.sum.add(i128::from(*conversions) * 1_000_000);
                            sums.sum_sq.add(i128::from(*conversions) * 1_000_000_000_000);
                        }
                        NamedCell {
                            epoch: *epoch,
                            variation: Some(ARMS[*arm].into()),
                            key_kind: KeyKind::Server,
                            standing: Standing::Counted,
                            day: None,
                            cut: Cut::All,
                            sums,
                        }
                    })
                    .collect(),
            };
            let aggregates = PhaseAggregates {
                assignment: target(false),
                metrics: BTreeMap::from([("m".into(), target(true))]),
            };
            let running = Running {
                definition: definition.clone(),
                version: 1,
                phase: phase.clone(),
                ramp: None,
            };
            let results = summarise(&catalog, &aggregates, &Default::default(), 0);
            let turn = look(definition.bandit.as_ref().unwrap(), &running, &results).unwrap();
            for found in turn.found {
                if let Request::Weights { arms, .. } = found.request {
                    let weights = arms.iter().map(|arm| Arm {
                        variation: arm.variation.clone(),
                        weight: arm.weight,
                    });
                    phase.epochs.push(epoch(current.epoch + 1, weights.collect()));
                }
            }
        }
        phase
    }

    #[test]
    fn traffic_goes_to_the_best_and_epochs_end_when_nothing_is_learned_any_more() {
        for seed in 1..=5 {
            let phase = played([0.05, 0.05, 0.07], 200, 500, seed);
            let last = phase.epoch().unwrap();
            assert!(last.weights[2].weight >= 9_500, "seed {seed}: {:?}", last.weights);
            assert!(phase.epochs.len() <= 30, "seed {seed}: {} epochs", phase.epochs.len());
            assert!(phase.epochs.iter().all(|epoch| {
                epoch
                    .weights
                    .iter()
                    .all(|arm| arm.weight.is_multiple_of(100) && arm.weight >= 100)
            }));
        }
    }

    /// Where nothing is to be learned weights wander with chance, ever more slowly.
    #[test]
    fn equal_variations_do_not_make_an_epoch_of_every_update() {
        for seed in 1..=3 {
            let epochs = played([0.05, 0.05, 0.05], 300, 500, seed).epochs.len();
            assert!(epochs <= 150, "seed {seed}: {epochs} epochs in 300 updates");
        }
    }

    #[test]
    fn weights_become_whole_per_cents_and_none_falls_below_its_floor() {
        assert_eq!(whole_per_cents(&[3_333, 3_333, 3_334]), [3_300, 3_300, 3_400]);
        assert_eq!(whole_per_cents(&[9_777, 123, 100]), [9_800, 100, 100]);
        assert_eq!(whole_per_cents(&[4_999, 5_001]), [5_000, 5_000]);
    }
}
