"""DICOM films as people really have them, each against what the standard shows.

The letters are those of a survey of public reports: B where the bits of a value lie,
C tables, J polarity. `CASES` holds the films that have a right picture; it is worked
out from the formulas of PS3.3 C.11.1 and C.11.2 here, and compared with DCMTK's
rendering where that is installed.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)
from synthetic_films import as_dicom, chest_phantom, parsed, saved, written

from cxr.errors import ImageError
from cxr.films.film import read_film

FILM = chest_phantom(200, 256, seed=5, opacity=0.7)
TWELVE = np.rint(FILM * (4095 / 255)).astype(np.int64)  # stored values of 12 bits
TEN = np.rint(FILM * (1023 / 255)).astype(np.int64)
FULL = (2048, 4096)  # the window that shows all values of 12 bits

DCMTK = shutil.which("dcmj2pnm")


def refused(data: bytes) -> ImageError:
    """The error with which a file is refused."""
    with pytest.raises(ImageError) as caught:
        read_film(data)
    return caught.value


def film_of(cells: NDArray[Any], bits_stored: int = 12, **elements: Any) -> bytes:
    """A DICOM film with just these pixel cells."""
    high_bit = elements.pop("HighBit", bits_stored - 1)
    syntax = elements.pop("syntax", ExplicitVRLittleEndian)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    stored = np.asarray(cells).astype(f"{order}u2")
    if syntax != RLELossless:
        elements["PixelData"] = stored.tobytes()
    else:
        return _run_lengths(stored, bits_stored, HighBit=high_bit, **elements)
    return as_dicom(
        FILM, bits_stored=bits_stored, HighBit=high_bit, syntax=syntax, **elements
    )


def _run_lengths(stored: NDArray[Any], bits_stored: int, **elements: Any) -> bytes:
    full = as_dicom(
        (stored / 257).astype(np.float32), bits_stored=16, syntax=RLELossless
    )
    dataset = parsed(full)
    dataset.BitsStored = bits_stored
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return written(dataset, RLELossless)


def window(values: NDArray[Any], center: float, width: float) -> NDArray[np.float64]:
    """Tones of a window (PS3.3 C.11.2.1.2.1, LINEAR), written as the standard does."""
    tones = ((values - (center - 0.5)) / (width - 1) + 0.5) * 255
    tones = np.where(values <= center - 0.5 - (width - 1) / 2, 0, tones)
    return np.where(values > center - 0.5 + (width - 1) / 2, 255, tones)


def lut(
    entries: NDArray[Any],
    bits: int,
    first: int = 0,
    *,
    count: int | None = None,
    vr: str = "US",
    order: str = "<",
) -> Sequence:
    """A sequence of one table; `vr` is how its entries are written."""
    item = pydicom.Dataset()
    count = len(entries) if count is None else count
    item.add_new("LUTDescriptor", "US", [count % 65_536, first % 65_536, bits])
    words = np.asarray(entries).astype(np.int64)
    if vr == "OW":
        item.add_new("LUTData", "OW", words.astype(f"{order}u2").tobytes())
    elif vr == "packed":
        pairs = words.astype("u1").reshape(-1, 2).astype("<u2")
        item.add_new(
            "LUTData",
            "OW",
            (pairs[:, 0] + 256 * pairs[:, 1]).astype(f"{order}u2").tobytes(),
        )
    else:
        signed = words - 65_536 * (words >= 32_768) if vr == "SS" else words
        item.add_new("LUTData", vr, [int(word) for word in signed])
    return Sequence([item])


def _without(keyword: str) -> Sequence:
    sequence = lut(np.arange(4096), 12)
    del sequence[0][keyword]
    return sequence


@dataclass(frozen=True, kw_only=True)
class Case:
    """A film, the tones that the standard gives it and what a reader is told."""

    data: bytes
    tones: NDArray[np.float64]
    note: str | None = None
    dcmtk: tuple[str, ...] | None = ("+Wi", "1")  # `None`: it shows something else


TOP_NOTE = "read where they are"
UNUSED_NOTE = "leaves unused"
CONTRADICTION = "contradicts itself"
ROOT = np.rint(np.sqrt(np.arange(4096) * 4095.0)).astype(np.int64)
RAMP = np.arange(4096) // 16  # 12 bits to 8
WHOLE = window(TWELVE, *FULL)
OVERLAY = np.indices(FILM.shape).sum(axis=0) % 7 == 0
SIGNED = (TWELVE - 2048) % 65_536
LUNG_WINDOW = {"WindowCenter": 1400, "WindowWidth": 1800}


def _cases() -> dict[str, Case]:
    return _bit_cases() | _table_cases() | _polarity_cases()


def _bit_cases() -> dict[str, Case]:
    at_the_top = {"HighBit": 15}
    inverted = {"photometric": "MONOCHROME1"}
    signed = {"PixelRepresentation": 1, "WindowCenter": 0}
    ten = {"WindowCenter": 512, "WindowWidth": 1024}
    return {
        "B twelve bits at the top of the word": Case(
            data=film_of(TWELVE << 4, **at_the_top), tones=WHOLE
        ),
        "B twelve bits at the top of the word, its own window": Case(
            data=film_of(TWELVE << 4, **at_the_top, **LUNG_WINDOW),
            tones=window(TWELVE, 1400, 1800),
        ),
        "B twelve bits at the top, MONOCHROME1": Case(
            data=film_of(TWELVE << 4, **at_the_top, **inverted), tones=255 - WHOLE
        ),
        "B twelve bits at the top, big-endian": Case(
            data=film_of(TWELVE << 4, **at_the_top, syntax=ExplicitVRBigEndian),
            tones=WHOLE,
        ),
        "B twelve bits at the top, run lengths": Case(
            data=film_of(
                TWELVE << 4,
                **at_the_top,
                syntax=RLELossless,
                WindowCenter=2048,
                WindowWidth=4096,
            ),
            tones=WHOLE,
        ),
        "B ten bits in fourteen": Case(
            data=film_of(TEN << 4, 10, HighBit=13, **ten), tones=window(TEN, 512, 1024)
        ),
        "B signed at the top": Case(
            data=film_of((SIGNED << 4) % 65_536, **at_the_top, **signed),
            tones=window(TWELVE - 2048, 0, 4096),
        ),
        "B signed at the bottom": Case(
            data=film_of(SIGNED, **signed), tones=window(TWELVE - 2048, 0, 4096)
        ),
        "B overlay below values at the top": Case(
            data=film_of((TWELVE << 4) + OVERLAY * 5, **at_the_top),
            tones=WHOLE,
            note=UNUSED_NOTE,
        ),
        "B overlay above values at the bottom": Case(
            data=film_of(TWELVE + OVERLAY * 0x8000), tones=WHOLE, note=UNUSED_NOTE
        ),
        "B overlay on both sides of ten bits in fourteen": Case(
            data=film_of((TEN << 4) + OVERLAY * 0x8001, 10, HighBit=13, **ten),
            tones=window(TEN, 512, 1024),
            note=UNUSED_NOTE,
        ),
        "B HighBit 15 although the values lie low": Case(
            data=film_of(TWELVE, **at_the_top), tones=WHOLE, note=TOP_NOTE, dcmtk=None
        ),
        "B HighBit 15 although signed values lie low": Case(
            data=film_of(SIGNED, **at_the_top, **signed),
            tones=window(TWELVE - 2048, 0, 4096),
            note=TOP_NOTE,
            dcmtk=None,
        ),
        "B HighBit of twelve bits, BitsStored of sixteen": Case(
            data=film_of(TWELVE, 16, HighBit=11, WindowCenter=2048, WindowWidth=4096),
            tones=WHOLE,
            note=TOP_NOTE,
            dcmtk=None,
        ),
        "B HighBit is missing": Case(data=film_of(TWELVE, HighBit=None), tones=WHOLE),
    }


def _table_cases() -> dict[str, Case]:
    big = ExplicitVRBigEndian
    rooted = ROOT[TWELVE] * 255 / 4095
    at_first = np.clip(TWELVE - 1024 + 1024, 0, 4095)
    voi, table_shown = "VOILUTSequence", ("+Wl", "1")
    signed_values = {"PixelRepresentation": 1}
    steep = np.rint(np.linspace(0, 65_535, 4096)).astype(np.int64)

    def case(sequence: Sequence, tones: Any, note: str | None = None, **more: Any):
        keyword = more.pop("keyword", voi)
        dcmtk = more.pop("dcmtk", table_shown)
        data = film_of(more.pop("cells", TWELVE), **{keyword: sequence}, **more)
        return Case(data=data, tones=tones, note=note, dcmtk=dcmtk)

    return {
        "C entries as SS": case(lut(steep, 16, vr="SS"), steep[TWELVE] * 255 / 65_535),
        "C entries as OW": case(lut(ROOT, 12, vr="OW"), rooted),
        "C entries as OW, big-endian": case(
            lut(ROOT, 12, vr="OW", order=">"), rooted, syntax=big
        ),
        "C twelve bits declared as sixteen": case(
            lut(ROOT, 16), rooted, "12; the entries count", dcmtk=("+Mv", "+Wl", "1")
        ),
        "C sixteen bits declared as twelve": case(
            lut(steep, 12),
            steep[TWELVE] * 255 / 65_535,
            "16; the entries count",
            dcmtk=("+Mv", "+Wl", "1"),
        ),
        "C first value signed after rescale": case(
            lut(ROOT, 12, first=-1024),
            ROOT[at_first] * 255 / 4095,
            RescaleIntercept=-1024,
            RescaleSlope=1,
        ),
        "C first value signed with signed pixels": case(
            lut(ROOT, 12, first=-2048), rooted, cells=SIGNED, **signed_values
        ),
        "C table of a MONOCHROME1 film": case(
            lut(ROOT, 12), 255 - rooted, photometric="MONOCHROME1"
        ),
        "C first value above the lowest": case(
            lut(ROOT[:3000], 12, first=500),
            ROOT[np.clip(TWELVE - 500, 0, 2999)] * 255 / 4095,
        ),
        "C eight bits, one a word": case(lut(RAMP, 8), RAMP[TWELVE]),
        "C eight bits, packed in words": case(lut(RAMP, 8, vr="packed"), RAMP[TWELVE]),
        "C eight bits, packed, big-endian": case(
            lut(RAMP, 8, vr="packed", order=">"), RAMP[TWELVE], syntax=big
        ),
        "C eight bits, packed, declared as sixteen": case(
            lut(RAMP, 16, vr="packed"), RAMP[TWELVE], "8; the entries", dcmtk=None
        ),
        "C fewer entries than declared": case(
            lut(ROOT[:3900], 12, count=4096),
            ROOT[np.clip(TWELVE, 0, 3899)] * 255 / 4095,
            "fewer entries",
        ),
        "C more entries than declared": case(
            lut(ROOT, 12, count=4000),
            ROOT[np.clip(TWELVE, 0, 3999)] * 255 / 4095,
            "more entries",
        ),
        "C modality table as SS": case(
            lut(steep, 16, vr="SS"),
            window(steep[TWELVE], 32_768, 65_536),
            keyword="ModalityLUTSequence",
            WindowCenter=32_768,
            WindowWidth=65_536,
            dcmtk=None,  # it leaves such a table out
        ),
        "C modality table of packed bytes": case(
            lut(RAMP, 8, vr="packed"),
            window(RAMP[TWELVE], 128, 256),
            keyword="ModalityLUTSequence",
            WindowCenter=128,
            WindowWidth=256,
            dcmtk=("+Wi", "1"),
        ),
    }


def _polarity_cases() -> dict[str, Case]:
    stored = {"MONOCHROME1": 4095 - TWELVE, "MONOCHROME2": TWELVE}
    agree = {"MONOCHROME1": "INVERSE", "MONOCHROME2": "IDENTITY"}
    return {
        f"J {photometric} with {shape}": Case(
            data=film_of(
                stored[photometric],
                photometric=photometric,
                PresentationLUTShape=shape,
            ),
            tones=WHOLE,
            note=None if agree[photometric] == shape else CONTRADICTION,
            # It follows the shape; the photometric interpretation is mandatory.
            dcmtk=("+Wi", "1") if agree[photometric] == shape else None,
        )
        for photometric in stored
        for shape in ("IDENTITY", "INVERSE")
    }


CASES = _cases()


@pytest.mark.parametrize("name", CASES)
def test_field_case_has_the_tones_of_the_standard(name):
    case = CASES[name]
    film = read_film(case.data)
    np.testing.assert_allclose(film.pixels, case.tones, atol=1e-3)
    told = film.cautions + film.warnings
    assert len(told) == (0 if case.note is None else 1)
    assert case.note is None or case.note in told[0]
    assert bool(film.cautions) == (case.note in (UNUSED_NOTE, CONTRADICTION))


@pytest.mark.skipif(DCMTK is None, reason="DCMTK's dcmj2pnm is not installed")
@pytest.mark.parametrize("name", [n for n in CASES if CASES[n].dcmtk is not None])
def test_field_case_has_the_tones_of_dcmtk(name, tmp_path):
    np.testing.assert_allclose(
        read_film(CASES[name].data).pixels, rendered(CASES[name], tmp_path), atol=1.01
    )


def rendered(case: Case, folder: Path) -> NDArray[np.float64]:
    """What DCMTK's `dcmj2pnm` shows, in whole grey levels."""
    film, picture = folder / "film.dcm", folder / "film.pgm"
    film.write_bytes(case.data)
    command = [str(DCMTK), "-O", "+op", *(case.dcmtk or ()), str(film), str(picture)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return np.asarray(Image.open(picture)).astype(np.float64)


class TestRefusedByName:
    """What has two readings is refused, and the sentence names the element."""

    @pytest.mark.parametrize(
        ("name", "data", "element"),
        [
            ("values at the top", film_of(TWELVE << 4), "HighBit"),
            (
                "two signs",
                film_of(TWELVE, 16, HighBit=11, PixelRepresentation=1),
                "HighBit",
            ),
            ("no entries", film_of(TWELVE, VOILUTSequence=_without("LUTData")), "LUTD"),
            (
                "no descriptor",
                film_of(TWELVE, VOILUTSequence=_without("LUTDescriptor")),
                "LUTDescriptor",
            ),
            ("slope alone", film_of(TWELVE, RescaleSlope=2), "RescaleIntercept"),
        ],
    )
    def test_case_B_and_C(self, name, data, element):
        error = refused(data)
        assert error.code == "header" and element in error.message


class TestTableInput:
    def test_case_C_declared_as_signed_for_unsigned_pixels(self):
        sequence = lut(ROOT[1000:], 12, first=0)
        del sequence[0].LUTDescriptor
        sequence[0].add_new("LUTDescriptor", "SS", [3096, -1000, 12])
        film = read_film(film_of(TWELVE // 2, VOILUTSequence=sequence))
        right = ROOT[1000:][np.clip(TWELVE // 2 + 1000, 0, 3095)] * 255 / 4095
        np.testing.assert_allclose(film.pixels, right, atol=1e-3)

    def test_case_C_two_tables_are_noted(self):
        sequence = Sequence([lut(ROOT, 12)[0], lut(RAMP, 8)[0]])
        film = read_film(film_of(TWELVE, VOILUTSequence=sequence))
        np.testing.assert_allclose(film.pixels, ROOT[TWELVE] * 255 / 4095, atol=1e-3)
        assert "several VOI tables" in film.warnings[0]


@pytest.mark.parametrize("vr", ["US", "SS", "OW", "packed"])
@pytest.mark.parametrize("signed", [False, True])
def test_case_C_a_table_in_implicit_encoding(vr, signed):
    entries, bits = (RAMP, 8) if vr == "packed" else (ROOT, 12)
    first = -2048 if signed else 0
    data = film_of(
        SIGNED if signed else TWELVE,
        PixelRepresentation=int(signed),
        VOILUTSequence=lut(entries, bits, first=first, vr=vr),
        syntax=ImplicitVRLittleEndian,
    )
    film = read_film(data)
    right = entries[TWELVE] * 255 / (2**bits - 1)
    np.testing.assert_allclose(film.pixels, right, atol=1e-3)
    assert film.warnings == film.cautions == ()


@pytest.mark.parametrize(
    ("values_at", "note"), [(4, None), (0, TOP_NOTE)], ids=["at the top", "low"]
)
def test_case_B_high_bit_of_a_compressed_film(values_at, note):
    cells = (TWELVE << values_at).astype(np.uint16)
    frame = saved(Image.fromarray(cells), "JPEG2000", no_jp2=True)
    dataset = parsed(as_dicom(FILM, HighBit=15))
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    film = read_film(written(dataset, JPEG2000Lossless))
    np.testing.assert_allclose(film.pixels, WHOLE, atol=1e-3)
    assert len(film.warnings) == (0 if note is None else 1)


def test_case_B_padding_beyond_the_stored_bits_is_black():
    cells = (4095 - TWELVE).copy()
    cells[:20] = 65_535
    data = film_of(cells, photometric="MONOCHROME1", PixelPaddingValue=65_535)
    film = read_film(data)
    assert film.pixels[:20].max() == 0 and film.warnings == ()
    np.testing.assert_allclose(film.pixels[20:], WHOLE[20:], atol=1e-3)
