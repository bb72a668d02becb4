"""PALETTE COLOR films whose palette is grey.

Some secondary captures store a grey film with three equal tables, one for each colour
(PS3.3 C.7.6.3.1.5). Such a film has no window: an entry is the tone that is shown.
"""

import numpy as np
import pydicom
from numpy.typing import NDArray

from cxr.films.notes import Notes
from cxr.films.refusals import MAX_CHANNEL_SPREAD, refusal
from cxr.films.tables import table

COLOURS = ("Red", "Green", "Blue")
PALETTE = [
    f"{colour}PaletteColorLookupTable{part}"
    for colour in COLOURS
    for part in ("Descriptor", "Data")
]


def palette_tones(
    values: NDArray[np.int64],
    shown: NDArray[np.bool_],
    dataset: pydicom.Dataset,
    notes: Notes,
) -> NDArray[np.float64]:
    """Returns the tone of each stored value through a grey palette.

    Args:
        values: stored values.
        shown: which of them occur in the film.
        dataset: the header.
        notes: gets a sentence for each thing that is wrong with the palette.

    Returns:
        `[0, 255]`, `values.shape`.

    Raises:
        ImageError: `colour`, if the palette has colours or is not there.
    """
    if any(keyword not in dataset for keyword in PALETTE):
        raise refusal("colour")
    wrong = Notes()
    channels = [_channel(values, dataset, colour, wrong) for colour in COLOURS]
    notes.warnings.extend(dict.fromkeys(wrong.warnings))
    spread = np.ptp(np.stack(channels)[:, shown], axis=0)
    if spread.size and spread.max() > MAX_CHANNEL_SPREAD:
        raise refusal("colour")
    return np.asarray(np.mean(channels, axis=0))


def _channel(
    values: NDArray[np.int64],
    dataset: pydicom.Dataset,
    colour: str,
    notes: Notes,
) -> NDArray[np.float64]:
    inputs = values.astype(np.float64)
    palette = table(
        dataset,
        inputs,
        notes,
        descriptor=f"{colour}PaletteColorLookupTableDescriptor",
        data=f"{colour}PaletteColorLookupTableData",
        little_endian=dataset.original_encoding[1] is not False,
    )
    return palette.tones(inputs, notes)
