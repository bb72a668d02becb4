"""Times in words, no finer than they are known."""

import math

from ui.wording import NOT_MEASURED

MINUTE, HOUR = 60, 3600


def words(seconds: float | None) -> str:
    """Returns a time as "45 s", "12 min" or "2 h 10 min"; a dash if it is unknown."""
    if seconds is None or not math.isfinite(seconds):
        return NOT_MEASURED
    if round(seconds) < 90:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / MINUTE)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def span(low: float, high: float) -> str:
    """Returns two times as "38–52 min", one of them if they are the same in words."""
    first, last = words(low), words(high)
    if first == last:
        return first
    number, unit = first.rsplit(" ", 1)
    same_unit = " " not in number and last.endswith(f" {unit}") and " h " not in last
    return f"{number if same_unit else f'{first} '}–{'' if same_unit else ' '}{last}"
