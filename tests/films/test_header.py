"""What a header lacks is told from the rest, or the refusal names it (case H)."""

import struct

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
)
from synthetic_films import as_dicom, as_jpeg, chest_phantom, parsed, written

from cxr.errors import ImageError
from cxr.films.film import Film, read_film

FILM = chest_phantom(200, 256, seed=5, opacity=0.7)
CR = {"SOPClassUID": ComputedRadiographyImageStorage, "modality": "CR"}
ITEM = b"\xfe\xff\x00\xe0"


def named(data: bytes, element: str) -> None:
    """Checks that a file is refused with the name of an element."""
    with pytest.raises(ImageError) as caught:
        read_film(data)
    assert caught.value.code == "header" and element in caught.value.message


def shows_the_film(data: bytes, *words: str, atol: float = 0.04) -> Film:
    """Checks the tones of a file, and one sentence for each of some words."""
    film = read_film(data)
    np.testing.assert_allclose(film.pixels, FILM, atol=atol)
    assert film.cautions == () and len(film.warnings) == len(words)
    assert all(word in told for word, told in zip(words, film.warnings, strict=True))
    return film


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    """A file with the one occurrence of some bytes replaced."""
    assert data.count(old) == 1 and len(old) == len(new)
    return data.replace(old, new)


class TestMissing:
    def test_case_H_samples_per_pixel(self):
        shows_the_film(as_dicom(FILM, SamplesPerPixel=None), "SamplesPerPixel")
        data = as_dicom(FILM, photometric="RGB", bits_stored=8, SamplesPerPixel=None)
        shows_the_film(data, "SamplesPerPixel")

    @pytest.mark.parametrize(
        ("shape", "photometric"),
        [("IDENTITY", "MONOCHROME2"), ("INVERSE", "MONOCHROME1")],
    )
    def test_case_H_photometric_interpretation_by_the_presentation(
        self, shape, photometric
    ):
        missing = {"PhotometricInterpretation": None, "PresentationLUTShape": shape}
        data = as_dicom(FILM, photometric=photometric, **missing)
        shows_the_film(data, "PhotometricInterpretation")

    def test_case_H_photometric_interpretation_is_never_guessed(self):
        data = as_dicom(FILM, PhotometricInterpretation=None)
        named(data, "PhotometricInterpretation")

    def test_case_H_pixel_representation_of_a_class_without_a_sign(self):
        data = as_dicom(FILM, PixelRepresentation=None)
        shows_the_film(data, "PixelRepresentation")

    def test_case_H_pixel_representation_that_no_pixel_needs(self):
        half = as_dicom(FILM / 2.1, window=(950, 1900), PixelRepresentation=None, **CR)
        film = read_film(half)
        assert "no pixel needs a sign" in film.warnings[0]
        given = as_dicom(FILM / 2.1, window=(950, 1900), **CR)
        np.testing.assert_array_equal(film.pixels, read_film(given).pixels)

    def test_case_H_pixel_representation_that_pixels_need_is_never_guessed(self):
        named(as_dicom(FILM, PixelRepresentation=None, **CR), "PixelRepresentation")

    @pytest.mark.parametrize(
        "keyword", ["Rows", "Columns", "BitsAllocated", "BitsStored"]
    )
    def test_case_H_what_nothing_else_says_is_named(self, keyword):
        named(as_dicom(FILM, **{keyword: None}), keyword)

    def test_case_H_padding_without_a_pixel_representation(self):
        framed = np.pad(FILM / 2.1, ((20, 20), (40, 40)), constant_values=np.nan)
        settings = {"padding": 0, "window": (950, 1900), **CR}
        data = as_dicom(framed, syntax=ImplicitVRLittleEndian, **settings)
        element = b"\x28\x00\x03\x01\x02\x00\x00\x00\x00\x00"
        assert data.count(element) == 1
        film = read_film(data.replace(element, b""))
        np.testing.assert_array_equal(film.pixels, read_film(data).pixels)

    def test_case_H_half_of_a_rescaling(self):
        shows_the_film(as_dicom(FILM, RescaleIntercept=0))
        shows_the_film(as_dicom(FILM, RescaleSlope=1))
        named(as_dicom(FILM, RescaleIntercept=-1024), "RescaleSlope")


