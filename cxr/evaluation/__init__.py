"""From labels and scores to metrics with intervals, thresholds and calibration.

Everything here is a pure function of arrays: no model, no files, no plots. Labels are 1
for pneumonia and 0 for normal, scores are probabilities unless said otherwise, and a
film is positive when its score is at or above the threshold. What is undefined (a rate
of nothing, an AUC of one class) is nan and an `UndefinedMetricWarning`, never 0.
Intervals are for 95 % and, where patients are given, for films that come in patients.

`estimates` makes the intervals, `operating` the rates at one threshold, `thresholds`
the curve over all and the rules that choose one, `ranking` AUC and average precision,
`reliability` Brier score and calibration error, `calibration` the scaling that serves,
`comparison` two models on the same films, `subgroups` parts of the films, `summary` all
metrics at once, `overview` what a page shows at any threshold.

The modules import NumPy alone; what needs SciPy imports it when it is called.
"""

from cxr.evaluation.calibration import (
    CalibrationChoice,
    IsotonicScaling,
    PlattScaling,
    Scaling,
    at_prevalence,
    choose_calibration,
    fit_isotonic,
    fit_platt,
    fit_temperature,
    likelihood_ratio,
)
from cxr.evaluation.comparison import (
    AucComparison,
    DecisionComparison,
    delong_test,
    mcnemar_test,
)
from cxr.evaluation.estimates import Estimate, UndefinedMetricWarning, wilson
from cxr.evaluation.operating import (
    Confusion,
    LocalRates,
    OperatingPoint,
    Rates,
    confusion_at,
    operating_point,
    rates,
)
from cxr.evaluation.overview import (
    CurveLines,
    Overview,
    ScoreHistogram,
    View,
    overview,
    score_histogram,
    thinned,
)
from cxr.evaluation.ranking import auc_score, average_precision_score
from cxr.evaluation.reliability import (
    ReliabilityCurve,
    brier_loss,
    expected_calibration_error,
    reliability_curve,
)
from cxr.evaluation.subgroups import (
    SubgroupRates,
    by_size,
    by_subtype,
    subgroup_rates,
)
from cxr.evaluation.summary import Evaluation, evaluate
from cxr.evaluation.thresholds import (
    DecisionCurve,
    OperatingCurve,
    decision_curve,
    operating_points,
    threshold_for_assured_sensitivity,
    threshold_for_costs,
    threshold_for_misses,
    threshold_for_sensitivity,
    threshold_for_specificity,
    threshold_youden,
)

__all__ = [
    "AucComparison",
    "CalibrationChoice",
    "Confusion",
    "CurveLines",
    "DecisionComparison",
    "DecisionCurve",
    "Estimate",
    "Evaluation",
    "IsotonicScaling",
    "LocalRates",
    "OperatingCurve",
    "OperatingPoint",
    "Overview",
    "PlattScaling",
    "Rates",
    "ReliabilityCurve",
    "Scaling",
    "ScoreHistogram",
    "SubgroupRates",
    "UndefinedMetricWarning",
    "View",
    "at_prevalence",
    "auc_score",
    "average_precision_score",
    "brier_loss",
    "by_size",
    "by_subtype",
    "choose_calibration",
    "confusion_at",
    "decision_curve",
    "delong_test",
    "evaluate",
    "expected_calibration_error",
    "fit_isotonic",
    "fit_platt",
    "fit_temperature",
    "likelihood_ratio",
    "mcnemar_test",
    "operating_point",
    "operating_points",
    "overview",
    "rates",
    "reliability_curve",
    "score_histogram",
    "subgroup_rates",
    "thinned",
    "threshold_for_assured_sensitivity",
    "threshold_for_costs",
    "threshold_for_misses",
    "threshold_for_sensitivity",
    "threshold_for_specificity",
    "threshold_youden",
    "wilson",
]
