"""The statistics of an experiment from counts, sums or values: what the results pages show, for notebooks.

>>> from evenhand import stats
>>> control = stats.Arm.from_conversions(units=5_000, conversions=500)
>>> treatment = stats.Arm.from_conversions(units=5_000, conversions=600)
>>> lift = stats.compare(control, treatment)
>>> print(f"{lift.relative.estimate:+.1%} ({lift.relative.lower:+.1%} to {lift.relative.upper:+.1%})")
+20.0% (+0.9% to +43.1%)

Arms come from `Arm.from_…` and `adjust_by_pre_period`; look at `sample_ratio` first; `compare` and `non_inferiority` judge by
`AnytimeValid` (the default), `FixedHorizon` or `GroupSequential`; `effect_posterior` and `compare_rates` say what to believe;
`Plan` and `Design` say how many units it takes, `compare_family` judges several metrics together, `best_rate` and
`update_weights` run a bandit.

**Units.** Values, sums and results are in the metric's own units; inside they are whole micro-units, added up exactly. Only
names with `micros`, and `PrePeriodSums`, take micro-units. **No NaN.** What does not exist is None, with a `reason` beside
it (`explain`). Wrong arguments raise `StatsError`. NumPy is not needed, and its arrays and numbers are welcome.
"""

from ._arms import (
    Arm,
    PrePeriodAdjusted,
    PrePeriodRatioSums,
    PrePeriodSums,
    adjust_by_pre_period,
    adjust_ratio_by_pre_period,
    percentile_cap,
)
from ._bandits import (
    BanditPolicy,
    BanditUpdate,
    BestArm,
    OverEpochs,
    best_mean,
    best_rate,
    over_epochs,
    update_weights,
)
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
from ._designs import Design, PlannedSize, Remaining, TimeNeeded, days_left, time_needed
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
from ._families import AdjustedEffect, AdjustedLift, Correction, adjusted_p_values, compare_family
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
    "AdjustedEffect",
    "AdjustedLift",
    "Alternative",
    "AnytimeValid",
    "Arm",
    "Balance",
    "BanditPolicy",
    "BanditUpdate",
    "BestArm",
    "Better",
    "Conversions",
    "Correction",
    "Credible",
    "Design",
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
    "OverEpochs",
    "Plan",
    "PlannedSize",
    "PrePeriodAdjusted",
    "PrePeriodRatioSums",
    "PrePeriodSums",
    "Procedure",
    "RatePosterior",
    "RatePrior",
    "Reason",
    "Region",
    "Remaining",
    "SampleRatio",
    "SampleSize",
    "Scale",
    "SequentialSampleRatio",
    "Shortfall",
    "StatsError",
    "Suspect",
    "TimeNeeded",
    "adjust_by_pre_period",
    "adjust_ratio_by_pre_period",
    "adjusted_p_values",
    "best_mean",
    "best_rate",
    "compare",
    "compare_against",
    "compare_family",
    "compare_rates",
    "days_left",
    "effect_density",
    "effect_posterior",
    "explain",
    "multiple_exposure",
    "non_inferiority",
    "over_epochs",
    "percentile_cap",
    "pre_period_balance",
    "rate_lift_density",
    "sample_ratio",
    "sequential_sample_ratio",
    "suspects",
    "time_needed",
    "update_weights",
    "welch",
]
