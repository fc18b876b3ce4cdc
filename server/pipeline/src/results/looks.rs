//! Looks of the group-sequential method. When one is due follows from the number of units alone; what was seen at it is kept by whoever took it, and handed in
//! by [`ResultsQuery::looks`]: between looks results say what the last one said.
//!
//! Intervals of a look are repeated confidence intervals, true at all looks together, so a later one takes nothing back that an earlier one refused: the chance
//! that *any* look refuses a true "no effect" is α. "Better" and "worse" stand from the look on that found them; the figures are always the last look's.

use evenhand_stats::{Alternative, Confidence, GroupSequential, Look, Unavailable};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ExperimentResults, MetricResults, ResultsQuery, ShownLift, Verdict, metric::ArmResults};
use crate::catalog::{Analysis, Method, Role, Spending};

/// Most looks of a plan.
const MOST_LOOKS: usize = 20;
/// Least increase of the share of the planned units from one look to the next.
const LEAST_STEP: f64 = evenhand_stats::effects::group_sequential::LEAST_STEP;
/// The greatest share that is counted, however many more units came.
const GREATEST_FRACTION: f64 = 10.0;

/// A look that was taken, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TakenLook {
    /// Which, when, and how far.
    #[serde(flatten)]
    pub look: ShownLook,
    /// What was seen.
    pub comparisons: Vec<TakenComparison>,
}

/// A metric of a variation at a look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TakenComparison {
    /// The metric.
    pub metric: String,
    /// The variation.
    pub variation: String,
    /// 1 − α of its intervals.
    pub confidence: f64,
    /// [`ArmResults::lift`].
    pub lift: Option<ShownLift>,
    /// [`ArmResults::adjusted_lift`].
    pub adjusted_lift: Option<ShownLift>,
    /// [`ArmResults::adjusted_p_value`].
    pub adjusted_p_value: Option<f64>,
    /// [`ArmResults::verdict`].
    pub verdict: Option<Verdict>,
}

/// The looks of a phase.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LooksResults {
    /// Units of all variations that the last look is planned for.
    pub planned_units: u64,
    /// How many looks are planned, at equal shares of the planned units.
    pub planned: u32,
    /// How α is spent over them.
    pub spending: Spending,
    /// Units that count by now.
    pub units: u64,
    /// Those taken, in their order.
    pub taken: Vec<ShownLook>,
    /// The number of the look that lifts, intervals, p-values and verdicts are of. None: there are none, because no look was taken, or these are not all
    /// units of the phase, or not at the planned level.
    pub shown: Option<u32>,
    /// The next one; none: the last was taken.
    pub next: Option<NextLook>,
    /// What is being taken.
    #[serde(skip)]
    due: Option<ShownLook>,
    #[serde(skip)]
    over: bool,
}

/// A look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShownLook {
    /// Its number among the planned ones, from 1. One that was not taken in time is skipped, which changes no promise.
    pub number: u32,
    /// When it was taken.
    pub at_ms: i64,
    /// Units that counted, of all variations.
    pub units: u64,
    /// The same over the planned units. The split is fixed, so it is the information fraction of every comparison.
    pub fraction: f64,
    /// Whether none comes after it.
    pub is_last: bool,
    /// Its two-sided bound for primary metrics, in standard errors.
    pub bound: f64,
    /// α spent up to and with it.
    pub spent: f64,
}

/// A look to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct NextLook {
    /// Its number.
    pub number: u32,
    /// Units at which it is taken; at the planned end with fewer, if some came since the look before.
    pub units: u64,
}

impl TakenLook {
    /// What is to be kept of results that took a look; none: none was due.
    #[must_use]
    pub fn of(results: &ExperimentResults) -> Option<Self> {
        let look = results.looks.as_ref()?.due?;
        let of_metric = |metric: &MetricResults| {
            let treatments = metric.arms.iter().filter(|arm| arm.verdict.is_some());
            let one = |arm: &ArmResults| TakenComparison {
                metric: metric.id.clone(),
                variation: arm.variation_id.clone(),
                confidence: metric.confidence,
                lift: arm.lift,
                adjusted_lift: arm.adjusted_lift,
                adjusted_p_value: arm.adjusted_p_value,
                verdict: arm.verdict,
            };
            treatments.map(one).collect::<Vec<_>>()
        };
        Some(Self {
            look: ShownLook {
                at_ms: results.as_of_ms,
                ..look
            },
            comparisons: results.metrics.iter().flat_map(of_metric).collect(),
        })
    }

