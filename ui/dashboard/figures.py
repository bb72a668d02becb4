"""Which figures the dashboard has, by their titles, for the page and the report."""

import plotly.graph_objects as go

from cxr.evaluation.overview import View
from cxr.validation import appraisal
from cxr.validation.appraisal import Appraisal
from ui import learning_curves
from ui.dashboard import checks, counts, curves
from ui.dashboard.source import Source
from ui.reliability import reliability_diagram
from ui.shortcuts import shortcut_forest

CONFUSION = "Confusion matrix"
RATES = "Rates over the threshold"
SCORES = "Scores by class"
SUBGROUPS = "Subgroups"
ROC = "ROC"
PRECISION_RECALL = "Precision and recall"
NET_BENEFIT = "Net benefit"


def at_threshold(source: Source, view: View, *, ink: str) -> dict[str, go.Figure]:
    """Returns the figures that move with the threshold.

    ROC, precision and recall, and net benefit are left out for films of one class.

    Args:
        source: what the page is about.
        view: at the threshold.
        ink: colour of words inside a figure.
    """
    shown, threshold = source.appraisal, view.point.threshold
    overview, prevalence = shown.overview, view.local.prevalence
    band = source.card.uncertain_band.around(min(max(threshold, 0.0), 1.0))
    marks = curves.threshold_marks(threshold, shown.shipped, band)
    local_lines = appraisal.local_lines(overview.lines, prevalence)
    drawn = {
        CONFUSION: counts.confusion(view.point, prevalence, ink=ink),
        RATES: curves.rates(overview.lines, local_lines, marks),
        SCORES: counts.scores(overview.histogram, marks),
        SUBGROUPS: counts.subgroups(view.subgroups),
    }
    benefit = appraisal.decision_curve(shown, prevalence=prevalence)
    if benefit is None:
        return drawn
    local = appraisal.at_local_prevalence(shown, threshold, prevalence)
    return {
        **drawn,
        ROC: curves.roc(overview.lines, view.point, shown.whole, shown.model_id),
        PRECISION_RECALL: curves.precision_recall(
            overview.lines, view.point, shown.whole, shown.prevalence, shown.model_id
        ),
        NET_BENEFIT: curves.net_benefit(benefit, float(local)),
    }


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
