"""The keys of the Classify page: a review of many films without a mouse.

It owns which key does what. A key does nothing while a text is being typed.
"""

NEXT, PREVIOUS = "N", "P"
AGREE, DISAGREE, UNSURE = "A", "D", "U"
HEAT_MAP = "H"

HELP = (
    f"Keys: **{NEXT}** next film, **{PREVIOUS}** previous, **{AGREE}** agree, "
    f"**{DISAGREE}** disagree, **{UNSURE}** unsure, **{HEAT_MAP}** film or heat map."
)
