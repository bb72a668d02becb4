"""The reason that a person gives for an act which others have to live with.

It owns when a text is one: long enough to say something, short enough to be read.
"""

SHORTEST, LONGEST = 10, 500  # letters


def given(text: str) -> str:
    """Returns the reason without surplus spaces; empty if the text is none."""
    reason = " ".join(text.split())
    return reason if SHORTEST <= len(reason) <= LONGEST else ""
