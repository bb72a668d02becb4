"""Keeps the results of an experiment, and makes the tables of docs/experiments.md.

python -m docs.experiments keep NAME MODELS_DIR MODEL_ID [REPORT]
    keeps the card of a trained model and the JSON of `python -m cxr robustness`, if any
python -m docs.experiments
    writes the tables anew from what was kept
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cxr import documents
from cxr.config import ROOT
from cxr.models import registry

LOG = ROOT / "docs" / "experiments.md"
KEPT = ROOT / "docs" / "experiments"
START = "<!-- tables: made by `python -m docs.experiments` from docs/experiments/ -->"
END = "<!-- end of tables -->"
DIGITS = 6

Record = dict[str, Any]


def keep(name: str, models_dir: Path, model_id: str, report: Path | None) -> None:
    """Keeps of a card and a report what the log shows and what repeats the run.

    Raises:
        ValueError: the report is of another model, or of films that it learnt from.
    """
    card = registry.read_card(models_dir, model_id)
    validation = report and json.loads(report.read_text(encoding="utf-8"))
    if validation and (validation["name"] != model_id or validation["seen"]):
        raise ValueError(
            f"expected a report of {model_id} on films that it has not seen, received "
            f"one of {validation['name']} with {validation['seen']} seen"
        )
    document = documents.plain(asdict(card))
    kept = {
        "model_id": model_id,
        "fingerprint": card.data.fingerprint,
        "training": card.training,
        "versions": document["versions"],
        "threshold": document["threshold"],
        "metrics": document["metrics"],
        "report": validation,
    }
    KEPT.mkdir(exist_ok=True)
    text = json.dumps(_rounded(kept), separators=(",", ":"))
    (KEPT / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def records() -> dict[str, Record]:
    """Returns what was kept, by name of the experiment."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(KEPT.glob("*.json"))
    }


def tables(kept: dict[str, Record]) -> str:
    """Returns all tables as Markdown."""
    tried = {name: record for name, record in kept.items() if record["report"]}
    parts = [_held_out(kept), _shifts(tried), _others(tried)]
    return "\n\n".join(parts)


def replaced(log: str, kept: dict[str, Record]) -> str:
    """Returns the log with new tables between its two marks."""
    before, rest = log.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n\n{tables(kept)}\n\n{END}{after}"


def _held_out(kept: dict[str, Record]) -> str:
    rows = [
        "### Held-out patients",
        "",
        "| experiment | seed | films | AUC | sensitivity | specificity | ECE "
        "| threshold | minutes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, record in kept.items():
        test, training = record["metrics"]["test"], record["training"]
        figures = (test[key] for key in ("auc", "sensitivity", "specificity", "ece"))
        cells = (
            name,
            training["seed"],
            test["n"],
            *(_interval(figure) for figure in figures),
            f"{record['threshold']['value']:.3f}",
            f"{training['seconds'] / 60:.0f}",
        )
        rows.append(_row(cells))
    return "\n".join(rows)


def _shifts(kept: dict[str, Record]) -> str:
    parts = {name: record["report"]["shifts"] for name, record in kept.items()}
    first = next(iter(parts.values()))
    rows = [
        "### Synthetic shifts",
        "",
        "Sensitivity / specificity at each model's own threshold on the same films; "
        f"bold where below {first['least_sensitivity']} / "
        f"{first['least_specificity']}. Shifts with + are never drawn in training.",
        "",
        _row(("shift", *parts)),
        "|---|" + "---|" * len(parts),
        _row(("as they are", *(_pair(part["unchanged"]) for part in parts.values()))),
    ]
    for number, shift in enumerate(first["results"]):
        results = [part["results"][number] for part in parts.values()]
        name = shift["name"] + ("" if shift["trained"] else " +")
        rows.append(_row((name, *(_pair(result) for result in results))))
    return "\n".join(rows)


def _others(kept: dict[str, Record]) -> str:
    reports = {name: record["report"] for name, record in kept.items()}
    lines: dict[str, list[str]] = {}

    def add(line: str, cell: str) -> None:
        lines.setdefault(line, []).append(cell)

    for report in reports.values():
        for result in report["markers"]["results"]:
            moved = result["change"]
            cell = f"{moved['mean']['value']:.4f}, {moved['flipped']['value']:.2%}"
            add(f"letters {result['name']}: mean change, decisions flipped", cell)
        counted = [s for s in report["strata"]["strata"] if s["counted"]]
        worst = min(counted, key=lambda s: s["figures"]["auc"]["value"])
        add("lowest AUC in a stratum", _interval(worst["figures"]["auc"]))
        style = report["style"]
        add("AUC where style votes wrong", _interval(style["conflicting"]["auc"]))
        add("shifted all three ways: AUC", _of_style(report))
        gap = report["twins"]["gap"]
        cell = f"{_interval(gap['mean'], 4)}, {gap['n_flipped']}"
        add(f"originals and copies ({report['twins']['n']}): gap, flipped", cell)
        for gain in report["heatmap"]["advantages"]:
            for way in ("deletion", "insertion"):
                add(f"heat map over {gain['over']}, {way}", _interval(gain[way]))
        for place in report["heatmap"]["places"]:
            cell = f"{place['heat']['value']:.3f} on {place['area']['value']:.3f}"
            add(f"heat {place['where']}, on share of area", cell)
        blurred = report["heatmap"]["blurred"]
        add("mean probability of blurred positive films", f"{blurred:.3f}")
    rows = ["### Markers, strata, style, twins, heat map", "", _row(("", *reports))]
    rows.append("|---|" + "---|" * len(reports))
    rows += [_row((line, *cells)) for line, cells in lines.items()]
    return "\n".join(rows)


def _of_style(report: Record) -> str:
    [result] = [
        item
        for item in report["shifts"]["results"]
        if item["name"] == "shape, texture and tone of it"
    ]
    return _interval(result["figures"]["auc"])


def _pair(result: Record) -> str:
    figures = result["figures"]
    pair = f"{figures['sensitivity']['value']:.3f} / "
    pair += f"{figures['specificity']['value']:.3f}"
    return pair if result["passed"] else f"**{pair}**"


def _interval(figure: Record, digits: int = 3) -> str:
    ends = f"({figure['low']:.{digits}f} to {figure['high']:.{digits}f})"
    return f"{figure['value']:.{digits}f} {ends}"


def _row(cells: tuple[object, ...]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


if __name__ == "__main__":
    if sys.argv[1:2] == ["keep"]:
        name, models, model_id, *report = sys.argv[2:]
        keep(name, Path(models), model_id, Path(report[0]) if report else None)
    text = replaced(LOG.read_text(encoding="utf-8"), records())
    LOG.write_text(text, encoding="utf-8")