    fn comparison(&self, metric: &str, variation: &str) -> Option<&TakenComparison> {
        let mut comparisons = self.comparisons.iter();
        comparisons.find(|one| one.metric == metric && one.variation == variation)
    }
}

impl LooksResults {
    /// Whether nothing more is to come of it.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }
}

/// The looks of a design up to the one that is being taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reached {
    number: u32,
    units: u64,
    fractions: [f64; MOST_LOOKS],
    looks: usize,
    is_last: bool,
    spending: Spending,
}

impl Reached {
    /// It, as a test at this level.
    pub fn procedure(&self, confidence: Confidence, alternative: Alternative) -> Result<Look, Unavailable> {
        let design = GroupSequential {
            confidence,
            alternative,
            spending: match self.spending {
                Spending::ObrienFleming => evenhand_stats::Spending::OBrienFleming,
                Spending::Pocock => evenhand_stats::Spending::Pocock,
            },
        };
        let fractions = self.fractions.get(..self.looks).ok_or(Unavailable::OutOfDomain)?;
        design.look(fractions, self.is_last)
    }

    fn fraction(&self) -> Option<f64> {
        self.fractions.get(..self.looks)?.last().copied()
    }
}

/// Where a phase that is read by looks stands.
pub(super) struct Course<'a> {
    planned_units: u64,
    planned: u32,
    spending: Spending,
    taken: &'a [TakenLook],
    /// Whether a look that is due is to be taken.
    take: bool,
    progress: Progress,
    /// Whether these are all units, at the planned level.
    whole: bool,
}

/// How far a phase has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    /// Units that count by now.
    pub units: u64,
    pub planned_end_reached: bool,
    /// False while units are still being counted in.
    pub complete: bool,
    /// How many have units.
    pub epochs: usize,
}

impl<'a> Course<'a> {
    /// None where the phase is not read by looks.
    pub fn of(analysis: &Analysis, query: &'a ResultsQuery, level: Confidence, progress: Progress) -> Option<Self> {
        let looks = analysis.looks.filter(|looks| looks.looks > 0)?;
        let planned_units = analysis.planned_units.filter(|units| *units > 0)?;
        let planned_level = Confidence::from_level(analysis.confidence).ok();
        (analysis.method == Method::GroupSequential).then_some(Self {
            planned_units,
            planned: looks.looks,
            spending: looks.spending,
            taken: &query.looks,
            take: query.take_look,
            progress,
            whole: query.cut.is_none()
                && query.key_kind.is_none()
                && planned_level == Some(level)
                && progress.epochs <= 1,
        })
    }

    fn last(&self) -> Option<ShownLook> {
        self.taken.last().map(|taken| taken.look)
    }

    /// The newest planned look whose share of the units is there; 0: none.
    fn reached(&self) -> u32 {
        let reached = u128::from(self.progress.units) * u128::from(self.planned) / u128::from(self.planned_units);
        u32::try_from(reached).map_or(self.planned, |reached| reached.min(self.planned))
    }

    /// The look that is due. By units alone, and by the planned end.
    fn due(&self) -> Option<Reached> {
        let (last, reached) = (self.last(), self.reached());
        let number = if self.progress.planned_end_reached {
            self.planned
        } else {
            reached
        };
        let is_last = number == self.planned;
        let fraction = (self.progress.units as f64 / self.planned_units as f64).min(GREATEST_FRACTION);
        let earlier = last.map_or(0.0, |last| last.fraction);
        let follows = last.is_none_or(|last| !last.is_last && number > last.number);
        // So close to the end another look would leave no step for the last.
        let fits = fraction >= earlier + LEAST_STEP && (is_last || fraction <= 1.0 - 2.0 * LEAST_STEP);
        if number == 0 || !follows || !fits {
            return None;
        }
        let mut fractions = [0.0; MOST_LOOKS];
        let all = self.taken.iter().map(|taken| taken.look.fraction).chain([fraction]);
        let looks = self.taken.len().checked_add(1).filter(|looks| *looks <= MOST_LOOKS)?;
        fractions.iter_mut().zip(all).for_each(|(place, one)| *place = one);
        Some(Reached {
            number,
            units: self.progress.units,
            fractions,
            looks,
            is_last,
            spending: self.spending,
        })
    }

