"""The cards of the models that ship, by hash: what a fresh install trusts.

It owns the pins. A card holds the hashes of all its files, the calibration and the
threshold, so one hash pins a whole model. Who ships another model adds the SHA-256 of
its `card.json` here; a test compares the pins with the folder `models/`.
"""

CARD_SHA256 = {
    "b0-2026-11-27-1": (
        "38ab012b2cb1d238dc2c31c402a84b48a689aca0ba6415deba71f0e09aa96f4a"
    ),
    "baseline-2026-11-23-1": (
        "01cf6028d8d0a1bd22ac2cc029f3e5984956b6defbfccdb6c2d4eab8e97441fc"
    ),
}
# Of the lung network, by the time at which it was made.
LUNGS_SHA256 = {
    "2026-11-27T00:01:24+00:00": (
        "c728377c3dfe4e45529f1dd9c707734438ea72da4fd450c847d96c2766ce2632"
    ),
}
