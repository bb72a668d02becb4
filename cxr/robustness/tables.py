"""A report as tables to read."""

import math
from collections.abc import Callable, Iterator
from typing import Any

from cxr.evaluation.estimates import Estimate
from cxr.robustness.heatmaps import HeatmapReport
from cxr.robustness.markers import MarkerReport
from cxr.robustness.measures import Change, Figures
from cxr.robustness.shifts import ShiftReport, ShiftResult
from cxr.robustness.strata import StrataReport, Stratum
from cxr.robustness.style import StyleReport
from cxr.robustness.suite import Report
from cxr.robustness.twins import TwinReport

WIDTH = 36


def in_words(report: Report) -> str:
    """Returns the whole report as text, a table for each part."""
    lines = [
        f"{report.name}, threshold {report.threshold:.4f}: {report.n} films of "
        f"{report.n_patients} patients, {report.n_positive} with pneumonia, "
        f"{report.seen} seen in training; seed {report.seed}, "
        f"{report.seconds:.0f} s",
        "Intervals are for 95 %, by patient.",
        f"{'':{WIDTH}} {_HEAD}",
        f"{'as they are':{WIDTH}} {_figures(report.unchanged)}",
    ]
    for part, words in _parts(report):
        lines += ["", *words(part)] if part else []
    return "\n".join(lines)


def _parts(report: Report) -> list[tuple[Any, Callable[[Any], Iterator[str]]]]:
    return [
        (report.shifts, _shifts),
        (report.markers, _markers),
        (report.strata, _strata),
        (report.style, _style),
        (report.twins, _twins),
        (report.heatmap, _heatmap),
    ]


def _shifts(part: ShiftReport) -> Iterator[str]:
    yield (
        "SYNTHETIC SHIFTS (+ never drawn in training); bars: sensitivity "
        f"{part.least_sensitivity}, specificity {part.least_specificity}"
    )
    yield f"{'':{WIDTH}} {_HEAD} {_CHANGE_HEAD}"
    yield from (_shift(result) for result in (part.unchanged, *part.results))
    below = [result.name for result in part.results if not result.passed]
    yield f"below a bar ({len(below)}): {'; '.join(below) or 'none'}"
    yield f"worst by the bars: {part.worst}; lowest AUC: {part.worst_auc}"


def _shift(result: ShiftResult) -> str:
    mark = " " if result.trained else "+"
    moved = _change(result.change) if result.change else ""
    name = f"{mark} {result.name:{WIDTH - 2}}"
    return f"{name} {_figures(result.figures)} {moved}{_verdict(result.passed)}"


def _markers(part: MarkerReport) -> Iterator[str]:
    yield (
        f"MARKERS; bars: mean change {part.most_change}, flipped "
        f"{part.most_flipped:.0%}; letters found on {_share(part.found_normal)} of the "
        f"normal and {_share(part.found_pneumonia)} of the pneumonia films"
    )
    yield f"{'':{WIDTH}} {_HEAD} {_CHANGE_HEAD}"
    for result in part.results:
        name = f"{result.name}, {result.n} films"
        yield (
            f"{name:{WIDTH}} {_figures(result.figures)} {_change(result.change)}"
            f"{_verdict(result.passed)}"
        )


def _strata(part: StrataReport) -> Iterator[str]:
    yield (
        f"STRATA; bar: AUC {part.least_auc}; counted with {part.fewest} films of "
        "either class; file sizes are those of this folder"
    )
    yield f"{'':{WIDTH}} {_HEAD}"
    for stratum in part.strata:
        yield (
            f"{_range(stratum):{WIDTH}} {_figures(stratum.figures)} "
            f"{_counts(stratum.figures)}"
            f"{_verdict(stratum.passed) if stratum.counted else '  not counted'}"
        )


def _range(stratum: Stratum) -> str:
    digits = 3 if stratum.figure == "sharpness" else 0
    return f"{stratum.figure} {stratum.low:.{digits}f} to {stratum.high:.{digits}f}"


