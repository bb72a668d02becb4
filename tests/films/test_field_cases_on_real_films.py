"""Films as people send them, on real films: no answer changes without a word.

Thirty originals, half with pneumonia, under the kinds B (where the bits lie), C
(tables), D (tones no film has) and E (orientation). The shipped model reads each; what
another answer comes of has a caution, or is refused with its reason.
"""

import io

import numpy as np
import pytest
from PIL import Image
from synthetic_films import as_dicom

from cxr.config import ROOT
from cxr.errors import ImageError
from cxr.films import display
from cxr.films.decoding import DecoderPool
from cxr.films.film import read_film
from cxr.models import inference, lungs
from cxr.reading import cases, scoring
from cxr.records import kept
from tests.films.test_field_cases_dicom import lut

pytestmark = pytest.mark.real_data

EACH = 15  # films of each class
LINE = np.arange(4096)
UPRIGHT, ON_ITS_HEAD, ON_ITS_SIDE = ["L", "F"], ["R", "H"], ["F", "R"]


def dicom(values, bits=12, *, shift=0, **elements):
    """A film with these stored values, moved up in their words."""
    cells = (values << shift).astype("<u2")
    elements = {"HighBit": bits - 1 + shift} | elements
    return as_dicom(
        np.zeros(values.shape, np.float32),
        bits_stored=bits,
        PixelData=cells.tobytes(),
        **elements,
    )


def variants(pixels):
    """Yields a name and a file for each way in which a film is sent."""
    twelve = np.rint(pixels * (4095 / 255)).astype(np.int64)
    ten = np.rint(pixels * (1023 / 255)).astype(np.int64)
    narrow = {"WindowCenter": 512, "WindowWidth": 1024}
    yield "B at the top", dicom(twelve, shift=4)
    yield (
        "B at the top, MONOCHROME1",
        dicom(4095 - twelve, shift=4, photometric="MONOCHROME1"),
    )
    yield "B ten in fourteen", dicom(ten, 10, shift=4, **narrow)
    yield "B low although HighBit is 15", dicom(twelve, HighBit=15)
    steep = np.rint(np.linspace(0, 65_535, 4096)).astype(np.int64)
    tables = {
        "C entries as SS": lut(steep, 16, vr="SS"),
        "C twelve bits as sixteen": lut(LINE, 16),
        "C packed": lut(LINE // 16, 8, vr="packed"),
        "C fewer entries": lut(LINE[:3900], 12, count=4096),
    }
    for name, table in tables.items():
        yield name, dicom(twelve, VOILUTSequence=table)
    yield (
        "C signed after rescale",
        dicom(
            twelve,
            VOILUTSequence=lut(LINE, 12, first=-1024),
            RescaleIntercept=-1024,
            RescaleSlope=1,
        ),
    )
    for window in ((2048, 16_384), (600, 400), (3500, 800), (2048, 400)):
        yield f"D window {window}", as_dicom(pixels, window=window)
    for bits in (10, 12, 14):
        values = np.rint(pixels * ((2**bits - 1) / 255)).astype(np.uint16)
        stream = io.BytesIO()
        Image.fromarray(values).save(stream, "PNG")
        yield f"D {bits} bits in sixteen", stream.getvalue()
    for name, turns, orientation in (
        ("E stored on its head", 2, ON_ITS_HEAD),
        ("E stored on its side", 1, ON_ITS_SIDE),
        ("E upright, said to be on its head", 0, ON_ITS_HEAD),
        ("E upright, said to lie on its side", 0, ON_ITS_SIDE),
        ("E upright", 0, UPRIGHT),
    ):
        turned = np.ascontiguousarray(np.rot90(pixels, turns))
        yield name, as_dicom(turned, PatientOrientation=orientation)


def films_of(data_dir):
    for name in ("NORMAL", "PNEUMONIA"):
        paths = sorted((data_dir / "originals" / name).glob("*.jpeg"))
        for path in paths[:: len(paths) // EACH][:EACH]:
            pixels = read_film(path.read_bytes()).pixels
            yield name, display.picture(pixels, 700).astype(np.float32)


def test_no_answer_changes_without_a_word(data_dir):
    model = inference.load(ROOT / "models")
    network = lungs.load(ROOT / "models")
    threshold = model.card.threshold.value
    silent, alarms, films = [], [], 0

    def answer(reading):
        return cases.answer(reading, model, threshold)

    with DecoderPool(2) as pool:
        for name, pixels in films_of(data_dir):
            films += 1
            kinds, files = zip(*variants(pixels), strict=True)
            sent = [as_dicom(pixels), *files]
            plain, *others = scoring.score(model, pool, sent, lungs=network)
            assert not isinstance(plain.result, ImageError)
            for kind, reading in zip(kinds, others, strict=True):
                told = reading.cautions != plain.cautions
                if told or isinstance(reading.result, ImageError):
                    continue
                if answer(reading) != answer(plain):
                    silent.append((name, kind))
                    if name == "NORMAL" and answer(reading) == kept.ABOVE:
                        alarms.append(kind)
    assert films == 2 * EACH
    assert alarms == []
    assert silent == []