class TestPlanes:
    """Grey films in three channels, one after the other or pixel by pixel."""

    PLANES = np.repeat(FILM.astype("u1")[None], 3, axis=0).tobytes()
    RGB = {"photometric": "RGB", "bits_stored": 8}

    def test_case_H_both_arrangements_are_read(self):
        shows_the_film(as_dicom(FILM, **self.RGB))
        planes = {"PixelData": self.PLANES, "PlanarConfiguration": 1}
        shows_the_film(as_dicom(FILM, **self.RGB, **planes))

    def test_case_H_the_wrong_arrangement_is_named(self):
        wrong = as_dicom(FILM, **self.RGB, PixelData=self.PLANES)
        named(wrong, "PlanarConfiguration")
        wrong = as_dicom(FILM, **self.RGB, PlanarConfiguration=1)
        named(wrong, "PlanarConfiguration")

    def test_case_H_a_missing_arrangement_is_named_unless_a_jpeg_says_it(self):
        named(as_dicom(FILM, **self.RGB, PlanarConfiguration=None), "Planar")
        dataset = parsed(as_dicom(FILM, bits_stored=8, syntax=JPEGBaseline8Bit))
        dataset.PixelData = encapsulate([as_jpeg(FILM, mode="RGB")])
        dataset["PixelData"].VR = "OB"
        dataset.SamplesPerPixel = 3
        dataset.PhotometricInterpretation = "YBR_FULL_422"
        film = read_film(written(dataset, JPEGBaseline8Bit))
        assert np.abs(film.pixels - FILM).mean() < 2


class TestMisspelt:
    def test_case_H_lower_case_photometric_interpretation(self):
        for name in ("MONOCHROME1", "MONOCHROME2"):
            data = as_dicom(FILM, photometric=name)
            data = replaced(data, name.encode(), name.lower().encode())
            shows_the_film(data)

    @pytest.mark.parametrize("text", [b"MONOCHROME ", b"MONO 2     ", b"GRAYSCALE  "])
    def test_case_H_photometric_interpretation_that_is_none(self, text):
        data = replaced(as_dicom(FILM), b"MONOCHROME2", text)
        named(data, "PhotometricInterpretation")

    def test_case_H_a_comma_in_the_window_costs_the_window(self):
        data = as_dicom(FILM, window=(2048.5, 4096.5))
        data = replaced(data, b"2048.5", b"2048,5")
        film = read_film(replaced(data, b"4096.5", b"4096,5"))
        plain = read_film(as_dicom(FILM, window=None))
        np.testing.assert_array_equal(film.pixels, plain.pixels)
        assert "no number" in film.warnings[0] and "estimated" in film.warnings[1]

    def test_case_H_a_comma_in_the_rescaling_is_a_point(self):
        data = as_dicom(FILM, window=(1024, 2048), RescaleSlope=0.5, RescaleIntercept=0)
        shows_the_film(replaced(data, b"0.5 ", b"0,5 "), "RescaleSlope", atol=0.1)

    def test_case_H_a_rescaling_that_is_no_number_is_named(self):
        data = as_dicom(FILM, RescaleSlope=0.5, RescaleIntercept=0)
        named(replaced(data, b"0.5 ", b"half"), "RescaleSlope")


def jpeg_film(value: bytes, **elements: object) -> bytes:
    """A DICOM film with this encapsulated value under JPEG Baseline."""
    dataset = parsed(as_dicom(FILM, bits_stored=8, syntax=JPEGBaseline8Bit))
    dataset.PixelData = value
    dataset["PixelData"].VR = "OB"
    for keyword, element in elements.items():
        setattr(dataset, keyword, element)
    return written(dataset, JPEGBaseline8Bit)


