"""Random changes of training films: first all draws, then deterministic operations.

In the public data set the classes differ by more than disease: tone curve, sharpness,
side markers, exposure text, framing. Each of these is drawn here independently of the
label, so that none of them tells the network anything. Ordinary variation (position,
rotation, noise) comes along.
"""

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]

COARSEST_TEXTURE = 0.06
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_PLAIN)


@dataclass(frozen=True, kw_only=True)
class Marker:
    """A burned-in side marker or line of exposure text.

    Attributes:
        text: what is written.
        row: baseline, as a fraction of the height.
        column: left edge, as a fraction of the width.
        size: height of the letters, as a fraction of the film's.
        grey: brightness of the letters, `[0, 255]`.
        font: index into `FONTS`.
        boxed: whether the letters stand on a plate, dark under bright letters.
        turned: whether it is written upwards.
    """

    text: str
    row: float
    column: float
    size: float
    grey: float
    font: int
    boxed: bool
    turned: bool


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A flat rectangle that hides a marker; all four are fractions of the film."""

    top: float
    left: float
    height: float
    width: float
    grey: float


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Everything random about one augmented film.

    Attributes:
        reference: the film whose style is borrowed, None to keep one's own.
        tone_share: how far towards its tone curve, `[0, 1]`.
        texture_share: how far towards its sharpness and grain, `[0, 1]`.
        equalise: clip limit of local histogram equalisation, 0 for none.
        gamma: exponent on the grey levels scaled to `[0, 1]`.
        contrast: factor around the mean grey.
        steepness: slope at the middle of an S-shaped tone curve, 0 for none.
        brightness: added grey levels.
        sharpness: below 0 the sigma of a blur in pixels, above 0 the strength of an
            unsharp mask.
        grain: standard deviation of added noise in grey levels.
        jpeg: quality of one JPEG round trip, 0 for none.
        reduce: edge in pixels of a smaller copy that is enlarged again, 0 for none.
        shade: share of the light that is missing at one side.
        shade_towards: direction of that side, in degrees.
        vignette: share of the light that is missing at the edges.
        flip: whether left and right change sides.
        rotation: degrees.
        zoom: above 1 crops the borders.
        aspect: width over height against the film's own.
        shift: rows and columns, as fractions.
        borders: black collimation at top, bottom, left and right, as fractions.
        patches: hidden corners, dead rows and columns.
        dead_pixels: number of pixels that are black or white.
        markers: burned-in letters.
        seed: of the grain and of the places of dead pixels.
    """

    reference: int | None = None
    tone_share: float = 1.0
    texture_share: float = 0.0
    equalise: float = 0.0
    gamma: float = 1.0
    contrast: float = 1.0
    steepness: float = 0.0
    brightness: float = 0.0
    sharpness: float = 0.0
    grain: float = 0.0
    jpeg: int = 0
    reduce: int = 0
    shade: float = 0.0
    shade_towards: float = 0.0
    vignette: float = 0.0
    flip: bool = False
    rotation: float = 0.0
    zoom: float = 1.0
    aspect: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    borders: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    patches: tuple[Patch, ...] = ()
    dead_pixels: int = 0
    markers: tuple[Marker, ...] = ()
    seed: int = 0


def apply(pixels: Pixels, draws: Draws, reference: Pixels | None = None) -> Pixels:
    """Returns the changed film; the same draws always change it in the same way.

    The order is that of a film's life: patient and tube (geometry), detector (grain,
    sharpness), display (tone), burned-in marks, storage (size, JPEG).

    Args:
        pixels: `float32`, shape `(size, size)`, range `[0, 255]`; stays as it is.
        draws: what to do.
        reference: the film with the tone curve, same contract; needed when
            `draws.reference` is not None.

    Returns:
        `float32`, same shape and range.

    Raises:
        ValueError: the draws borrow a tone curve and there is no reference.
    """
    film = geometry(pixels, draws)
    film = sharpen(film, draws.sharpness)
    if draws.reference is not None:
        if reference is None:
            raise ValueError(
                "expected the film to borrow from, received reference=None"
            )
        if draws.texture_share:
            film = match_texture(film, reference, draws.texture_share)
        if draws.tone_share:
            film = match_tone(film, reference, draws.tone_share)
    film = light(film, draws)
    film = tone(film, draws)
    film = add_grain(film, draws.grain, draws.seed)
    film = collimate(film, draws.borders)
    for patch in draws.patches:
        film = hide(film, patch)
    film = damage(film, draws.dead_pixels, draws.seed)
    for marker in draws.markers:
        film = write(film, marker)
    return store(film, draws)