def _style(part: StyleReport) -> Iterator[str]:
    yield (
        f"STYLE; AUC of the label from style alone {_estimate(part.style_auc)}, fitted "
        f"across patients on {part.n_fitted} films; judged: not learnt from"
    )
    yield f"{'':{WIDTH}} {_HEAD}"
    rows = {
        "all judged": part.judged,
        "style votes right": part.agreeing,
        "style votes wrong": part.conflicting,
    }
    for name, measured in rows.items():
        yield f"{name:{WIDTH}} {_figures(measured)} {_counts(measured)}"
    for group in part.groups:
        yield (
            f"{f'group {group.number}':{WIDTH}} {_figures(group.figures)} "
            f"{_counts(group.figures)}; of {group.n_all}: {group.share_positive:.0%} "
            f"pneumonia, grey {group.mean_grey:.0f}, sharpness {group.sharpness:.3f}, "
            f"letters on {group.with_letters:.0%}"
        )


def _twins(part: TwinReport) -> Iterator[str]:
    chosen = "all" if part.with_trained else "the others are"
    yield (
        f"TWINS; bars: mean gap {part.most_gap}, two decisions "
        f"{part.most_flipped:.0%}; {part.n_pairs} pairs, {part.n_trained} of patients "
        f"in training; {chosen} measured: {part.n}"
    )
    if part.gap:
        yield (
            f"mean gap {_estimate(part.gap.mean, 4)}, two decisions "
            f"{part.gap.n_flipped} of {part.n}, {_estimate(part.gap.flipped)}"
            f"{_verdict(bool(part.passed))}"
        )


def _heatmap(part: HeatmapReport) -> Iterator[str]:
    yield (
        f"HEAT MAP; {part.n} films above the threshold, {part.steps} steps; cells are "
        f"replaced by those of {part.substitute}; mean probability {part.whole:.3f}, "
        f"all replaced {part.replaced:.3f}, blurred {part.blurred:.3f}"
    )
    yield f"{'area under the curve':{WIDTH}} {'deletion':21} {'insertion':21}"
    for item in part.areas:
        yield (
            f"{item.ranking:{WIDTH}} {_estimate(item.deletion):21} "
            f"{_estimate(item.insertion):21}"
        )
    for gain in part.advantages:
        yield (
            f"{f'better than {gain.over} by':{WIDTH}} {_estimate(gain.deletion):21} "
            f"{_estimate(gain.insertion):21}{_verdict(gain.passed)}"
        )
    for place in part.places:
        name = f"on {place.where}" if "letters" in place.where else place.where
        yield (
            f"{f'{name}, {place.n} films':{WIDTH}} heat {_estimate(place.heat)}, "
            f"area {_estimate(place.area)}"
        )


_HEAD = f"{'AUC':22} {'sensitivity':22} {'specificity':22}"
_CHANGE_HEAD = f"{'mean change':>11} {'flipped':>8}"


def _figures(measured: Figures) -> str:
    estimates = (measured.auc, measured.sensitivity, measured.specificity)
    return " ".join(f"{_estimate(item):22}" for item in estimates)


def _counts(measured: Figures) -> str:
    return f"{measured.n - measured.n_positive} + {measured.n_positive}"


def _change(moved: Change) -> str:
    return f"{moved.mean.value:11.4f} {moved.flipped.value:8.2%}"


def _verdict(passed: bool) -> str:
    return "" if passed else "  below the bar"


def _share(value: float) -> str:
    return f"{value:.0%}" if math.isfinite(value) else "-"


def _estimate(item: Estimate, digits: int = 3) -> str:
    if not math.isfinite(item.value):
        return "-"
    value = f"{item.value:.{digits}f}"
    if not math.isfinite(item.low):
        return value
    return f"{value} ({item.low:.{digits}f} to {item.high:.{digits}f})"