FRAME = as_jpeg(FILM)
FRAME += bytes(len(FRAME) % 2)
PLAIN = encapsulate([FRAME])
HALVES = b"".join(
    ITEM + struct.pack("<I", len(part)) + part for part in (FRAME[:2000], FRAME[2000:])
)


class TestPixelData:
    @pytest.mark.parametrize(
        "table",
        [(), (0,), (1_000,), (0, 2_008), (0, 5), (2**32 - 1,)],
        ids=lambda table: f"offsets {table}",
    )
    @pytest.mark.parametrize("fragments", [PLAIN[12:], HALVES])
    def test_case_H_the_offsets_of_a_single_frame_do_not_matter(self, table, fragments):
        head = struct.pack(f"<I{len(table)}I", 4 * len(table), *table)
        film = read_film(jpeg_film(ITEM + head + fragments))
        plain = read_film(jpeg_film(PLAIN))
        np.testing.assert_array_equal(film.pixels, plain.pixels)
        assert film.warnings == plain.warnings == ()

    def test_case_H_two_pictures_in_a_file_that_counts_none(self):
        with pytest.raises(ImageError) as caught:
            read_film(jpeg_film(encapsulate([FRAME, FRAME])))
        assert caught.value.code == "multi-frame"

    @pytest.mark.parametrize(
        ("elements", "factor"),
        [
            ({}, 2),  # two films
            ({"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}, 1),
            ({"Rows": 128, "Columns": 128}, 1),
        ],
    )
    def test_case_H_twice_the_pixels_are_named(self, elements, factor):
        stored = np.rint(FILM * (4095 / 255)).astype("<u2").tobytes()
        named(as_dicom(FILM, PixelData=stored * factor, **elements), "NumberOfFrames")

    def test_case_H_more_pixels_than_rows_and_columns_are_a_caution(self):
        film = read_film(as_dicom(FILM, Columns=240))
        assert any("Columns" in told for told in film.cautions)
        trailing = np.rint(FILM * (4095 / 255)).astype("<u2").tobytes() + bytes(100)
        film = read_film(as_dicom(FILM, PixelData=trailing))
        np.testing.assert_allclose(film.pixels, FILM, atol=0.04)
        assert film.cautions == ()

    def test_case_H_sixteen_bits_allocated_for_a_picture_of_eight(self):
        film = read_film(jpeg_film(PLAIN, BitsAllocated=16))
        plain = read_film(jpeg_film(PLAIN))
        np.testing.assert_array_equal(film.pixels, plain.pixels)
        assert film.bits == 8

    @pytest.mark.parametrize(
        ("elements", "element"),
        [
            ({"Rows": 208}, "Rows"),
            ({"Columns": 264}, "Columns"),
            ({"Rows": 256, "Columns": 200}, "Rows"),
            ({"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}, "BitsStored"),
        ],
    )
    def test_case_H_header_against_codestream_is_named(self, elements, element):
        named(jpeg_film(PLAIN, **elements), element)

    def test_case_H_colours_inside_a_grey_header_are_named(self):
        data = jpeg_film(encapsulate([as_jpeg(FILM, mode="RGB")]))
        named(data, "SamplesPerPixel")

    def test_case_H_grey_inside_a_header_for_colours_is_read(self):
        colours = {"PhotometricInterpretation": "YBR_FULL_422", "SamplesPerPixel": 3}
        film = read_film(jpeg_film(PLAIN, PlanarConfiguration=0, **colours))
        np.testing.assert_array_equal(film.pixels, read_film(jpeg_film(PLAIN)).pixels)

    def test_case_H_native_pixels_of_undefined_length_are_read(self):
        data = as_dicom(FILM)
        tag = b"\xe0\x7f\x10\x00OW\x00\x00"
        size = struct.pack("<I", FILM.size * 2)
        data = replaced(data, tag + size, tag + b"\xff\xff\xff\xff")
        end = b"\xfe\xff\xdd\xe0" + bytes(4)
        shows_the_film(data + end)
        with pytest.raises(ImageError) as caught:
            read_film(data[:-2] + end)
        assert caught.value.code == "incomplete"

    def test_case_H_a_transfer_syntax_against_the_pixels_is_named(self):
        dataset = parsed(jpeg_film(PLAIN))
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = jpeg_film(PLAIN)
        length = struct.pack("<H", 22)
        old = length + JPEGBaseline8Bit.encode()
        new = length + b"1.2.840.10008.1.2.1".ljust(22, b"\0")
        named(replaced(data, old, new), "TransferSyntaxUID")
        native = as_dicom(FILM, bits_stored=8)
        old = b"UI\x14\x00" + ExplicitVRLittleEndian.encode() + b"\0"
        new = b"UI\x14\x00" + b"1.2.840.10008.1.2.5\0"
        named(replaced(native, old, new), "TransferSyntaxUID")


class TestSign:
    @pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEG2000Lossless])
    @pytest.mark.parametrize("bits", [8, 12, 16])
    def test_case_H_a_sign_that_tears_the_film_is_a_caution(self, syntax, bits):
        data = as_dicom(FILM, bits_stored=bits, syntax=syntax, PixelRepresentation=1)
        assert any("PixelRepresentation" in told for told in read_film(data).cautions)

    def test_case_H_a_missing_sign_that_tears_the_film_is_a_caution(self):
        data = as_dicom(FILM, signed=True, PixelRepresentation=0, window=(2048, 4096))
        assert any("PixelRepresentation" in told for told in read_film(data).cautions)

    @pytest.mark.parametrize("signed", [False, True])
    def test_a_white_frame_with_letters_is_none(self, signed):
        framed = FILM.copy()
        framed[:, :8] = framed[:, -8:] = 255
        framed[20:50, 20:60:4] = 255
        assert read_film(as_dicom(framed, signed=signed)).cautions == ()


def palette_film(
    entries: np.ndarray, bits: int, *, colourful: bool = False, first: int = 0
) -> bytes:
    """A film of 8 bits shown through a palette."""
    elements = {}
    for colour in ("Red", "Green", "Blue"):
        used = entries[::-1] if colourful and colour == "Red" else entries
        stem = f"{colour}PaletteColorLookupTable"
        elements[f"{stem}Descriptor"] = [len(used) % 65_536, first, bits]
        wide = used.astype("<u2") if bits == 16 else used.astype("u1")
        elements[f"{stem}Data"] = wide.tobytes()
    stored = as_dicom(FILM, bits_stored=8, window=None)
    dataset = parsed(stored)
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
        if keyword.endswith("Descriptor"):
            dataset[keyword].VR = "US"
    return written(dataset)


class TestPalette:
    @pytest.mark.parametrize(
        ("entries", "bits"),
        [
            (np.arange(256), 8),
            (np.arange(256) * 257, 16),
            (255 - np.arange(256), 8),
        ],
    )
    def test_case_H_a_grey_palette_is_read(self, entries, bits):
        film = read_film(palette_film(entries, bits))
        scale = 257 if bits == 16 else 1
        right = (entries / scale)[FILM.astype(int)]
        np.testing.assert_allclose(film.pixels, right, atol=1e-3)
        assert film.warnings == ()

    def test_case_H_a_grey_palette_of_eight_bits_declared_as_sixteen(self):
        film = read_film(palette_film(np.arange(256), 16))
        np.testing.assert_allclose(film.pixels, FILM, atol=1e-3)
        assert len(film.warnings) == 1 and "the entries count" in film.warnings[0]

    def test_case_H_a_palette_with_colours_is_refused(self):
        with pytest.raises(ImageError) as caught:
            read_film(palette_film(np.arange(256), 8, colourful=True))
        assert caught.value.code == "colour"
