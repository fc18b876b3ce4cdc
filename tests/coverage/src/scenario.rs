//! What is simulated: how traffic is split, what units do, and when somebody looks.

use evenhand_stats::MinimumData;
use evenhand_stats::distributions::normal::normal_upper_tail;
use serde::{Deserialize, Serialize};

/// What one unit does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Metric {
    /// 1 with this probability, else 0.
    Proportion {
        /// In control.
        rate: f64,
    },
    /// Log-normal spending of a few buyers (median e³ ≈ 20), zero of all others.
    Revenue {
        /// Probability that a unit buys.
        buyers: f64,
        /// Standard deviation of the logarithm: 1 is mild, 2 has a coefficient of variation of 7 among buyers alone.
        sigma: f64,
        /// A fixed cap of a unit's value.
        cap: Option<f64>,
    },
}

/// Log of the median amount of a buyer in control.
pub const LOG_MEDIAN: f64 = 3.0;

impl Metric {
    /// Probability that a unit of control has a value above zero.
    pub fn conversion(self) -> f64 {
        match self {
            Self::Proportion { rate } => rate,
            Self::Revenue { buyers, .. } => buyers,
        }
    }

    /// True mean and variance of a unit whose effect is `lift`: a rate times 1 + lift, or amounts times 1 + lift.
    pub fn moments(self, lift: f64) -> (f64, f64) {
        match self {
            Self::Proportion { rate } => {
                let p = rate * (1.0 + lift);
                (p, p * (1.0 - p))
            }
            Self::Revenue { buyers, sigma, cap } => {
                let mu = LOG_MEDIAN + (1.0 + lift).ln();
                // E[min(X, cap)^k] of a log-normal X.
                let power = |k: f64| {
                    let whole = (k * mu + k * k * sigma * sigma / 2.0).exp();
                    cap.map_or(whole, |cap| {
                        let z = (cap.ln() - mu) / sigma;
                        whole * normal_upper_tail(k * sigma - z) + cap.powf(k) * normal_upper_tail(z)
                    })
                };
                let mean = buyers * power(1.0);
                (mean, buyers * power(2.0) - mean * mean)
            }
        }
    }
}

/// One line of the study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// Its name, which also seeds it.
    pub name: String,
    /// Planned shares of the arms, control first.
    pub weights: Vec<u32>,
    /// Shares that units really arrive in; as planned where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arriving: Option<Vec<u32>>,
    /// What units do.
    pub metric: Metric,
    /// Whether the split is watched, and not an effect.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub split: bool,
    /// True relative effect in every treatment: 0 is A/A.
    pub lift: f64,
    /// What each arm must have before a look counts.
    pub minimum: MinimumData,
    /// Units of all arms at each look.
    pub looks: Vec<u64>,
    /// Which of the looks (from 0) are the stages of a plan; the last of them is its end, the fixed horizon.
    pub stages: Vec<usize>,
}

impl Scenario {
    /// Units of all arms at the fixed horizon.
    pub fn horizon(&self) -> u64 {
        self.stages
            .last()
            .and_then(|stage| self.looks.get(*stage))
            .copied()
            .unwrap_or(0)
    }

    /// Units of all arms at the last look.
    pub fn last(&self) -> u64 {
        self.looks.last().copied().unwrap_or(0)
    }

    /// True (absolute, relative) effect.
    pub fn truth(&self) -> (f64, f64) {
        let (control, treatment) = (self.metric.moments(0.0).0, self.metric.moments(self.lift).0);
        (treatment - control, (treatment - control) / control)
    }
}

/// A hundred looks from `first` to `last` units: the ten stages of a plan that ends at `horizon`, the last look, and the rest
/// spaced geometrically.
fn looks(first: u64, horizon: u64, last: u64) -> (Vec<u64>, Vec<usize>) {
    let stages: Vec<u64> = (1..=10).map(|stage| horizon * stage / 10).collect();
    let mut looks = stages.clone();
    if last > horizon {
        looks.push(last);
    }
    let rest = 100 - looks.len();
    let ratio = (last as f64 / first as f64).powf(1.0 / rest as f64);
    looks.extend((0..rest).map(|look| (first as f64 * ratio.powi(look as i32)).round() as u64));
    looks.sort_unstable();
    looks.dedup();
    let stages = (looks.iter().enumerate())
        .filter(|(_, units)| stages.contains(units))
        .map(|(index, _)| index)
        .collect();
    (looks, stages)
}

/// An A/A experiment. The first look comes at 0.7 times the size at which the smallest arm is expected to reach the minimum data,
/// the last at the larger of 20 times that size and 200 times the one with ten conversions.
fn aa(name: &str, weights: &[u32], metric: Metric, conversions: u64) -> Scenario {
    let total: u32 = weights.iter().sum();
    let least = f64::from(weights.iter().copied().min().unwrap_or(1)) / f64::from(total);
    let units = |conversions: f64| (conversions / metric.conversion()).max(100.0) / least;
    let minimum = MinimumData {
        conversions,
        ..MinimumData::default()
    };
    let last = (20.0 * units(minimum.conversions as f64)).max(200.0 * units(10.0));
    let last = (last / 10.0).ceil() as u64 * 10;
    let (looks, stages) = looks((0.7 * units(minimum.conversions as f64)).ceil() as u64, last, last);
    Scenario {
        name: name.into(),
        weights: weights.to_vec(),
        arriving: None,
        metric,
        split: false,
        lift: 0.0,
        minimum,
        looks,
        stages,
    }
}

