"""The cards of the models that ship, by hash: what a fresh install trusts.

It owns the pins. A card holds the hashes of all its files, the calibration and the
threshold, so one hash pins a whole model. Who ships another model adds the SHA-256 of
its `card.json` here; a test compares the pins with the folder `models/`.
"""

CARD_SHA256 = {
    "b0-2026-11-23-3": (
        "4156839e65c137096dbc94da45f87a5fad30f349e008b253ec98a0b10bad56e9"
    ),
    "baseline-2026-11-23-1": (
        "58c3eded55b5a96a2ee93a4a05dab5ca7dd6e3cf9b2e3a784369ca72f6953d40"
    ),
}
# Of the lung network, by the time at which it was made.
LUNGS_SHA256 = {
    "2026-11-27T00:01:24+00:00": (
        "c728377c3dfe4e45529f1dd9c707734438ea72da4fd450c847d96c2766ce2632"
    ),
}
