"""Alignments as a fit gives them, made up."""

from typing import Any

from cxr.evaluation.alignment import Fit
from cxr.evaluation.estimates import Estimate


def fit(threshold: Estimate, share: Estimate, **changes: Any) -> Fit:
    """A fit of 500 films that nothing speaks against, with changes."""
    values: dict[str, Any] = {
        "shift": 0.0,
        "scale": 1.0,
        "films": 500,
        "patients": 500,
        "fit_p": 0.5,
        "kind": 0,
        "doubts": (),
    }
    return Fit(threshold=threshold, share=share, **{**values, **changes})
