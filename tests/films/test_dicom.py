"""DICOM: one tone for every encoding of a film, and refusals with a name."""

import hashlib
import struct
import time
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000MC,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPIPHTJ2KReferenced,
    RLELossless,
)
from refused_files import assert_whole_or_refused, refused, replaced
from synthetic_films import as_dicom, as_jpeg, chest_phantom, parsed, written

from cxr.films.film import read_film

FILM = chest_phantom(200, 256, seed=5, opacity=0.7)
MARGIN = np.pad(FILM, ((20, 20), (40, 40)), constant_values=np.nan)


def wheel_file(name: str) -> bytes:
    """A file that comes with pydicom itself."""
    return Path(get_testdata_file(name, download=False)).read_bytes()


class TestTwins:
    """However a film is stored, its tones are the same."""

    @pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
    @pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
    @pytest.mark.parametrize("signed", [False, True])
    @pytest.mark.parametrize("padding", [None, "darkest", "brightest"])
    def test_photometric_bits_sign_and_padding(
        self, photometric, bits, signed, padding
    ):
        lowest = -(2 ** (bits - 1)) if signed else 0
        values = {"darkest": lowest, "brightest": lowest + 2**bits - 1}
        data = as_dicom(
            FILM if padding is None else MARGIN,
            photometric=photometric,
            bits_stored=bits,
            signed=signed,
            padding=values.get(padding),
        )
        expected = FILM if padding is None else np.nan_to_num(MARGIN)
        film = read_film(data)
        assert (film.format, film.bits, film.warnings) == ("DICOM", bits, ())
        assert film.cautions == ()
        step = 255 / (2**bits - 1)
        np.testing.assert_allclose(film.pixels, expected, atol=step / 2 + 1e-4)

    @pytest.mark.parametrize(
        "syntax",
        [
            ImplicitVRLittleEndian,
            ExplicitVRLittleEndian,
            ExplicitVRBigEndian,
            RLELossless,
            JPEG2000Lossless,
        ],
        ids=lambda syntax: syntax.name,
    )
    @pytest.mark.parametrize("bits", [8, 12, 16])
    def test_lossless_syntaxes(self, syntax, bits):
        film = read_film(as_dicom(FILM, bits_stored=bits, syntax=syntax))
        np.testing.assert_array_equal(
            film.pixels, read_film(as_dicom(FILM, bits_stored=bits)).pixels
        )

    def test_signed_run_lengths(self):
        film = read_film(as_dicom(FILM, signed=True, syntax=RLELossless))
        np.testing.assert_allclose(film.pixels, FILM, atol=0.04)

    @pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
    def test_jpeg_inside_dicom_stays_within_its_own_loss(self, photometric):
        data = as_dicom(
            FILM, photometric=photometric, bits_stored=8, syntax=JPEGBaseline8Bit
        )
        assert np.abs(read_film(data).pixels - FILM).mean() < 2

    @pytest.mark.parametrize(
        "syntax",
        [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless],
        ids=lambda syntax: syntax.name,
    )
    def test_rgb_with_equal_channels_is_grey(self, syntax):
        data = as_dicom(FILM, photometric="RGB", bits_stored=8, syntax=syntax)
        np.testing.assert_array_equal(read_film(data).pixels, FILM)

    @pytest.mark.parametrize("signed", [False, True])
    def test_junk_above_the_stored_bits_is_ignored(self, signed):
        dataset = parsed(as_dicom(FILM, signed=signed))
        stored = np.frombuffer(dataset.PixelData, "<u2")
        dataset.PixelData = ((stored & 0x0FFF) | 0x5000).tobytes()
        np.testing.assert_allclose(read_film(written(dataset)).pixels, FILM, atol=0.04)


