"""What becomes of damaged JPEG films: refused, scored with a caution, or silently?

    python -m benchmarks.damage DATA_DIR [--films 300] [--ordinary 1500] [--json]

Films of `DATA_DIR/originals` (a fifth) and `DATA_DIR/chest_xray/train` are encoded in
one and three channels, baseline and progressive, then damaged in their coded pixels:
20 bytes changed at random, 500 bytes zeroed, 200 bytes lost, or cut short. Ordinary
films are read as they are. Exit code 1 if more than 5 % of a kind are scored without a
caution, or one of these lands on the other side of the model's threshold.
"""

import argparse
import io
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from cxr.config import settings
from cxr.errors import ImageError
from cxr.films.film import Film, read_film
from cxr.films.markers import SCAN, segments
from cxr.models import inference

CODINGS = {
    "grey baseline": ("L", False),
    "grey progressive": ("L", True),
    "three channels, baseline": ("RGB", False),
    "three channels, progressive": ("RGB", True),
}
DAMAGES = ("bytes changed", "bytes zeroed", "bytes lost", "cut short")
QUALITIES = (75, 90, 95)
LARGEST_SILENT_SHARE = 0.05


def main() -> int:
    """Measures every kind of damage and prints it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--films", type=int, default=300)
    parser.add_argument("--ordinary", type=int, default=1500)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    model = inference.load(settings().models_dir)
    paths = chosen(options.data_dir, options.films)
    rows = [row for coding in CODINGS for row in measure(model, paths, coding)]
    whole = ordinary(options.data_dir, options.ordinary)
    if options.json:
        print(json.dumps({"damaged": rows, "ordinary": whole}))
    else:
        for row in (*rows, whole):
            print("  ".join(f"{name} {value}" for name, value in row.items()))
    return int(not all(row["held"] for row in rows))


def chosen(data_dir: Path, number: int) -> list[Path]:
    """Returns films to damage, a fifth of them in their original size."""
    large = sorted((data_dir / "originals").rglob("*.jpeg"))
    small = sorted((data_dir / "chest_xray" / "train").rglob("*.jpeg"))
    draws = random.Random(3)
    return draws.sample(large, number // 5) + draws.sample(small, number - number // 5)


def measure(
    model: inference.Model, paths: list[Path], coding: str
) -> Iterator[dict[str, object]]:
    """Yields the outcomes of each kind of damage.

    Args:
        model: scores the films.
        paths: of sound films.
        coding: one of `CODINGS`.
    """
    sound = [encoded(path, coding, i) for i, path in enumerate(paths)]
    scores = [model.predict(read_film(data)).probability for data in sound]
    threshold = model.card.threshold.value
    for damage in DAMAGES:
        draws = random.Random(1)
        refused = cautioned = 0
        changes, crossed = [], 0
        for data, score in zip(sound, scores, strict=True):
            film = read(damaged(data, damage, draws))
            if film is None:
                refused += 1
            elif film.cautions:
                cautioned += 1
            else:
                now = model.predict(film).probability
                changes.append(abs(now - score))
                crossed += (now >= threshold) != (score >= threshold)
        within = len(changes) <= LARGEST_SILENT_SHARE * len(sound)
        yield {
            "coding": coding,
            "damage": damage,
            "films": len(sound),
            "refused": refused,
            "cautioned": cautioned,
            "silent": len(changes),
            "crossed": crossed,
            "largest_change": round(max(changes, default=0.0), 4),
            "held": within and not crossed,
        }


def ordinary(data_dir: Path, number: int) -> dict[str, object]:
    """Returns how many ordinary films are refused or cautioned for damage."""
    paths = sorted(data_dir.glob("*/**/*.jp*g"))
    paths = [path for path in paths if "not_frontal_chest" not in path.parts]
    paths = random.Random(2).sample(paths, min(number, len(paths)))
    films = [read(path.read_bytes()) for path in paths]
    doubted = [
        film for film in films if film and any("damaged" in c for c in film.cautions)
    ]
    return {
        "ordinary": len(paths),
        "refused": films.count(None),
        "cautioned": len(doubted),
    }


def read(data: bytes) -> Film | None:
    """Returns the film, or nothing if it is refused."""
    try:
        return read_film(data)
    except ImageError:
        return None


def encoded(path: Path, coding: str, number: int) -> bytes:
    """Returns a film as a sound JPEG of a coding, in one of three qualities."""
    mode, progressive = CODINGS[coding]
    stream = io.BytesIO()
    quality = QUALITIES[number % len(QUALITIES)]
    with Image.open(path) as film:
        film.convert(mode).save(
            stream, "JPEG", quality=quality, progressive=progressive
        )
    return stream.getvalue()


def damaged(data: bytes, damage: str, draws: random.Random) -> bytes:
    """Returns the stream with damage somewhere in its coded pixels.

    Args:
        data: a sound stream.
        damage: one of `DAMAGES`.
        draws: says where.
    """
    scans = [segment for segment in segments(data) if segment.marker == SCAN]
    spans = [(scan.body + 2 * data[scan.body] + 4, scan.end) for scan in scans]
    changed = bytearray(data)
    if damage == "bytes changed":
        for _ in range(20):
            changed[place(spans, draws)[0]] = draws.randrange(256)
        return bytes(changed)
    begin, end = place(spans, draws)
    if damage == "cut short":
        return bytes(changed[:begin]) + b"\xff\xd9"
    number = min(500 if damage == "bytes zeroed" else 200, end - begin)
    changed[begin : begin + number] = bytes(number if "zeroed" in damage else 0)
    return bytes(changed)


def place(spans: list[tuple[int, int]], draws: random.Random) -> tuple[int, int]:
    """Returns a place in the coded pixels and the end of its scan."""
    at = draws.randrange(sum(end - begin for begin, end in spans))
    for begin, end in spans:
        if at < end - begin:
            return begin + at, end
        at -= end - begin
    raise AssertionError("expected a place within the spans")


if __name__ == "__main__":
    sys.exit(main())
