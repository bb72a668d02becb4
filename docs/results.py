"""Prints README's results table from the cards of the registered models.

python -m docs.results            prints it
python -m docs.results --write    puts it into README.md
"""

import sys
from pathlib import Path

from cxr.config import ROOT
from cxr.evaluation.answered import ThreeAnswers
from cxr.evaluation.estimates import Estimate
from cxr.models import metrics, registry

START = (
    "<!-- results: made by `python -m docs.results`; a test compares it with the "
    "models' cards -->"
)
END = "<!-- end of results -->"


def table(models_dir: Path) -> str:
    """Returns the Markdown table: each model on its own held-out test patients."""
    rows = [
        "| model | films (patients) | AUC | sensitivity | specificity | ECE | at "
        "| no answer (normal) | of the answered |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for card in registry.cards(models_dir):
        test = metrics.of_card(models_dir, card)["test"]
        name = f"{card.model_id} ({card.architecture})"
        if card.model_id == registry.active_id(models_dir):
            name = f"**{name}**, ships"
        cells = (
            name,
            f"{test.n} ({test.n_patients})",
            *(_words(e) for e in (test.auc, test.sensitivity, test.specificity)),
            _words(test.ece),
            f"{card.threshold.value:.3f}",
            *_three_answers(test.answered),
        )
        rows.append("| " + " | ".join(cells) + " |")
    rows.append("")
    rows.append(
        "Command: `python -m cxr evaluate --data chest_xray --split held-out`. "
        "Threshold: by the rule on the card, on validation patients, "
        "locked before testing. Sensitivity and specificity are those at the "
        "threshold, as if every film got an answer; on the right, the share of films "
        "(of normal films) in the zone without an answer, and sensitivity and "
        "specificity among the others."
    )
    return "\n".join(rows)


def replaced(readme: str, models_dir: Path) -> str:
    """Returns README's text with the table between its two marks."""
    before, rest = readme.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n\n{table(models_dir)}\n\n{END}{after}"


def _three_answers(answered: ThreeAnswers | None) -> tuple[str, str]:
    if answered is None:
        return "–", "–"
    no_answer, of_normal = answered.no_answer.value, answered.no_answer_well.value
    return (
        f"{100 * no_answer:.0f} % ({100 * of_normal:.0f} %)",
        f"{answered.sensitivity.value:.3f}, {answered.specificity.value:.3f}",
    )


def _words(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


if __name__ == "__main__":
    readme = ROOT / "README.md"
    if "--write" in sys.argv:
        text = replaced(readme.read_text(encoding="utf-8"), ROOT / "models")
        readme.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(table(ROOT / "models") + "\n")