class TestHeader:
    def test_what_a_reading_needs_is_kept(self):
        film = read_film(as_dicom(FILM, view="AP", age="011M", body_part="CHEST"))
        assert film.view_position == "AP" and film.body_part == "CHEST"
        assert film.age_years == pytest.approx(11 / 12)

    @pytest.mark.parametrize(
        ("text", "years"),
        [
            ("004Y", 4),
            ("011M", 11 / 12),
            ("003W", 21 / 365.25),
            ("020D", 20 / 365.25),
            ("000Y", 0),
            ("097Y", 90),
            (None, None),
        ],
    )
    def test_ages(self, text, years):
        film = read_film(as_dicom(FILM, age=text))
        assert film.age_years == (years if years is None else pytest.approx(years))

    @pytest.mark.parametrize("text", [b"4 YR", b"Y004", b"4   "])
    def test_malformed_age_is_no_age_and_no_failure(self, text):
        film = read_film(replaced(as_dicom(FILM), b"004Y", text))
        assert film.age_years is None

    @pytest.mark.parametrize("given", [None, "LATERAL", "LL", "CANARY"])
    def test_view_is_a_known_term_or_other(self, given):
        film = read_film(as_dicom(FILM, view=given))
        assert film.view_position == ("OTHER" if given == "CANARY" else given)

    def test_absent_header_is_none(self):
        film = read_film(as_dicom(FILM, view=None, age=None, body_part=None))
        assert (film.view_position, film.age_years, film.body_part) == (None,) * 3

    @pytest.mark.parametrize("modality", [None, "OT"])
    def test_unclear_modality_is_read_with_a_warning(self, modality):
        film = read_film(as_dicom(FILM, modality=modality))
        assert "radiograph" in film.warnings[0]

    @pytest.mark.parametrize("modality", ["CR", "DX", "RG"])
    def test_radiographs_are_read_without_one(self, modality):
        assert read_film(as_dicom(FILM, modality=modality)).warnings == ()

    def test_burned_in_text_and_raw_data_are_warned_of(self):
        data = as_dicom(
            FILM, BurnedInAnnotation="YES", PresentationIntentType="FOR PROCESSING"
        )
        burned, raw = read_film(data).warnings
        assert "burned into" in burned and "raw detector data" in raw

    def test_no_other_text_of_the_header_comes_out(self, caplog):
        data = as_dicom(
            FILM,
            view="CANARY",
            body_part="CANARY",
            InstitutionName="CANARY",
            StudyDescription="CANARY",
        )
        assert "CANARY" not in repr(read_film(data))
        assert "CANARY" not in refused(as_dicom(FILM, modality="CANARY")).message
        assert not caplog.records

    def test_a_patient_is_known_again_by_a_digest_of_id_and_issuer(self):
        def patient(**elements: object) -> str:
            return read_film(as_dicom(FILM, **elements)).patient

        own = patient(PatientID="P1", IssuerOfPatientID="A")
        assert own == hashlib.sha256(b'["A", "P1"]').hexdigest()
        assert own == patient(
            PatientID="P1 ", IssuerOfPatientID="A", PatientName="X", view="AP"
        )
        others = [
            {"PatientID": "P1"},
            {"PatientID": "P2", "IssuerOfPatientID": "A"},
            {"PatientID": "P1", "IssuerOfPatientID": "B"},
            {"PatientID": "AP1"},
        ]
        assert len({own, *(patient(**other) for other in others)}) == 5

    @pytest.mark.parametrize("own", [None, " ", ""])
    def test_without_an_id_there_is_no_digest(self, own):
        data = as_dicom(FILM, PatientID=own, IssuerOfPatientID="A")
        assert read_film(data).patient == ""

    @pytest.mark.parametrize("charset", ["ISO_IR 192", "ISO_IR 100", "nonsense", None])
    def test_an_id_in_any_character_set_is_no_failure(self, charset):
        data = as_dicom(FILM, PatientID="P1", SpecificCharacterSet="ISO_IR 192")
        data = data.replace(b"P1", b"\xff\xfe").replace(
            b"ISO_IR 192", (charset or "").ljust(10).encode()
        )
        assert len(read_film(data).patient) == 64

    def test_case_i1_a_patient_is_in_no_repr(self):
        film = read_film(as_dicom(FILM, PatientID="CANARY"))
        assert film.patient and film.patient not in repr(film)
        assert "CANARY" not in repr(film)

    def test_what_departs_from_the_standard_is_counted_and_no_failure(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            film = read_film(
                as_dicom(
                    FILM, photometric="RGB", bits_stored=8, syntax=JPEGBaseline8Bit
                )
            )
        assert "departs from the standard" in film.warnings[-1]


class TestRefusals:
    def test_preamble_alone(self):
        assert refused(bytes(128) + b"DICM").code == "no-image"

    @pytest.mark.parametrize(
        ("name", "code", "words"),
        [
            ("CT_small.dcm", "not-a-film", "CT Image"),
            ("MR_small_RLE.dcm", "not-a-film", "MR Image"),
            ("JPGExtended.dcm", "not-a-film", "nuclear medicine"),
            ("rtdose.dcm", "not-a-film", "RT Dose"),
            ("rtplan.dcm", "not-a-film", "RT Plan"),
            ("rtplan_truncated.dcm", "not-a-film", "RT Plan"),
            ("badVR.dcm", "not-a-film", "RT Dose"),
            ("test-SR.dcm", "not-a-film", "SR"),
            ("waveform_ecg.dcm", "not-a-film", "ECG"),
            ("liver_1frame.dcm", "not-a-film", "Segmentation"),
            ("examples_ybr_color.dcm", "not-a-film", "Ultrasound"),
            ("examples_palette.dcm", "not-a-film", "Ultrasound"),
            ("SC_rgb_rle_2frame.dcm", "multi-frame", "2 pictures"),
            ("SC_rgb_small_odd.dcm", "too-small", "3 x 3"),
            ("image_dfl.dcm", "transfer-syntax", "Deflated"),
            ("meta_missing_tsyntax.dcm", "transfer-syntax", "not named"),
            ("no_meta_group_length.dcm", "no-image", "no image"),
            ("rtstruct.dcm", "no-preamble", "file header"),
            ("ExplVR_LitEndNoMeta.dcm", "no-preamble", "file header"),
            ("no_meta.dcm", "not-an-image", "PNG, JPEG or DICOM"),
        ],
    )
    def test_files_of_pydicom_are_named(self, name, code, words):
        error = refused(wheel_file(name))
        assert error.code == code and words in error.message

    @pytest.mark.parametrize(
        ("modality", "words"), [("CT", "CT"), ("MG", "mammogram"), ("XX", "another")]
    )
    def test_other_modalities_are_named(self, modality, words):
        assert words in refused(as_dicom(FILM, modality=modality)).message

    @pytest.mark.parametrize("frames", [2, 30, 2**31 - 1])
    def test_several_frames(self, frames):
        error = refused(as_dicom(FILM, NumberOfFrames=frames))
        assert error.code == "multi-frame" and str(frames) in error.message

    @pytest.mark.parametrize(
        ("rows", "columns", "code"),
        [
            (65_535, 65_535, "too-many-pixels"),
            (12_001, 5_000, "too-many-pixels"),
            (1, 50_000, "too-many-pixels"),
            (64, 64, "too-small"),
            (0, 256, "too-small"),
            (600, 150, "too-narrow"),
        ],
    )
    @pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
    def test_size_is_checked_before_decoding(self, rows, columns, code, syntax):
        data = as_dicom(FILM, syntax=syntax, Rows=rows, Columns=columns)
        start = time.perf_counter()
        assert refused(data).code == code
        assert time.perf_counter() - start < 0.1

    def test_deflated_is_known_from_the_meta_header(self):
        zeros = pydicom.Dataset()
        zeros.SOPClassUID, zeros.SOPInstanceUID = "1.2.3", "1.2.3.4"
        zeros.add_new("PixelData", "OB", bytes(80_000_000))
        data = written(zeros, DeflatedExplicitVRLittleEndian)
        start = time.perf_counter()
        assert refused(data).code == "transfer-syntax"
        assert time.perf_counter() - start < 0.1

    @pytest.mark.parametrize("syntax", [JPIPHTJ2KReferenced, JPEG2000MC])
    def test_compression_without_a_decoder_is_named(self, syntax):
        dataset = parsed(as_dicom(FILM))
        dataset.PixelData = encapsulate([b"\xff\xd8" + bytes(100)])
        dataset["PixelData"].VR = "OB"
        error = refused(written(dataset, syntax))
        assert error.code == "transfer-syntax" and "JP" in error.message

    @pytest.mark.parametrize(
        "elements",
        [
            {"PhotometricInterpretation": "PALETTE COLOR"},
            {"PhotometricInterpretation": "RGB"},
            {"SamplesPerPixel": 3},
        ],
    )
    def test_colour_by_its_header(self, elements):
        assert refused(as_dicom(FILM, **elements)).code == "colour"

    def test_colour_by_its_pixels(self):
        colours = np.stack([FILM, FILM[::-1], FILM[:, ::-1]], axis=2).astype(np.uint8)
        data = as_dicom(
            FILM, photometric="RGB", bits_stored=8, PixelData=colours.tobytes()
        )
        assert refused(data).code == "colour"

    @pytest.mark.parametrize(
        "elements", [{"BitsStored": 1}, {"BitsStored": 17}, {"BitsAllocated": 32}]
    )
    def test_bit_depths(self, elements):
        assert refused(as_dicom(FILM, **elements)).code == "bit-depth"

    def test_film_without_pixels_is_incomplete(self):
        assert refused(as_dicom(FILM, PixelData=None)).code == "incomplete"


class TestDamage:
    @pytest.mark.parametrize("kept", [350, 400, 500, 600, 700])
    def test_cut_headers(self, kept):
        assert refused(as_dicom(FILM)[:kept]).code == "incomplete"

    @pytest.mark.parametrize("missing", [1, 62, 5_000])
    def test_missing_pixels_are_never_padded(self, missing):
        assert refused(as_dicom(FILM)[:-missing]).code == "incomplete"

    @pytest.mark.parametrize(
        "syntax", [RLELossless, JPEG2000Lossless, JPEGBaseline8Bit]
    )
    @pytest.mark.parametrize("kept", [0.3, 0.5, 0.9])
    def test_cut_compressed_files(self, syntax, kept):
        data = as_dicom(FILM, bits_stored=8, syntax=syntax)
        assert refused(data[: int(len(data) * kept)]).code == "incomplete"

    @pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
    def test_frame_shorter_than_its_header_says(self, syntax):
        dataset = parsed(as_dicom(FILM, syntax=syntax))
        frame = next(pydicom.encaps.generate_frames(dataset.PixelData))
        dataset.PixelData = encapsulate([frame[: len(frame) // 2]])
        assert refused(written(dataset, syntax)).code in ("incomplete", "unreadable")

    def test_picture_inside_of_another_size(self):
        data = as_dicom(FILM, syntax=JPEG2000Lossless, Rows=FILM.shape[0] + 8)
        error = refused(data)
        assert error.code == "header" and "Rows" in error.message
        dataset = parsed(as_dicom(FILM, bits_stored=8, syntax=JPEGBaseline8Bit))
        dataset.PixelData = encapsulate([as_jpeg(np.zeros((12_004, 40)))])
        assert refused(written(dataset, JPEGBaseline8Bit)).code == "too-many-pixels"

    def test_pixel_length_of_four_gigabytes(self):
        data = as_dicom(FILM)
        size = struct.pack("<I", FILM.size * 2)
        tag = b"\xe0\x7f\x10\x00OW\x00\x00"
        wrong = replaced(data, tag + size, tag + b"\xfe\xff\xff\xff")
        assert refused(wrong).code == "incomplete"

    def test_sequence_nested_three_thousand_deep(self):
        opened = b"\x32\x00\x64\x10SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0"
        nested = (opened + b"\xff\xff\xff\xff") * 3_000
        data = as_dicom(FILM)
        place = data.index(b"\xe0\x7f\x10\x00OW")
        start = time.process_time()
        refused(data[:place] + nested + data[place:])
        assert time.process_time() - start < 1

    def test_frame_count_that_is_no_number(self):
        data = as_dicom(FILM, NumberOfFrames=71)
        wrong = replaced(data, b"IS\x02\x0071", b"IS\x02\x001A")
        assert refused(wrong).code == "unreadable"

    def test_rows_of_another_type(self):
        rows = struct.pack("<H", FILM.shape[0])
        wrong = replaced(
            as_dicom(FILM),
            b"\x28\x00\x10\x00US\x02\x00" + rows,
            b"\x28\x00\x10\x00UL\x04\x00" + rows + b"\x00\x00",
        )
        assert refused(wrong).code == "unreadable"

    @pytest.mark.parametrize(
        "data",
        [
            as_dicom(FILM, window=None),
            as_dicom(FILM, syntax=RLELossless),
            as_dicom(FILM, syntax=JPEG2000Lossless),
            as_dicom(FILM, bits_stored=8, syntax=JPEGBaseline8Bit),
            wheel_file("SC_rgb_jpeg_dcmd.dcm"),
            wheel_file("JPEG2000.dcm"),
        ],
        ids=["plain", "rle", "jpeg-2000", "jpeg", "rgb", "nuclear"],
    )
    def test_mutations_give_a_whole_film_or_a_refusal(self, data):
        random = np.random.default_rng(7)
        for _ in range(60):
            mutant = bytearray(data)
            for place in random.integers(0, len(data), random.integers(1, 4)):
                mutant[place] = random.integers(256)
            # The header is short, and more breaks there.
            for place in random.integers(132, 1_200, random.integers(1, 4)):
                mutant[place] = random.integers(256)
            assert_whole_or_refused(bytes(mutant))
