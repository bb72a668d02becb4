"""Tones of DICOM films: window, tables, padding and what the header leaves open."""

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_windowing
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian
from refused_files import refused, replaced
from synthetic_films import as_dicom, chest_phantom, parsed, written

from cxr.films import greyscale
from cxr.films.film import read_film

FILM = chest_phantom(200, 256, seed=5, opacity=0.7)
MARGIN = np.pad(FILM, ((20, 20), (40, 40)), constant_values=np.nan)


class TestTone:
    @pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
    @pytest.mark.parametrize(("center", "width"), [(2000, 900), (1500.5, 3000), (0, 2)])
    def test_window_is_the_one_of_the_standard(self, function, center, width):
        values = np.arange(-500, 4596)
        dataset = pydicom.Dataset()
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.BitsStored, dataset.PixelRepresentation = 8, 0
        dataset.WindowCenter, dataset.WindowWidth = center, width
        dataset.VOILUTFunction = function
        with np.errstate(over="ignore"):
            ours = greyscale.window(
                values.astype(float), center=center, width=width, function=function
            )
            theirs = apply_windowing(values, dataset)
        np.testing.assert_allclose(ours, theirs, atol=1e-9)

    def test_first_of_several_windows_is_used_and_noted(self):
        film = read_film(as_dicom(FILM, window=[(2048, 4096), (100, 50)]))
        np.testing.assert_allclose(film.pixels, FILM, atol=0.04)
        assert "2 windows" in film.warnings[0]

    @pytest.mark.parametrize("width", [0, 1, -5])
    def test_window_without_width_is_estimated(self, width):
        film = read_film(as_dicom(FILM, window=(2048, width)))
        plain = read_film(as_dicom(FILM, window=None))
        np.testing.assert_array_equal(film.pixels, plain.pixels)
        assert len(film.warnings) == 2 and len(plain.warnings) == 1

    @pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
    def test_missing_window_is_taken_from_the_percentiles(self, photometric):
        film = read_film(as_dicom(FILM, photometric=photometric, window=None))
        low, high = np.percentile(FILM, (0.5, 99.5))
        expected = np.clip((FILM - low) / (high - low), 0, 1) * 255
        np.testing.assert_allclose(film.pixels, expected, atol=0.5)
        assert "estimated" in film.warnings[0]

    @pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
    @pytest.mark.parametrize("padding", [0, 4095])
    def test_padding_does_not_take_part_in_the_estimate(self, photometric, padding):
        settings = {"photometric": photometric, "window": None}
        alone = read_film(as_dicom(FILM, **settings)).pixels
        film = read_film(as_dicom(MARGIN, padding=padding, **settings)).pixels
        np.testing.assert_allclose(film[20:-20, 40:-40], alone, atol=1)
        assert film[:20].max() == film[:, -40:].max() == 0

    def test_padding_may_be_a_range(self):
        film = MARGIN.copy()
        data = as_dicom(film, padding=3900, window=None, PixelPaddingRangeLimit=3800)
        edge = read_film(data).pixels[:20]
        assert edge.max() == 0
        assert read_film(data).pixels[FILM.shape[0] // 2].max() > 200

    def test_padding_with_the_sign_of_another_type_is_understood(self):
        data = as_dicom(MARGIN, signed=True, bits_stored=16, padding=-32_768)
        wrong = replaced(data, b"\x28\x00\x20\x01SS", b"\x28\x00\x20\x01US")
        np.testing.assert_allclose(
            read_film(wrong).pixels, np.nan_to_num(MARGIN), atol=0.01
        )

    def test_eight_bits_without_a_window_are_shown_as_they_are(self):
        film = read_film(as_dicom(FILM, bits_stored=8, window=None))
        np.testing.assert_array_equal(film.pixels, FILM)
        assert film.warnings == ()

    def test_eight_of_sixteen_bits_without_a_window_too(self):
        for signed in (False, True):
            dataset = parsed(as_dicom(FILM, bits_stored=8, signed=signed, window=None))
            stored = np.frombuffer(dataset.PixelData, "i1" if signed else "u1")
            dataset.PixelData = stored.astype("<i2").tobytes()
            dataset["PixelData"].VR = "OW"
            dataset.BitsAllocated = 16
            np.testing.assert_array_equal(read_film(written(dataset)).pixels, FILM)

    def test_rescaling_comes_before_the_window(self):
        data = as_dicom(
            FILM, window=(3096, 8192), RescaleSlope=2, RescaleIntercept=-1000
        )
        np.testing.assert_allclose(read_film(data).pixels, FILM, atol=0.06)

    def test_voi_table_of_eight_bits(self):
        squeezed = np.arange(4096) // 16
        data = as_dicom(FILM, VOILUTSequence=table(squeezed, 8))
        np.testing.assert_allclose(read_film(data).pixels, FILM, atol=1)

    def test_modality_table_comes_before_the_window(self):
        square = np.arange(4096) ** 2 // 4096
        data = as_dicom(FILM, ModalityLUTSequence=table(square, 12))
        expected = square[np.rint(FILM * 4095 / 255).astype(int)] * 255 / 4095
        np.testing.assert_allclose(read_film(data).pixels, expected, atol=0.04)

    @pytest.mark.parametrize("first", [0, 500])
    @pytest.mark.parametrize("as_words", [False, True])
    @pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
    def test_voi_table_wins_over_the_window(self, first, as_words, syntax):
        root = np.rint(np.sqrt(np.arange(4096) * 4095))
        sequence = table(root, 12, first)
        if as_words:
            order = ">" if syntax == ExplicitVRBigEndian else "<"
            sequence[0].add_new("LUTData", "OW", root.astype(f"{order}u2").tobytes())
        data = as_dicom(FILM, VOILUTSequence=sequence, syntax=syntax)
        index = np.clip(np.rint(FILM * 4095 / 255) - first, 0, 4095).astype(int)
        expected = root[index] * 255 / 4095
        np.testing.assert_allclose(read_film(data).pixels, expected, atol=1e-3)

    def test_contradiction_on_the_bright_end_is_noted(self):
        film = read_film(as_dicom(FILM, PresentationLUTShape="INVERSE"))
        np.testing.assert_allclose(film.pixels, FILM, atol=0.04)
        (caution,) = film.cautions
        assert "contradicts" in caution

    def test_flat_rescaling_is_blank(self):
        data = as_dicom(FILM, RescaleSlope=0, RescaleIntercept=7)
        assert refused(data).code == "blank"
        data = as_dicom(FILM, window=None, RescaleSlope=0, RescaleIntercept=7)
        assert refused(data).code == "blank"

    @pytest.mark.parametrize("text", [b"nan ", b"inf ", b"-inf"])
    @pytest.mark.parametrize("window", ["full", None])
    def test_values_that_are_no_numbers_are_never_scored(self, text, window):
        data = as_dicom(FILM, window=window, RescaleSlope=1234, RescaleIntercept=0)
        error = refused(replaced(data, b"1234", text))
        assert error.code in ("not-finite", "header")


def table(entries: np.ndarray, bits: int, first: int = 0) -> Sequence:
    """A modality or VOI table."""
    item = pydicom.Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item["LUTDescriptor"].VR = "US"
    item.LUTData = [int(entry) for entry in entries]
    item["LUTData"].VR = "US"
    return Sequence([item])
