"""Synthetic shifts of acquisition: the same films as another machine would give them.

Each shift has one fixed severity and is a pure function of a film and of randomness
that the film's hash and a seed decide. About half are operations that training draws
too, at or beyond the edge of what it draws; the others it never shows (`trained`).
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr.films import changes
from cxr.films.changes import Draws
from cxr.robustness import letters
from cxr.robustness.films import FilmSet
from cxr.robustness.measures import Change, Figures, change, figures
from cxr.robustness.subjects import Subject

LEAST_SENSITIVITY, LEAST_SPECIFICITY = 0.95, 0.85
ANY, OTHER_CLASS = "any film", "a film of the other class"
TONE, DETAIL, GEOMETRY, MARKS = "tone", "detail", "geometry", "marks"
PORTION = 256  # films that are changed before they are scored

Pixels = NDArray[np.float32]
Randomness = np.random.Generator
# Width over height of the public data set's films, in the median: 1.52 with pneumonia
# and 1.22 without (120 originals, docs/experiments.md). Reduced to a square they are
# distorted by as much.
DISTORTION = 1.25


@dataclass(frozen=True, kw_only=True)
class Given:
    """What an operation may use besides the film.

    Attributes:
        rng: for what is random.
        reference: the film that is borrowed from; the film itself where none is.
        label: of the film, 1 for pneumonia; only what borrows from the other class
            looks at it.
    """

    rng: Randomness
    reference: Pixels
    label: int


Operation = Callable[[Pixels, Given], Pixels]


@dataclass(frozen=True, kw_only=True)
class Shift:
    """One change of acquisition.

    Attributes:
        name: what is changed, and how far.
        family: tone, detail, geometry or marks.
        trained: whether the training with randomised style draws this kind of change.
        operation: from the film (`float32`, `[0, 255]`, square) and what it may use to
            the changed film.
        borrows: whose film the reference is; None where the film itself stands in.
    """

    name: str
    family: str
    trained: bool
    operation: Operation
    borrows: str | None = None

    def __call__(
        self,
        pixels: Pixels,
        rng: Randomness,
        reference: Pixels | None = None,
        *,
        label: int = 0,
    ) -> Pixels:
        """Returns the changed film; the film itself stays as it is.

        Args:
            pixels: `float32`, shape `(size, size)`, range `[0, 255]`.
            rng: the same state gives the same film.
            reference: the film that is borrowed from, the same contract.
            label: of the film, 1 for pneumonia.

        Returns:
            `float32`, same shape and range.
        """
        given = Given(
            rng=rng,
            reference=pixels if reference is None else reference,
            label=label,
        )
        changed = self.operation(pixels, given)
        return np.clip(changed, 0, 255).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class ShiftResult:
    """A network on the films after one shift.

    Attributes:
        name: of the shift.
        family: of the shift.
        trained: whether the training draws this kind of change.
        figures: on the changed films.
        change: against the films as they are; None for the films as they are.
        passed: whether sensitivity and specificity reach their bars.
    """

    name: str
    family: str
    trained: bool
    figures: Figures
    change: Change | None
    passed: bool


@dataclass(frozen=True, kw_only=True)
class ShiftReport:
    """All shifts, and which of them is worst.

    Attributes:
        least_sensitivity: the bar.
        least_specificity: the bar.
        unchanged: the films as they are.
        results: in the order of `SHIFTS`.
        worst: name of the shift that is furthest below the bars, or the least above.
        worst_auc: name of the shift with the lowest AUC.
        passed: whether every shift reaches the bars.
    """

    least_sensitivity: float
    least_specificity: float
    unchanged: ShiftResult
    results: tuple[ShiftResult, ...]
    worst: str
    worst_auc: str
    passed: bool


def measure(
    subject: Subject,
    films: FilmSet,
    *,
    seed: int = 0,
    chosen: Sequence[Shift] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ShiftReport:
    """Returns what the network is worth on the films after every shift.

    Args:
        subject: the network under test.
        films: of both classes; also those whose tone is borrowed.
        seed: of everything that is drawn.
        chosen: instead of all `SHIFTS`.
        progress: told how many of how many shifts are done.
    """
    shifts = SHIFTS if chosen is None else tuple(chosen)
    before = subject.probabilities(films.pixels)
    unchanged = _result("unchanged", "", True, subject, films, before, None)
    results = []
    for done, shift in enumerate(shifts, start=1):
        after = shifted_probabilities(subject, films, shift, seed=seed)
        results.append(
            _result(
                shift.name, shift.family, shift.trained, subject, films, before, after
            )
        )
        progress(done, len(shifts))
    return ShiftReport(
        least_sensitivity=LEAST_SENSITIVITY,
        least_specificity=LEAST_SPECIFICITY,
        unchanged=unchanged,
        results=tuple(results),
        worst=min(results, key=_margin).name if results else "",
        worst_auc=min(results, key=lambda r: r.figures.auc.value).name
        if results
        else "",
        passed=all(result.passed for result in results),
    )


def shifted_probabilities(
    subject: Subject, films: FilmSet, shift: Shift, *, seed: int
) -> NDArray[np.float64]:
    """Returns the probability of each film after a shift, shape `(n,)`.

    Args:
        subject: the model.
        films: the films as they are.
        shift: what is done to each.
        seed: of what a shift draws.
    """
    parts = []
    for start in range(0, len(films), PORTION):
        rows = range(start, min(start + PORTION, len(films)))
        changed = [shifted(films, row, shift, seed=seed) for row in rows]
        parts.append(subject.probabilities(np.stack(changed)))
    return np.concatenate(parts)


def shifted(
    films: FilmSet, row: int, shift: Shift, *, seed: int = 0
) -> NDArray[np.uint8]:
    """Returns one film after a shift, in whole grey levels as a file would hold it.

    What is drawn depends on the film's hash, the shift and the seed; the label decides
    only what the other class is, for shifts that borrow from it.

    Args:
        films: all films: a shift may borrow from another one.
        row: of the film in `films`.
        shift: what is done to it.
        seed: of what the shift draws.
    """
    rng = np.random.default_rng(
        [seed, zlib.crc32(shift.name.encode()), int(films.sha256[row][:12], 16)]
    )
    reference = None
    if shift.borrows:
        reference = films.pixels[_lender(films, row, shift.borrows, rng)]
        reference = reference.astype(np.float32)
    changed = shift(
        films.pixels[row].astype(np.float32),
        rng,
        reference,
        label=int(films.labels[row]),
    )
    return np.rint(changed).astype(np.uint8)


def _lender(films: FilmSet, row: int, whose: str, rng: Randomness) -> int:
    allowed = films.patients != films.patients[row]
    if whose == OTHER_CLASS:
        allowed &= films.labels != films.labels[row]
    rows = np.flatnonzero(allowed)
    return int(rng.choice(rows)) if rows.size else row


def _result(
    name: str,
    family: str,
    trained: bool,
    subject: Subject,
    films: FilmSet,
    before: NDArray[np.float64],
    after: NDArray[np.float64] | None,
) -> ShiftResult:
    seen = before if after is None else after
    measured = figures(films.labels, seen, films.patients, subject.threshold)
    moved = None
    if after is not None:
        moved = change(before, after, films.patients, subject.threshold)
    return ShiftResult(
        name=name,
        family=family,
        trained=trained,
        figures=measured,
        change=moved,
        passed=measured.sensitivity.value >= LEAST_SENSITIVITY
        and measured.specificity.value >= LEAST_SPECIFICITY,
    )


def _margin(result: ShiftResult) -> float:
    return min(
        result.figures.sensitivity.value - LEAST_SENSITIVITY,
        result.figures.specificity.value - LEAST_SPECIFICITY,
    )


def _fixed(**draws: object) -> Operation:
    """Returns an operation of the training at this severity."""
    fixed = Draws(**draws)  # type: ignore[arg-type]
    return lambda film, given: changes.apply(film, fixed)


def _borrow_tone(film: Pixels, given: Given) -> Pixels:
    return changes.match_tone(film, given.reference, 1.0)


def _borrow_texture(film: Pixels, given: Given) -> Pixels:
    return changes.match_texture(film, given.reference, 1.0)


def _borrow_shape(film: Pixels, given: Given) -> Pixels:
    """Returns the film as one of the other class's shape, reduced to a square.

    A normal film loses rows at both ends, one with pneumonia columns.
    """
    size = film.shape[0]
    lost = round(size * (1 - 1 / DISTORTION) / 2)
    kept = slice(lost, size - lost)
    part = film[:, kept] if given.label else film[kept]
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_LINEAR)


def _borrow_style(film: Pixels, given: Given) -> Pixels:
    shaped = _borrow_shape(film, given)
    return _borrow_tone(_borrow_texture(shaped, given), given)


def _grain(film: Pixels, given: Given) -> Pixels:
    return changes.add_grain(film, 8.0, int(given.rng.integers(2**31)))


def _turn(film: Pixels, given: Given) -> Pixels:
    degrees = float(given.rng.choice([-7.0, 7.0]))
    return changes.geometry(film, Draws(rotation=degrees))


def _off_centre(film: Pixels, given: Given) -> Pixels:
    down, right = given.rng.choice([-0.07, 0.07], 2)
    return changes.geometry(film, Draws(shift=(float(down), float(right))))


def _add_letters(film: Pixels, given: Given) -> Pixels:
    return letters.add(film, given.rng)


def _equalise(film: Pixels, given: Given) -> Pixels:
    return cv2.equalizeHist(np.rint(film).astype(np.uint8)).astype(np.float32)


def _window(film: Pixels, given: Given) -> Pixels:
    low, high = np.percentile(film, [5, 95])
    return np.clip((film - low) * (255 / max(high - low, 1.0)), 0, 255)


def _posterise(film: Pixels, given: Given) -> Pixels:
    return np.floor(film / 8) * 8 + 4


def _vignette(film: Pixels, given: Given) -> Pixels:
    rows, columns = _coordinates(film)
    return film * (1 - 0.25 * (rows**2 + columns**2))


def _uneven(film: Pixels, given: Given) -> Pixels:
    angle = given.rng.uniform(0, 2 * np.pi)
    rows, columns = _coordinates(film)
    return film * (1 + 0.25 * (np.cos(angle) * columns + np.sin(angle) * rows))


def _median(film: Pixels, given: Given) -> Pixels:
    return cv2.medianBlur(np.rint(film).astype(np.uint8), 5).astype(np.float32)


def _narrow_copy(film: Pixels, given: Given) -> Pixels:
    size = film.shape[0]
    small = (size, size // 2) if given.rng.random() < 0.5 else (size // 2, size)
    copy = cv2.resize(film, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(copy, (size, size), interpolation=cv2.INTER_LINEAR)


def _scan_border(film: Pixels, given: Given) -> Pixels:
    edge = round(0.05 * film.shape[0])
    framed = np.full_like(film, float(given.rng.uniform(140, 255)))
    framed[edge:-edge, edge:-edge] = film[edge:-edge, edge:-edge]
    return framed


def _dead_pixels(film: Pixels, given: Given) -> Pixels:
    size, damaged = film.shape[0], film.copy()
    rows, columns = given.rng.integers(size, size=(2, 30))
    damaged[rows, columns] = given.rng.choice([0.0, 255.0], 30)
    damaged[:, int(given.rng.integers(size))] = float(given.rng.choice([0.0, 255.0]))
    return damaged


def _coordinates(film: Pixels) -> tuple[Pixels, Pixels]:
    axis = np.linspace(-1, 1, film.shape[0], dtype=np.float32)
    return axis[:, None], axis[None, :]


def _shift(
    name: str,
    family: str,
    operation: Operation,
    *,
    trained: bool = True,
    borrows: str | None = None,
) -> Shift:
    return Shift(
        name=name, family=family, operation=operation, trained=trained, borrows=borrows
    )


def _new(name: str, family: str, operation: Operation) -> Shift:
    return _shift(name, family, operation, trained=False)


SHIFTS: tuple[Shift, ...] = (
    _shift("tone of the other class", TONE, _borrow_tone, borrows=OTHER_CLASS),
    _shift("shape of the other class", GEOMETRY, _borrow_shape, borrows=OTHER_CLASS),
    _shift("texture of the other class", DETAIL, _borrow_texture, borrows=OTHER_CLASS),
    _shift(
        "shape, texture and tone of it", GEOMETRY, _borrow_style, borrows=OTHER_CLASS
    ),
    _shift("tone of any film", TONE, _borrow_tone, borrows=ANY),
    _shift("gamma 1.5, darker", TONE, _fixed(gamma=1.5)),
    _shift("gamma 0.67, brighter", TONE, _fixed(gamma=0.67)),
    _shift("contrast 0.7", TONE, _fixed(contrast=0.7)),
    _shift("contrast 1.3", TONE, _fixed(contrast=1.3)),
    _shift("brightness +25", TONE, _fixed(brightness=25.0)),
    _shift("brightness -25", TONE, _fixed(brightness=-25.0)),
    _shift("CLAHE, clip 3", TONE, _fixed(equalise=3.0)),
    _new("histogram equalised", TONE, _equalise),
    _shift("S-shaped tone curve", TONE, _fixed(steepness=8.0)),
    _new("window, 5 % clipped at each end", TONE, _window),
    _new("32 grey levels", TONE, _posterise),
    _shift("vignette, corners at half", TONE, _vignette),
    _shift("uneven light, 25 %", TONE, _uneven),
    _shift("blur, 1 px", DETAIL, _fixed(sharpness=-1.0)),
    _shift("blur, 1.6 px", DETAIL, _fixed(sharpness=-1.6)),
    _shift("unsharp mask, 1.5", DETAIL, _fixed(sharpness=1.5)),
    _shift("grain, 8 grey levels", DETAIL, _grain),
    _shift("JPEG quality 40", DETAIL, _fixed(jpeg=40)),
    _shift("112 pixels and back", DETAIL, _fixed(reduce=112)),
    _new("half the pixels in one direction", DETAIL, _narrow_copy),
    _new("median of 5 x 5", DETAIL, _median),
    _shift("30 dead pixels, a dead line", DETAIL, _dead_pixels),
    _shift("borders cropped, 1.15", GEOMETRY, _fixed(zoom=1.15)),
    _shift("borders cropped, 1.25", GEOMETRY, _fixed(zoom=1.25)),
    _shift("wider by 10 %", GEOMETRY, _fixed(aspect=1.1)),
    _shift("narrower by 10 %", GEOMETRY, _fixed(aspect=1 / 1.1)),
    _shift("rotated by 7 degrees", GEOMETRY, _turn),
    _shift("7 % off the centre", GEOMETRY, _off_centre),
    _shift("sides swapped", GEOMETRY, _fixed(flip=True)),
    _shift("markers and exposure text", MARKS, _add_letters),
    _shift("black borders, 8 %", MARKS, _fixed(borders=(0.08,) * 4)),
    _new("bright scan border, 5 %", MARKS, _scan_border),
)