    /// The look that is being taken.
    pub fn taking(&self) -> Option<Reached> {
        (self.take && self.whole && self.progress.complete)
            .then(|| self.due())
            .flatten()
    }

    /// Puts the last look's figures in place, or leaves those of the one that is being taken; says which.
    pub fn show(&self, metrics: &mut [MetricResults], level: Confidence, of_primaries: Confidence) -> LooksResults {
        let taking = self.taking();
        let due = taking.and_then(|reached| {
            let procedure = |level| reached.procedure(level, Alternative::TwoSided).ok();
            Some(ShownLook {
                number: reached.number,
                at_ms: 0,
                units: reached.units,
                fraction: reached.fraction()?,
                is_last: reached.is_last,
                bound: *procedure(of_primaries)?.bounds().last()?,
                spent: procedure(level)?.spent().ok()?,
            })
        });
        let shown = match (&due, self.last()) {
            (Some(due), _) => Some(due.number),
            (None, Some(last)) if self.whole => Some(last.number),
            _ => None,
        };
        for metric in metrics.iter_mut() {
            for arm in metric.arms.iter_mut().filter(|arm| arm.verdict.is_some()) {
                if due.is_none() {
                    arm.current_lift = arm.decisive().copied();
                }
            }
            if self.whole && due.is_none() {
                self.freeze(metric);
            }
        }
        let closed = self.last().is_some_and(|last| last.is_last);
        LooksResults {
            planned_units: self.planned_units,
            planned: self.planned,
            spending: self.spending,
            units: self.progress.units,
            taken: self.taken.iter().map(|taken| taken.look).collect(),
            shown,
            next: if closed { None } else { self.next() },
            due,
            over: closed || (self.progress.planned_end_reached && self.due().is_none()),
        }
    }

    fn next(&self) -> Option<NextLook> {
        let after = self.last().map_or(1, |last| last.number.saturating_add(1));
        let number = self.reached().max(after).min(self.planned);
        let units = (u128::from(self.planned_units) * u128::from(number)).div_ceil(u128::from(self.planned));
        Some(NextLook {
            number,
            units: u64::try_from(units).ok()?,
        })
    }

    /// Says of a metric what the last look said; of one that it did not know nothing.
    fn freeze(&self, metric: &mut MetricResults) {
        let Some(last) = self.taken.last() else { return };
        for arm in metric.arms.iter_mut().filter(|arm| arm.verdict.is_some()) {
            let Some(seen) = last.comparison(&metric.id, &arm.variation_id) else {
                continue;
            };
            metric.confidence = seen.confidence;
            (arm.lift, arm.adjusted_lift) = (seen.lift, seen.adjusted_lift);
            arm.adjusted_p_value = seen.adjusted_p_value;
            let standing = self.standing(&metric.id, &arm.variation_id, metric.role);
            arm.decided_at_look = standing.map(|(number, _)| number);
            arm.verdict = standing.map(|(_, verdict)| verdict).or(seen.verdict);
        }
    }

    /// The verdict that an earlier look has reached for good, and at which. Of a guardrail only "worse" is: safety has the last word.
    fn standing(&self, metric: &str, variation: &str, role: Role) -> Option<(u32, Verdict)> {
        self.taken.iter().find_map(|taken| {
            let verdict = taken.comparison(metric, variation)?.verdict?;
            let stands = match verdict {
                Verdict::Worse => true,
                Verdict::Better => role != Role::Guardrail,
                Verdict::WithinMargin | Verdict::Undecided | Verdict::TooEarly => false,
            };
            stands.then_some((taken.look.number, verdict))
        })
    }
}
