"""Makes the sample films of `samples/` anew, by a rule that looks at no answer.

    python -m benchmarks.samples ORIGINALS MODEL_DIR [--to FOLDER]

ORIGINALS holds films of the data set in their original size (`NORMAL`, `PNEUMONIA`),
MODEL_DIR is the folder of the model that ships. Of each class the first three patients
are taken by the SHA-256 of the patient, among those all of whose films the model was
tested on; of each patient the first film by name. The films are numbered by the same
order over both classes, so that no name tells the label. Each is made grey, reduced to
a longest edge of 1,024 pixels (never enlarged), and stored as JPEG without metadata.
"""

import argparse
import csv
import dataclasses
import hashlib
from collections import defaultdict
from pathlib import Path

from cxr import documents
from cxr.datasets import folders
from cxr.datasets.folders import LabelledFilm
from cxr.films import display
from cxr.films.film import read_film
from cxr.reading import samples
from cxr.reading.samples import Manifest, Sample

EACH, EDGE = 3, 1024  # patients of a class; pixels


def main() -> None:
    """Writes the samples and their list, and prints which they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("originals", type=Path)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("--to", type=Path, default=samples.FOLDER)
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    films = chosen(folders.scan(options.originals), held_out(options.model_dir))
    made = [written(film, i + 1, options.to) for i, film in enumerate(films)]
    manifest = Manifest(model_id=options.model_dir.name, samples=tuple(made))
    documents.replace(options.to / samples.MANIFEST, dataclasses.asdict(manifest))
    for sample in made:
        print(f"{sample.file}  {sample.sha256[:12]}  {sample.source}  {sample.label}")


def held_out(model_dir: Path) -> set[str]:
    """Returns the patients all of whose films are in the test split of a model."""
    splits = defaultdict(set)
    with (model_dir / "split.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            name = Path(row["film"]).parent.name
            if name not in folders.CLASSES:
                continue  # a film of another place
            label = folders.CLASSES.index(name)
            patient = folders.patient_of(Path(row["film"]).name, label)
            splits[patient].add(row["split"])
    return {patient for patient, parts in splits.items() if parts == {"test"}}


def chosen(films: list[LabelledFilm], patients: set[str]) -> list[LabelledFilm]:
    """Returns the films that the rule takes, in the order of their numbers."""
    first: dict[str, LabelledFilm] = {}
    for film in sorted(films, key=lambda film: film.name):
        if film.patient_id in patients:
            first.setdefault(film.patient_id, film)
    ordered = sorted(first.values(), key=_place)
    taken = [
        film
        for label in range(len(folders.CLASSES))
        for film in [film for film in ordered if film.label == label][:EACH]
    ]
    return sorted(taken, key=_place)


def written(film: LabelledFilm, number: int, folder: Path) -> Sample:
    """Writes a film as a sample and returns what the list says of it."""
    picture = display.picture(read_film(film.path.read_bytes()).pixels, EDGE)
    content = display.packed(picture, lossless=False)
    name = f"sample-{number}.jpeg"
    (folder / name).write_bytes(content)
    return Sample(
        file=name,
        sha256=hashlib.sha256(content).hexdigest(),
        label=f"pneumonia, {film.subtype}" if film.label else "normal",
        patient=film.patient_id,
        source=film.name,
    )


def _place(film: LabelledFilm) -> str:
    return hashlib.sha256(film.patient_id.encode()).hexdigest()


if __name__ == "__main__":
    main()