def empty(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Returns a picture that shows nothing, with the film's mean grey.

    A film so blurred that nothing is left of it, noise of its own spectrum, noise of
    one scale, or an even grey; each is drawn as often.
    """
    kind = int(rng.integers(4))
    if kind == 0:
        return cv2.GaussianBlur(pixels, (0, 0), float(rng.uniform(14, 40)))
    flat = np.full_like(pixels, pixels.mean())
    if kind == 1:
        spectrum = np.abs(np.fft.rfft2(pixels - flat))
        turned = np.exp(2j * np.pi * rng.random(spectrum.shape))
        noise = np.fft.irfft2(spectrum * turned, s=pixels.shape)
    elif kind == 2:
        white = rng.standard_normal(pixels.shape)
        noise = cv2.GaussianBlur(white, (0, 0), float(np.exp(rng.uniform(-1, 2.5))))
    else:
        return flat
    noise *= float(rng.uniform(5, 60)) / noise.std()
    return np.clip(flat + noise, 0, 255).astype(np.float32)


def geometry(pixels: Pixels, draws: Draws) -> Pixels:
    """Returns the film turned, zoomed, stretched and shifted; new ground is black."""
    size = pixels.shape[0]
    centre = (size - 1) / 2
    angle = np.deg2rad(draws.rotation)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float64
    )
    stretch = np.sqrt(draws.aspect)
    scale = np.diag([draws.zoom * stretch, draws.zoom / stretch])
    if draws.flip:
        scale[0, 0] = -scale[0, 0]
    linear = turn @ scale
    offset = np.array([centre, centre]) - linear @ [centre, centre]
    offset += np.array([draws.shift[1], draws.shift[0]]) * size
    matrix = np.hstack([linear, offset[:, None]])
    return cv2.warpAffine(
        pixels, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=0
    )


def sharpen(pixels: Pixels, sharpness: float) -> Pixels:
    """Returns the film blurred (below 0: sigma) or unsharp-masked (above 0)."""
    if sharpness == 0:
        return pixels
    if sharpness < 0:
        return cv2.GaussianBlur(pixels, (0, 0), -sharpness)
    blurred = cv2.GaussianBlur(pixels, (0, 0), 1.5)
    return np.clip(pixels + sharpness * (pixels - blurred), 0, 255)


def match_tone(pixels: Pixels, reference: Pixels, share: float) -> Pixels:
    """Returns the film with the grey-level distribution of another one.

    Histogram matching by cumulative distributions; `share` in `[0, 1]` mixes the
    matched film with the film itself.

    Args:
        pixels: of the film.
        reference: pixels of the other one, of any size.
        share: how much of the matched film there is in the mix, `[0, 1]`.
    """
    levels = np.arange(256)
    own = np.cumsum(np.bincount(pixels.astype(np.uint8).ravel(), minlength=256))
    other = np.cumsum(np.bincount(reference.astype(np.uint8).ravel(), minlength=256))
    curve = np.interp(own / own[-1], other / other[-1], levels).astype(np.float32)
    matched = np.interp(pixels, levels, curve).astype(np.float32)
    return share * matched + (1 - share) * pixels


def match_texture(pixels: Pixels, reference: Pixels, share: float) -> Pixels:
    """Returns the film with the sharpness and grain of another one.

    Both are in the mean amplitude at each spatial frequency, which becomes that of the
    reference above `COARSEST_TEXTURE` cycles a pixel; phases, which hold where things
    are, stay. `share` in `[0, 1]` is the exponent of the gain.

    Args:
        pixels: of the film.
        reference: pixels of the other one, of the same size.
        share: the exponent of the gain, `[0, 1]`.
    """
    own, other = np.fft.rfft2(pixels), np.fft.rfft2(reference)
    ring, counts = _rings(pixels.shape[0])
    mean_own = np.bincount(ring.ravel(), np.abs(own).ravel()) / counts
    mean_other = np.bincount(ring.ravel(), np.abs(other).ravel()) / counts
    gain = np.clip(mean_other / np.maximum(mean_own, 1e-3), 0.4, 2.5) ** share
    gain[: round(COARSEST_TEXTURE * pixels.shape[0])] = 1
    matched = np.fft.irfft2(own * gain[ring], s=pixels.shape)
    return np.clip(matched, 0, 255).astype(np.float32)


def light(pixels: Pixels, draws: Draws) -> Pixels:
    """Returns the film under light that falls off towards one side or all edges."""
    if not draws.shade and not draws.vignette:
        return pixels
    axis = np.linspace(-1, 1, pixels.shape[0], dtype=np.float32)
    angle = np.deg2rad(draws.shade_towards)
    along = (axis * np.cos(angle) + axis[:, np.newaxis] * np.sin(angle) + 1) / 2
    away = np.minimum(np.hypot(axis, axis[:, np.newaxis]), 1.2) ** 2
    shade = 1 - draws.shade * np.clip(along, 0, 1)
    return (pixels * shade * (1 - draws.vignette * away / 1.44)).astype(np.float32)


def tone(pixels: Pixels, draws: Draws) -> Pixels:
    """Returns the film after local equalisation, gamma, contrast and brightness."""
    if draws.equalise:
        equaliser = cv2.createCLAHE(draws.equalise, (8, 8))
        pixels = equaliser.apply(pixels.astype(np.uint8)).astype(np.float32)
    if draws.gamma != 1:
        pixels = 255 * np.power(np.clip(pixels, 0, 255) / 255, draws.gamma)
    if draws.steepness:
        pixels = bend(pixels, draws.steepness)
    mean = float(pixels.mean())
    pixels = (pixels - mean) * draws.contrast + mean + draws.brightness
    return np.clip(pixels, 0, 255).astype(np.float32)


def bend(pixels: Pixels, steepness: float) -> Pixels:
    """Returns the film through a logistic tone curve that keeps black and white."""
    end = 1 / (1 + np.exp(steepness / 2))
    curve = 1 / (1 + np.exp(-steepness * (pixels / 255 - 0.5)))
    return (255 * (curve - end) / (1 - 2 * end)).astype(np.float32)


def add_grain(pixels: Pixels, deviation: float, seed: int) -> Pixels:
    """Returns the film with normal noise of this deviation, slightly correlated.

    Args:
        pixels: of the film.
        deviation: standard deviation of the noise, in grey levels.
        seed: of the noise.
    """
    if deviation == 0:
        return pixels
    noise = np.random.default_rng(seed).standard_normal(pixels.shape, np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 0.7)
    return np.clip(pixels + noise * (deviation / noise.std()), 0, 255)


def collimate(pixels: Pixels, borders: tuple[float, float, float, float]) -> Pixels:
    """Returns the film with black borders at top, bottom, left and right."""
    if not any(borders):
        return pixels
    size = pixels.shape[0]
    top, bottom, left, right = (round(share * size) for share in borders)
    framed = np.zeros_like(pixels)
    inner = (slice(top, size - bottom), slice(left, size - right))
    framed[inner] = pixels[inner]
    return framed


def hide(pixels: Pixels, patch: Patch) -> Pixels:
    """Returns the film with a flat rectangle over a corner or an edge."""
    size = pixels.shape[0]
    top, left = round(patch.top * size), round(patch.left * size)
    bottom = top + max(1, round(patch.height * size))
    right = left + max(1, round(patch.width * size))
    hidden = pixels.copy()
    hidden[top:bottom, left:right] = patch.grey
    return hidden


def damage(pixels: Pixels, count: int, seed: int) -> Pixels:
    """Returns the film with this many pixels black or white.

    Args:
        pixels: of the film.
        count: how many pixels.
        seed: says which.
    """
    if count == 0:
        return pixels
    rng, damaged = np.random.default_rng(seed), pixels.copy()
    rows, columns = rng.integers(pixels.shape[0], size=(2, count))
    damaged[rows, columns] = rng.choice(np.array([0, 255], np.float32), count)
    return damaged


def write(pixels: Pixels, marker: Marker) -> Pixels:
    """Returns the film with letters burned in."""
    size = pixels.shape[0]
    written = np.rot90(pixels).copy() if marker.turned else pixels.copy()
    font = FONTS[marker.font]
    scale = marker.size * size / cv2.getTextSize("R", font, 1.0, 1)[0][1]
    thickness = max(1, round(scale * 1.6))
    (width, height), below = cv2.getTextSize(marker.text, font, scale, thickness)
    left, base = round(marker.column * size), round(marker.row * size)
    if marker.boxed:
        top, start = max(0, base - height - 2), max(0, left - 2)
        plate = 20.0 if marker.grey > 128 else 235.0
        written[top : base + below, start : left + width + 2] = plate
    # OpenCV writes on 8-bit images only, so the letters are drawn as a mask.
    letters = np.zeros(pixels.shape, np.uint8)
    cv2.putText(
        letters, marker.text, (left, base), font, scale, 255, thickness, cv2.LINE_AA
    )
    written += (marker.grey - written) * (letters.astype(np.float32) / 255)
    return np.rot90(written, -1).copy() if marker.turned else written


def store(pixels: Pixels, draws: Draws) -> Pixels:
    """Returns the film after a smaller copy and a JPEG round trip."""
    size = pixels.shape[0]
    if draws.reduce:
        small = cv2.resize(
            pixels, (draws.reduce, draws.reduce), interpolation=cv2.INTER_AREA
        )
        pixels = cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)
    if draws.jpeg:
        quality = [cv2.IMWRITE_JPEG_QUALITY, draws.jpeg]
        _, stored = cv2.imencode(".jpg", np.rint(pixels).astype(np.uint8), quality)
        pixels = np.asarray(cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE), np.float32)
    return pixels


@functools.cache
def _rings(size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns each frequency's distance from 0 in whole cycles a film, and counts."""
    across, down = np.fft.rfftfreq(size), np.fft.fftfreq(size)[:, np.newaxis]
    ring = np.minimum(np.hypot(across, down) * size, size / 2).astype(np.int64)
    return ring, np.bincount(ring.ravel())
