"""Synthetic chest films and writers for every format and encoding the tests need."""

import io
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    generate_uid,
)

Pixels = NDArray[np.float32]
FULL_RANGE = "full"


def chest_phantom(
    height: int = 256, width: int = 256, seed: int = 0, opacity: float = 0.0
) -> Pixels:
    """A frontal chest in whole grey levels, `float32`, `[0, 255]`, bright = dense.

    Dark lungs and air at the sides, ribs, a bright mediastinum off the middle and
    faint grain; `opacity` in `[0, 1]` fills a part of the right lung.
    """
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    body = 90 + 95 * np.exp(-(((x + 0.04) / 0.22) ** 2)) + 20 * y
    for side in (-1, 1):
        lung = ((x - side * 0.44) / 0.3) ** 2 + ((y + 0.08) / 0.62) ** 2
        body = body - 75 / (1 + np.exp(12 * (lung - 1)))
    ribs = np.sin(16 * (y + 0.35 * np.abs(x))) * np.exp(-((x * 1.2) ** 2))
    patch = np.exp(-(((x + 0.45) / 0.16) ** 2) - ((y - 0.2) / 0.2) ** 2)
    grain = np.random.default_rng(seed).normal(0, 2, (height, width))
    film = body + 12 * ribs + 90 * opacity * patch + grain
    film = np.where(np.abs(x) > 0.94, 12 + np.abs(grain), film)
    return np.rint(np.clip(film, 4, 250)).astype(np.float32)


def as_png(pixels: Pixels, bits: int = 8, mode: str = "L", **save: Any) -> bytes:
    """A PNG; 16 bits hold `257 * pixels`; `mode` is any that Pillow converts "L" to."""
    if bits == 16:
        image = Image.fromarray(np.rint(pixels * 257).astype(np.uint16))
    else:
        image = Image.fromarray(pixels.astype(np.uint8)).convert(mode)
    return saved(image, "PNG", **save)


def as_jpeg(
    pixels: Pixels,
    quality: int = 95,
    mode: str = "L",
    orientation: int = 1,
    **save: Any,
) -> bytes:
    """A JPEG; with an EXIF orientation other than 1 its pixels are stored as given."""
    image = Image.fromarray(pixels.astype(np.uint8)).convert(mode)
    if orientation != 1:
        exif = Image.Exif()
        exif[0x0112] = orientation
        save["exif"] = exif
    return saved(image, "JPEG", quality=quality, **save)


def saved(image: Image.Image, image_format: str, **save: Any) -> bytes:
    """The file Pillow writes."""
    buffer = io.BytesIO()
    image.save(buffer, image_format, **save)
    return buffer.getvalue()


def as_dicom(
    pixels: Pixels,
    *,
    photometric: str = "MONOCHROME2",
    bits_stored: int = 12,
    signed: bool = False,
    window: Any = FULL_RANGE,
    padding: int | None = None,
    syntax: UID = ExplicitVRLittleEndian,
    modality: str | None = "DX",
    view: str | None = "PA",
    age: str | None = "004Y",
    body_part: str | None = "CHEST",
    **elements: Any,
) -> bytes:
    """A DICOM film whose tones equal `pixels`; NaN in `pixels` marks padding.

    Args:
        pixels: `[0, 255]`, bright = dense; stored inverted for MONOCHROME1.
        photometric: "MONOCHROME1", "MONOCHROME2", or "RGB" with three equal channels.
        bits_stored: 8 to 16; 16 bits are allocated for all but 8.
        signed: whether the stored values run from `-2 ** (bits_stored - 1)`.
        window: the full range, `None`, or one or more `(center, width)`.
        padding: the stored value of padding.
        syntax: an uncompressed one, `RLELossless`, `JPEG2000Lossless` or
            `JPEGBaseline8Bit` (8 bits only).
        modality: as the four below, left out when `None`.
        view: the view position.
        age: the patient's age.
        body_part: the body part examined.
        elements: any other element by keyword, set last (`None` deletes).
    """
    dataset = _header(modality, view, age, body_part)
    stored = _stored(pixels, photometric, bits_stored, signed, padding)
    dataset.PhotometricInterpretation = photometric
    dataset.Rows, dataset.Columns = stored.shape[:2]
    dataset.SamplesPerPixel = 3 if photometric == "RGB" else 1
    if photometric == "RGB":
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = 8 * stored.dtype.itemsize
    dataset.BitsStored, dataset.HighBit = bits_stored, bits_stored - 1
    dataset.PixelRepresentation = int(signed)
    _set_window(dataset, window, bits_stored, signed)
    if padding is not None:
        dataset.PixelPaddingValue = padding
    _set_pixels(dataset, stored, syntax)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
        if value is None:
            delattr(dataset, keyword)
    return written(dataset, syntax)


def written(dataset: pydicom.Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    """The DICOM file (Part 10) of a data set."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def parsed(data: bytes) -> pydicom.Dataset:
    """The data set of a file, to be changed and written again."""
    return pydicom.dcmread(io.BytesIO(data))


def _header(
    modality: str | None, view: str | None, age: str | None, body_part: str | None
) -> pydicom.Dataset:
    dataset = pydicom.Dataset()
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["film"])
    dataset.PatientName = "CANARY^NAME"
    dataset.PatientID = "CANARY-ID"
    given = {
        "Modality": modality,
        "ViewPosition": view,
        "PatientAge": age,
        "BodyPartExamined": body_part,
    }
    for keyword, value in given.items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


def _stored(
    pixels: Pixels, photometric: str, bits: int, signed: bool, padding: int | None
) -> NDArray[Any]:
    """The stored values of a film."""
    full = 2**bits - 1
    values = np.rint(np.nan_to_num(pixels.astype(np.float64)) * full / 255)
    if photometric == "MONOCHROME1":
        values = full - values
    if signed:
        values -= 2 ** (bits - 1)
    if padding is not None:
        values[np.isnan(pixels)] = padding
    size = 1 if bits == 8 else 2
    stored = values.astype(f"{'i' if signed else 'u'}{size}")
    return np.repeat(stored[..., np.newaxis], 3, 2) if photometric == "RGB" else stored


def _set_window(dataset: pydicom.Dataset, window: Any, bits: int, signed: bool) -> None:
    if window is None or dataset.SamplesPerPixel == 3:
        return
    if window == FULL_RANGE:
        window = [(0 if signed else 2 ** (bits - 1), 2**bits)]
    elif isinstance(window, tuple):
        window = [window]
    dataset.WindowCenter = [center for center, _ in window]
    dataset.WindowWidth = [width for _, width in window]


def _set_pixels(dataset: pydicom.Dataset, stored: NDArray[Any], syntax: UID) -> None:
    if syntax == RLELossless:
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.PixelData = stored.tobytes()
        dataset["PixelData"].VR = "OB" if stored.dtype.itemsize == 1 else "OW"
        dataset.compress(RLELossless, generate_instance_uid=False)
    elif syntax in (JPEG2000Lossless, JPEGBaseline8Bit):
        image = Image.fromarray(stored)
        if syntax == JPEG2000Lossless:
            frame = saved(image, "JPEG2000", no_jp2=True)
        else:
            frame = saved(image, "JPEG", quality=95)
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].VR = "OB"
    else:
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        dataset.PixelData = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
        dataset["PixelData"].VR = "OB" if stored.dtype.itemsize == 1 else "OW"
