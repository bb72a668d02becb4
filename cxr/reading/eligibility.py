"""Whether a film may be scored: its header, and what the lung network sees in it.

It owns the refusals of films that can be read but not judged, and the sentences on
films that are scored with reservations. It is asked before any score.
"""

from dataclasses import dataclass

from cxr.errors import ImageError
from cxr.films.film import Film
from cxr.models.cards import Card
from cxr.models.lungs import Lungs
from cxr.models.novelty import (
    INVERTED,
    SIDEWAYS,
    SOMETHING_ELSE,
    UPSIDE_DOWN,
    GateRecord,
    Likeness,
)

# Header terms of films that these models read; other known terms refuse a film.
VIEWS = ("AP", "PA")
LATERAL = ("LL", "RL", "LAT", "LATERAL")
BODY_PARTS = ("CHEST", "CHESTABDOMEN", "LUNG", "RIB", "THORAX")
UNKNOWN = "OTHER"  # text that is no defined term: it speaks against the film, no more
# Codes are stable; sentences may get better.
REFUSALS = {
    "lateral-view": "The header says that this is a lateral view. The model reads "
    "frontal films only.",
    "other-view": "The header says that this is not a plain frontal view. The model "
    "reads frontal films only.",
    "other-body-part": "The header names another part of the body. The model reads "
    "chest films only.",
    "sideways": "The film lies on its side. Turn it upright and send it again.",
    "upside-down": "The film stands on its head. Turn it upright and send it again.",
    "inverted": "The film is inverted: bone is dark, air is bright. Export it as a "
    "viewer shows it.",
    "no-lungs": "No lung can be seen. The model reads whole frontal chest films only.",
    "not-frontal-chest": "This does not look like a frontal chest film. The model "
    "reads nothing else.",
}
UNLIKE_TRAINING = (
    "The film looks unlike the films that the model was made from: an older patient, a "
    "newborn, or another device. Its score may not hold."
)
ONE_LUNG = (
    "Only one lung can be outlined: the other may be white all over, or not on the "
    "film. Look at it yourself."
)
_CODES = {
    SIDEWAYS: "sideways",
    UPSIDE_DOWN: "upside-down",
    INVERTED: "inverted",
    SOMETHING_ELSE: "not-frontal-chest",
}


@dataclass(frozen=True, kw_only=True)
class Eligibility:
    """Whether a film may be scored, and why not.

    Attributes:
        refusal: why the film gets no score; None if it may be scored.
        cautions: sentences on why a score may not hold for this film.
    """

    refusal: ImageError | None = None
    cautions: tuple[str, ...] = ()


def by_header(film: Film, card: Card) -> Eligibility:
    """Returns what a film's header says for and against a score.

    The film's own cautions come first. An element that a header lacks says nothing;
    PNG and JPEG files have no header.

    Args:
        film: decoded.
        card: of the model that would score it.
    """
    if code := _refused_header(film):
        error = ImageError(REFUSALS[code], code=code)
        return Eligibility(refusal=error, cautions=film.cautions)
    sentences = list(film.cautions)
    if film.view_position == UNKNOWN:
        sentences.append(
            "The header gives a view that is no known term. The model knows plain "
            "frontal films only: check that this is one."
        )
    if film.body_part == UNKNOWN:
        sentences.append(
            "The header gives a part of the body that is no known term. The model "
            "knows chest films only: check that this is one."
        )
    if film.age_years is not None and not _validated(film.age_years, card):
        sentences.append(
            f"The header gives an age of {_age(film.age_years)}: outside the "
            f"population the model was validated on ({card.population})."
        )
    return Eligibility(cautions=tuple(sentences))


def by_picture(
    likeness: Likeness, lungs: Lungs, gate: GateRecord, *, known_age: bool
) -> Eligibility:
    """Returns what the lung network says for and against a score.

    Args:
        likeness: what its gate says of the film.
        lungs: that it sees.
        gate: the record of that gate, with its threshold.
        known_age: whether the header gave an age, which then has had its say.
    """
    code = ""
    # Not "less than": a nan refuses.
    if not likeness.frontal >= gate.least_frontal:
        code = _CODES[likeness.otherwise]
    elif not lungs.both.any():
        code = "no-lungs"
    if code:
        return Eligibility(refusal=ImageError(REFUSALS[code], code=code))
    sentences = []
    if likeness.unlike > 0 and not known_age:
        sentences.append(UNLIKE_TRAINING)
    # A lung that is white all over can't be outlined: that must never cost the score.
    if not (lungs.right.any() and lungs.left.any()):
        sentences.append(ONE_LUNG)
    return Eligibility(cautions=tuple(sentences))


def _refused_header(film: Film) -> str:
    """Returns the code of what a header rules out, empty if nothing."""
    if film.view_position in LATERAL:
        return "lateral-view"
    if film.view_position not in (None, UNKNOWN, *VIEWS):
        return "other-view"
    if film.body_part not in (None, UNKNOWN, *BODY_PARTS):
        return "other-body-part"
    return ""


def _validated(age_years: float, card: Card) -> bool:
    if card.age_years is None:
        return True
    youngest, oldest = card.age_years
    return youngest <= age_years < oldest


def _age(years: float) -> str:
    if years < 2:
        return f"{years * 12:.0f} months"
    return f"{years:.0f} years" if years < 90 else "90 years or more"
