"""What is said of a film besides its pixels, while it is read."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Notes:
    """Sentences that are collected while a film is read.

    Attributes:
        warnings: what was unusual and was dealt with.
        cautions: what speaks against a score of the film.
    """

    warnings: list[str] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)
