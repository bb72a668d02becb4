"""Does a film keep its score when another tool has reduced it first?

    python -m benchmarks.consistency DATA_DIR [--json]

Every film of `DATA_DIR/originals` is scored at full size and reduced to 224 pixels by
OpenCV's area filter, by Pillow's Lanczos filter, and as the data set ships it (another
filter and JPEG, in `DATA_DIR/chest_xray/train`).
"""

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from cxr.config import settings
from cxr.films.film import read_film
from cxr.models import inference

SIZE = 224


def main() -> None:
    """Measures every reduction and prints it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(inference.load(settings().models_dir), options.data_dir)
    if options.json:
        print(json.dumps(figures))
        return
    for name, row in figures.items():
        words = (f"{key} {value:.4g}" for key, value in row.items())
        print(f"{name:16} " + "  ".join(words))


def measure(model: inference.Model, data_dir: Path) -> dict[str, dict[str, float]]:
    """Returns for each reduction: films, mean and largest gap, decisions flipped."""
    paths = sorted((data_dir / "originals").rglob("*.jpeg"))
    full = probabilities(model, [path.read_bytes() for path in paths])
    reductions: dict[str, Callable[[Path], bytes]] = {
        "opencv-area": by_opencv,
        "pillow-lanczos": by_pillow,
        "data-set-twin": lambda path: twin(path, data_dir).read_bytes(),
    }
    threshold = model.card.threshold.value
    figures = {}
    for name, reduce in reductions.items():
        small = probabilities(model, [reduce(path) for path in paths])
        gaps = np.abs(full - small)
        figures[name] = {
            "films": len(paths),
            "mean_gap": float(gaps.mean()),
            "largest_gap": float(gaps.max()),
            "flipped": int(((full >= threshold) != (small >= threshold)).sum()),
        }
    return figures


def probabilities(model: inference.Model, files: list[bytes]) -> np.ndarray:
    """Returns the probability of each film, shape `(n,)`."""
    return np.array([model.predict(read_film(file)).probability for file in files])


def by_opencv(path: Path) -> bytes:
    """Returns the film reduced by OpenCV's area filter, as PNG."""
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    small = cv2.resize(pixels, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".png", small)[1])


def by_pillow(path: Path) -> bytes:
    """Returns the film reduced by Pillow's Lanczos filter, as PNG."""
    stream = io.BytesIO()
    film = Image.open(path).convert("L")
    film.resize((SIZE, SIZE), Image.Resampling.LANCZOS).save(stream, "PNG")
    return stream.getvalue()


def twin(path: Path, data_dir: Path) -> Path:
    """Returns where the data set's own reduced copy of an original is."""
    return data_dir / "chest_xray" / "train" / path.parent.name / path.name


if __name__ == "__main__":
    main()