/// An A/B experiment with the lift (to three digits) that a fixed-horizon test at 5 % finds with a probability of 80 % at the end
/// of an A/A one, which is the plan; looks go on to twice that.
fn ab(name: &str, weights: &[u32], metric: Metric, conversions: u64) -> Scenario {
    let plain = aa(name, weights, metric, conversions);
    let total: u32 = weights.iter().sum();
    let units = |index: usize| plain.last() as f64 * f64::from(weights[index]) / f64::from(total);
    let (mean, variance) = metric.moments(0.0);
    // The lift whose effect is z(97.5 %) + z(80 %) standard errors, by halving; a cap takes part of it away.
    let (mut low, mut lift) = (0.0, 1.0);
    for _ in 0..50 {
        let middle = (low + lift) / 2.0;
        let (raised, spread) = metric.moments(middle);
        if raised - mean < 2.8016 * (variance / units(0) + spread / units(1)).sqrt() {
            low = middle;
        } else {
            lift = middle;
        }
    }
    let digits = 10f64.powi(2 - lift.log10().floor() as i32);
    let (looks, stages) = looks(plain.looks[0], plain.last(), 2 * plain.last());
    Scenario {
        lift: (lift * digits).round() / digits,
        looks,
        stages,
        ..plain
    }
}

/// Units that arrive as planned, or not: a split, watched from the tenth unit to a million.
fn split(name: &str, weights: &[u32], arriving: Option<&[u32]>) -> Scenario {
    let (looks, stages) = looks(10, 1_000_000, 1_000_000);
    Scenario {
        name: name.into(),
        weights: weights.to_vec(),
        arriving: arriving.map(<[u32]>::to_vec),
        metric: Metric::Proportion { rate: 0.5 },
        split: true,
        lift: 0.0,
        minimum: MinimumData {
            conversions: 0,
            units: 0,
        },
        looks,
        stages,
    }
}

/// The default minimum: ten conversions an arm.
const TEN: u64 = 10;

/// The whole study, in the order of the page.
pub fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    let splits: [(&str, &[u32]); 3] = [("50/50", &[1, 1]), ("90/10", &[9, 1]), ("99/1", &[99, 1])];
    let proportion = |rate| Metric::Proportion { rate };
    for rate in [0.001, 0.01, 0.1, 0.5] {
        for (split, weights) in splits {
            let name = format!("A/A, rate {} %, {split}", rate * 100.0);
            all.push(aa(&name, weights, proportion(rate), TEN));
        }
    }
    for rate in [0.01, 0.1] {
        let name = format!("A/A, rate {} %, 1/99", rate * 100.0);
        all.push(aa(&name, &[1, 99], proportion(rate), TEN));
    }
    for arms in [3, 5, 10] {
        let name = format!("A/A, rate 5 %, {arms} arms");
        all.push(aa(&name, &vec![1; arms], proportion(0.05), TEN));
    }
    let revenue = |sigma, cap| Metric::Revenue {
        buyers: 0.05,
        sigma,
        cap,
    };
    // The cap is the 99.9th percentile of all units: the 98th of the buyers, e³ times e^(2.054σ).
    let capped = revenue(2.0, Some(1_220.0));
    let kinds = [
        ("σ 1", revenue(1.0, None)),
        ("σ 2, capped", capped),
        ("σ 2", revenue(2.0, None)),
    ];
    for (kind, metric) in kinds {
        for (split, weights) in splits {
            all.push(aa(&format!("A/A, revenue, {kind}, {split}"), weights, metric, TEN));
        }
        for (split, weights) in &splits[1..] {
            all.push(aa(
                &format!("A/A, revenue, {kind}, {split}, from 100 buyers on"),
                weights,
                metric,
                100,
            ));
        }
    }
    for rate in [0.001, 0.01, 0.1, 0.5] {
        for (split, weights) in splits {
            let name = format!("A/B, rate {} %, {split}", rate * 100.0);
            all.push(ab(&name, weights, proportion(rate), TEN));
        }
    }
    all.push(ab("A/B, rate 5 %, 10 arms", &[1; 10], proportion(0.05), TEN));
    for (split, weights) in &splits[..2] {
        all.push(ab(
            &format!("A/B, revenue, σ 1, {split}"),
            weights,
            revenue(1.0, None),
            TEN,
        ));
        all.push(ab(&format!("A/B, revenue, σ 2, capped, {split}"), weights, capped, TEN));
    }
    for (name, weights) in splits {
        all.push(split(&format!("split {name}"), weights, None));
    }
    all.push(split("split over 10 arms", &[1; 10], None));
    all.push(split("split 50/50, arriving 50.5/49.5", &[1, 1], Some(&[101, 99])));
    all.push(split("split 50/50, arriving 52/48", &[1, 1], Some(&[13, 12])));
    all.push(split("split 99/1, arriving 99.1/0.9", &[99, 1], Some(&[991, 9])));
    all
}
