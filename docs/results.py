"""Prints README's results table from the cards of the registered models.

python -m docs.results            prints it
python -m docs.results --write    puts it into README.md
"""

import sys
from pathlib import Path

from cxr.config import ROOT
from cxr.evaluation.estimates import Estimate
from cxr.models import registry

START = (
    "<!-- results: made by `python -m docs.results`; a test compares it with the "
    "models' cards -->"
)
END = "<!-- end of results -->"


def table(models_dir: Path) -> str:
    """Returns the Markdown table: each model on its own held-out test patients."""
    rows = [
        "| model | films (patients) | AUC | sensitivity | specificity | ECE | at |",
        "|---|---|---|---|---|---|---|",
    ]
    for card in registry.cards(models_dir):
        test = card.metrics["test"]
        name = f"{card.model_id} ({card.architecture})"
        if card.model_id == registry.active_id(models_dir):
            name = f"**{name}**, ships"
        cells = (
            name,
            f"{test.n} ({test.n_patients})",
            *(_words(e) for e in (test.auc, test.sensitivity, test.specificity)),
            _words(test.ece),
            f"{card.threshold.value:.3f}",
        )
        rows.append("| " + " | ".join(cells) + " |")
    rows.append("")
    rows.append(
        "Command: `python -m cxr evaluate --data chest_xray --split held-out`. "
        "Threshold: by the rule on the card, on validation patients, "
        "locked before testing."
    )
    return "\n".join(rows)


def replaced(readme: str, models_dir: Path) -> str:
    """Returns README's text with the table between its two marks."""
    before, rest = readme.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n\n{table(models_dir)}\n\n{END}{after}"


def _words(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


if __name__ == "__main__":
    readme = ROOT / "README.md"
    if "--write" in sys.argv:
        text = replaced(readme.read_text(encoding="utf-8"), ROOT / "models")
        readme.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(table(ROOT / "models") + "\n")
