"""How near to another answer must a score lie for the answer to be doubtful?

    python -m benchmarks.stability DATA_DIR [--model ID] [--write]

Every validation film of the model is scored as it is and after the nine changes of
`cxr/reading/stability.py`. Printed: how far each change moves the scores, how many
answers it turns, and the margin within which the changes are tried unasked. `--write`
puts the margin into `cxr/reading/stability.json`.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from cxr import documents
from cxr.config import settings
from cxr.evaluation.calibration import logit
from cxr.films.film import read_film
from cxr.models import inference, registry
from cxr.models.inference import Model
from cxr.reading import stability

SPLIT = "validation"


def main() -> None:
    """Measures the changes on the validation films and prints what they do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    models_dir = settings().models_dir
    model = inference.load(models_dir, options.model)
    names = registry.read_scores(models_dir, model.card, SPLIT).names
    own, changed = scored(model, [options.data_dir / "chest_xray" / n for n in names])
    margin = report(model, own, changed)
    if options.write:
        models = stability.margins().models | {model.sha256: margin}
        document = dataclasses.asdict(stability.Margins(models=models))
        documents.replace(stability.MARGINS, document)


def scored(model: Model, paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the probabilities of films, `(n,)`, and of their changes, `(n, 9)`."""
    own, changed = [], []
    for path in paths:
        film = read_film(path.read_bytes())
        own.append(model.predict(film).probability)
        changed.append(list(stability.probabilities(film.pixels, model).values()))
    return np.array(own), np.array(changed)


def report(model: Model, own: np.ndarray, changed: np.ndarray) -> stability.Margin:
    """Prints what the changes do and returns the margin that follows."""
    threshold = model.card.threshold.value
    distances = np.array([stability.distance(p, model, threshold) for p in own])
    answers = np.array([model.decide(p, threshold) for p in own])
    turned = answers[:, np.newaxis] != [
        [model.decide(p, threshold) for p in row] for row in changed
    ]
    moved = np.abs(logit(changed) - logit(own)[:, np.newaxis])
    for i, name in enumerate(stability.CHANGES):
        half, most = np.quantile(moved[:, i], [0.5, 0.95])
        print(
            f"{name:40} moves by {half:.2f} logits (median), {most:.2f} (95 %), "
            f"turns {turned[:, i].sum()} of {len(own)} answers"
        )
    flips = turned.any(axis=1)
    margin = stability.fitted_margin(distances, flips, model_id=model.card.model_id)
    inside = distances <= margin.logits
    print(
        f"{flips.sum()} of {len(own)} films have another answer after some change. "
        f"Margin: {margin.logits:.3f} logits; {inside.sum()} films lie within it, "
        f"{(flips & inside).sum()} of those that turn."
    )
    return margin


if __name__ == "__main__":
    main()
