"""The statistics of an experiment from counts, sums or values: what the results pages show, for notebooks.

>>> from evenhand import stats
>>> control = stats.Arm.from_conversions(units=5_000, conversions=500)
>>> treatment = stats.Arm.from_conversions(units=5_000, conversions=600)
>>> lift = stats.compare(control, treatment)
>>> print(f"{lift.relative.estimate:+.1%} ({lift.relative.lower:+.1%} to {lift.relative.upper:+.1%})")
+20.0% (+0.9% to +43.1%)

Arms come from `Arm.from_…` and `adjust_by_pre_period`; look at `sample_ratio` first; `compare` and `non_inferiority` judge by
`AnytimeValid` (the default), `FixedHorizon` or `GroupSequential`; `effect_posterior` and `compare_rates` say what to believe;
`Plan` says how many units it takes.

**Units.** Values, sums and results are in the metric's own units; inside they are whole micro-units, added up exactly. Only
names with `micros`, and `PrePeriodSums`, take micro-units. **No NaN.** What does not exist is None, with a `reason` beside
it (`explain`). Wrong arguments raise `StatsError`. NumPy is not needed, and its arrays and numbers are welcome.
"""

from ._arms import Arm, PrePeriodAdjusted, PrePeriodSums, adjust_by_pre_period
from ._bayes import (
    Better,
    Conversions,
    Credible,
    EffectPosterior,
    EffectPrior,
    ExpectedLoss,
    RatePosterior,
    RatePrior,
    Scale,
    compare_rates,
    effect_density,
    effect_posterior,
    rate_lift_density,
)
from ._effects import (
    Effect,
    Gate,
    Lift,
    MinimumData,
    NonInferiority,
    Region,
    Shortfall,
    compare,
    compare_against,
    non_inferiority,
    welch,
)
from ._engine import REASONS, Reason, explain
from ._errors import StatsError
from ._health import (
    SEQUENTIAL_SRM_P_THRESHOLD,
    SRM_CONCENTRATIONS,
    SRM_P_THRESHOLD,
    Balance,
    Epoch,
    MultipleExposure,
    SampleRatio,
    SequentialSampleRatio,
    Suspect,
    multiple_exposure,
    pre_period_balance,
    sample_ratio,
    sequential_sample_ratio,
    suspects,
)
from ._planning import Plan, SampleSize
from ._procedures import Alternative, AnytimeValid, FixedHorizon, GroupSequential, Procedure

__all__ = [
    "REASONS",
    "SEQUENTIAL_SRM_P_THRESHOLD",
    "SRM_CONCENTRATIONS",
    "SRM_P_THRESHOLD",
    "Alternative",
    "AnytimeValid",
    "Arm",
    "Balance",
    "Better",
    "Conversions",
    "Credible",
    "Effect",
    "EffectPosterior",
    "EffectPrior",
    "Epoch",
    "ExpectedLoss",
    "FixedHorizon",
    "Gate",
    "GroupSequential",
    "Lift",
    "MinimumData",
    "MultipleExposure",
    "NonInferiority",
    "Plan",
    "PrePeriodAdjusted",
    "PrePeriodSums",
    "Procedure",
    "RatePosterior",
    "RatePrior",
    "Reason",
    "Region",
    "SampleRatio",
    "SampleSize",
    "Scale",
    "SequentialSampleRatio",
    "Shortfall",
    "StatsError",
    "Suspect",
    "adjust_by_pre_period",
    "compare",
    "compare_against",
    "compare_rates",
    "effect_density",
    "effect_posterior",
    "explain",
    "multiple_exposure",
    "non_inferiority",
    "pre_period_balance",
    "rate_lift_density",
    "sample_ratio",
    "sequential_sample_ratio",
    "suspects",
    "welch",
]
