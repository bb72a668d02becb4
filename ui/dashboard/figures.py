"""Which figures the dashboard has, by their titles, for the page and the report."""

import plotly.graph_objects as go

from cxr.evaluation.overview import View
from cxr.validation import appraisal
from cxr.validation.appraisal import Appraisal
from ui import learning_curves
from ui.dashboard import checks, counts, curves
from ui.dashboard.beside import Beside
from ui.dashboard.source import Source
from ui.reliability import reliability_diagram
from ui.shortcuts import shortcut_forest

CONFUSION = "Confusion matrix"
RATES = "Rates over the threshold"
SCORES = "Scores by class"
SUBGROUPS = "Subgroups"
ROC = "ROC"
PRECISION_RECALL = "Precision and recall"
PREDICTIVE = "PPV and NPV over the prevalence"
NET_BENEFIT = "Net benefit"


def at_threshold(
    source: Source,
    view: View,
    *,
    ink: str,
    cell: str | None = None,
    other: Beside | None = None,
) -> dict[str, go.Figure]:
    """Returns the figures that move with the threshold.

    ROC, precision and recall, and predictive values are left out for films of one
    class, net benefit also where no prevalence is stated.

    Args:
        source: what the page is about.
        view: at the threshold.
        ink: colour of words inside a figure.
        cell: of the matrix that was chosen; None for none.
        other: a second model on the same films, whose curves lie beside; None for none.
    """
    shown, threshold = source.appraisal, view.point.threshold
    overview = shown.overview
    here = None if view.local is None else view.local.prevalence
    local = None if here is None else appraisal.local_lines(overview.lines, here)
    edges = (threshold, shown.shipped, source.band(threshold))
    drawn = {
        CONFUSION: counts.matrix(view, chosen=cell, ink=ink),
        SCORES: counts.scores(
            overview.histogram, curves.threshold_marks(*edges, named=True)
        ),
        RATES: curves.rates(overview.lines, local, curves.threshold_marks(*edges)),
        SUBGROUPS: counts.subgroups(view.subgroups),
    }
    if not 0 < shown.prevalence < 1:
        return drawn
    lines = {shown.model_id: overview.lines}
    if other is not None:
        lines[other.model_id] = other.lines
    return {
        **drawn,
        ROC: curves.roc(lines, view.point, shown.whole),
        PRECISION_RECALL: curves.precision_recall(
            lines, view.point, shown.whole, shown.prevalence
        ),
        PREDICTIVE: curves.predictive_values(view.point, here),
        **_net_benefit(shown, threshold, here),
    }


def _net_benefit(
    shown: Appraisal, threshold: float, here: float | None
) -> dict[str, go.Figure]:
    if here is None:
        return {}
    benefit = appraisal.decision_curve(shown, prevalence=here)
    if benefit is None:
        return {}
    local = appraisal.at_local_prevalence(shown, threshold, here)
    return {NET_BENEFIT: curves.net_benefit(benefit, float(local))}


def whatever_the_threshold(source: Source, *, ink: str) -> dict[str, go.Figure]:
    """Returns the figures that no threshold moves: calibration, learning, shortcuts.

    Args:
        source: what the page is about.
        ink: colour of words inside a figure.
    """
    drawn = {"Calibration": calibration(source.appraisal)}
    for name, figure in learning(source, ink=ink).items():
        drawn[f"Learning curves: {name}, training dotted, validation solid"] = figure
    if (audit := shortcuts(source)) is not None:
        drawn["Shortcut audit"] = audit
    return drawn


def calibration(shown: Appraisal) -> go.Figure:
    """Returns the reliability diagram after calibration and before it, if known."""
    overview = shown.overview
    drawn = {"after calibration": overview.reliability}
    if overview.reliability_before is not None:
        drawn["before calibration"] = overview.reliability_before
    return reliability_diagram(drawn)


def learning(source: Source, *, ink: str) -> dict[str, go.Figure]:
    """Returns the learning curves of the run that made the model, none without one.

    Raises:
        ModelError: the file of the run was changed.
    """
    epochs = learning_curves.epochs_of(source.card)
    return learning_curves.loss_and_auc(epochs, ink=ink) if epochs else {}


def shortcuts(source: Source) -> go.Figure | None:
    """Returns how well a film's outside tells the label, beside the network.

    None if the films that made the model were not checked.
    """
    audit = checks.audit(source.card)
    if audit is None:
        return None
    rows = {**audit.features, "all of these": audit.combined}
    network = source.appraisal.whole.auc
    rows["the network"] = network
    return shortcut_forest(rows, network="the network")
