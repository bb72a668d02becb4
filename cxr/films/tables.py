"""Modality, VOI and palette tables of a DICOM header: values to table entries.

A table has a descriptor, (number of entries, first value mapped, bits of an entry), and
its entries (PS3.3 C.11.1.1, C.11.2.1.1 and C.7.6.3.1.5). Writers get each of the three
numbers wrong in their own way, so the entries themselves have a say.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from cxr.films.notes import Notes
from cxr.films.refusals import refusal

FEWER = "A table of the header has fewer entries than it declares; its last one holds."
MORE = "A table of the header has more entries than it declares; the rest is left out."
OTHER_BITS = (
    "A table of the header declares {declared} bits for its entries, which have"
    " {real}; the entries count."
)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table that maps values to entries.

    Attributes:
        first: the value that the first entry belongs to.
        entries: unsigned, at least one.
        declared_bits: of an entry, by the descriptor.
        bits: of an entry, by the highest one; 8 to 16.
    """

    first: int
    entries: NDArray[np.float64]
    declared_bits: int
    bits: int

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns an entry for each value; beyond both ends the end entries hold."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        return self.entries[index.astype(np.int64)]

    def tones(self, values: NDArray[np.float64], notes: Notes) -> NDArray[np.float64]:
        """Returns entries in `[0, 255]`, as shown; notes a wrong number of bits."""
        if self.bits != self.declared_bits:
            bits = {"declared": self.declared_bits, "real": self.bits}
            notes.warnings.append(OTHER_BITS.format(**bits))
        return self(values) * (255 / (2**self.bits - 1))


def table(
    item: pydicom.Dataset,
    values: NDArray[np.float64],
    notes: Notes,
    *,
    descriptor: str = "LUTDescriptor",
    data: str = "LUTData",
    little_endian: bool = True,
) -> Table:
    """Returns a table of the header.

    Args:
        item: the data set that holds the table.
        values: all values that may be looked up: the first value mapped is signed if
            they can be negative.
        notes: gets a sentence for each thing that the descriptor gets wrong.
        descriptor: keyword of the descriptor.
        data: keyword of the entries.
        little_endian: how the file stores words.

    Raises:
        ImageError: `header`, if the descriptor or the entries are missing or empty.
    """
    count, first, bits = _descriptor(item, descriptor, little_endian)
    entries = _entries(item, data, count, bits, little_endian)
    if len(entries) < count:
        notes.warnings.append(FEWER)
    if len(entries) > count + 1:  # one may fill up a word
        notes.warnings.append(MORE)
    entries = entries[:count]
    if first >= 32_768 and (np.min(values) < 0 or np.max(values) < first):
        first -= 65_536
    return Table(
        first=first,
        entries=entries.astype(np.float64),
        declared_bits=bits,
        bits=max(int(entries.max()).bit_length(), 8),
    )


def _descriptor(
    item: pydicom.Dataset, keyword: str, little_endian: bool
) -> tuple[int, int, int]:
    """Returns number of entries, first value and bits, each as an unsigned word."""
    value: Any = item.get(keyword)
    if isinstance(value, bytes):
        value = np.frombuffer(value, "<u2" if little_endian else ">u2").tolist()
    if value is None or isinstance(value, int) or len(value) != 3:
        raise refusal("header", element=keyword)
    count, first, bits = (int(number) & 0xFFFF for number in value)
    return count or 65_536, first, bits


def _entries(
    item: pydicom.Dataset, keyword: str, count: int, bits: int, little_endian: bool
) -> NDArray[np.uint16]:
    """Returns the entries, taken apart if two of 8 bits share a word."""
    value: Any = item.get(keyword)
    if value is None or (not isinstance(value, int) and not len(value)):
        raise refusal("header", element=keyword)
    if isinstance(value, bytes):
        if item[keyword].VR == "OB" or len(value) % 2:
            return np.frombuffer(value, "u1").astype("<u2")
        words = np.frombuffer(value, "<u2" if little_endian else ">u2").astype("<u2")
    else:  # US or SS, if pydicom took a sign from the pixels; entries have none
        numbers = np.atleast_1d(np.asarray(value, dtype=np.int64))
        words = (numbers & 0xFFFF).astype("<u2")
    return _unpacked(words, count, bits)


def _unpacked(words: NDArray[np.uint16], count: int, bits: int) -> NDArray[np.uint16]:
    """Returns words as they are, or their low and then high bytes (PS3.5 8.1.1)."""
    halves = words.view("u1").astype("<u2")
    half_full = (count + 1) // 2 == len(words) and count > 1
    packed = half_full and (bits <= 8 or _steps(halves) < _steps(words) / 256)
    return halves if packed and words.max() > 255 else words


def _steps(entries: NDArray[np.uint16]) -> float:
    """Returns the mean step from entry to entry: small in a table that curves."""
    return float(np.mean(np.abs(np.diff(entries.astype(np.float64))))) + 1e-9
