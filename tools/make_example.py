"""Write the two files that the first command of the README works on.

``astronaut.mp4`` is a slow camera move over the public-domain NASA portrait that scikit-image
ships, with a few plucked notes under it.  ``beach.jpg`` is a beach that this script paints: it
holds no photograph.  Both are built from fixed seeds, so a second run gives the same pictures.

Run ``python tools/make_example.py`` from the repository root; it needs the ``tools`` extra.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from skimage import data

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    FloatArray = npt.NDArray[np.floating[Any]]
    ByteArray = npt.NDArray[np.uint8]

CLIP_NAME = "astronaut.mp4"
BEACH_NAME = "beach.jpg"

# --- clip: picture -------------------------------------------------------------------------------
CLIP_WIDTH = 640
CLIP_HEIGHT = 480
CLIP_RATE = 30
CLIP_SECONDS = 4
CLIP_CRF = 19
MOVIE_TIMESCALE = 90_000
# Views are (centre x, top y, width) in pixels of the photograph; the height follows from 4:3.
VIEW_START = (257.0, 1.5, 506.0)
VIEW_END = (243.0, 3.5, 446.0)
SWAY_PIXELS = 1.6

# BT.709: luma weights, and the code ranges of 8-bit limited video.
KR, KG, KB = 0.2126, 0.7152, 0.0722
LUMA_OFFSET, LUMA_SPAN = 16.0, 219.0
CHROMA_OFFSET, CHROMA_SPAN = 128.0, 224.0

# --- clip: sound ---------------------------------------------------------------------------------
AUDIO_RATE = 48_000
AUDIO_BIT_RATE = 80_000
AUDIO_BLOCK = 1024
AUDIO_PEAK = 0.45
AUDIO_FADE_IN = 0.02
AUDIO_FADE_OUT = 0.9
# A chord of D major with a ninth: (start in seconds, frequency in hertz, loudness, place from
# left -1 to right +1).
NOTES = (
    (0.10, 146.83, 1.00, -0.2),
    (0.10, 220.00, 0.55, 0.2),
    (0.50, 293.66, 0.70, -0.5),
    (0.90, 369.99, 0.65, 0.5),
    (1.30, 440.00, 0.62, -0.3),
    (1.70, 659.26, 0.50, 0.4),
    (2.10, 587.33, 0.55, -0.4),
    (2.50, 440.00, 0.50, 0.3),
    (2.90, 369.99, 0.45, 0.0),
    (2.90, 146.83, 0.60, 0.0),
)

# --- beach: camera and light ---------------------------------------------------------------------
BEACH_WIDTH = 1280
BEACH_HEIGHT = 960
BEACH_JPEG_LIMIT = 240_000
SEED = 20_250
CAMERA_HEIGHT = 1.6  # metres above the water
FOCAL = 1500.0  # pixels
HORIZON_ROW = 404.0
SUN_COLUMN = 1010.0
SUN_ROW = 150.0
FOCUS_DISTANCE = 3.2  # metres: where the person in front will stand
BLUR_AT_INFINITY = 5.5  # radius in pixels of the disc that a far point becomes
FAR_DISTANCE = 4000.0  # metres, stands for the horizon
SHORE_AHEAD = 8.3  # metres from the camera to the water, straight ahead
SHORE_SLANT = 0.95  # metres that the water comes nearer for every metre to the right

# Colours are linear-light RGB.
Colour = tuple[float, float, float]
ZENITH: Colour = (0.035, 0.155, 0.48)
MIDDLE: Colour = (0.18, 0.44, 0.69)
HAZE: Colour = (0.90, 0.63, 0.39)
GLOW: Colour = (1.0, 0.70, 0.30)
SUNLIGHT: Colour = (1.0, 0.80, 0.55)
CLOUD_LIT: Colour = (1.18, 0.98, 0.82)
CLOUD_SHADE: Colour = (0.40, 0.42, 0.52)
WATER_DEEP: Colour = (0.006, 0.085, 0.125)
WATER_SHALLOW: Colour = (0.055, 0.36, 0.36)
WAVE_FOOT: Colour = (0.016, 0.17, 0.20)
WAVE_CREST: Colour = (0.14, 0.48, 0.43)
FOAM: Colour = (0.90, 0.86, 0.81)
SAND_DRY: Colour = (0.64, 0.43, 0.245)
SAND_WET: Colour = (0.20, 0.135, 0.085)
WET_TINT: Colour = (1.12, 0.98, 0.80)

# Breaking waves: (metres off the shore line, crest height in metres, seed of the shape).
BREAKERS = ((27.0, 0.62, 3), (13.5, 0.48, 7), (5.6, 0.27, 12))


@dataclass(frozen=True)
class Rays:
    """Directions through every pixel of the beach.

    Attributes:
        across: (H, W) float32, tangent of the angle to the right of the picture's middle.
        down: (H, W) float32, tangent of the angle below the horizon; negative in the sky.
    """

    across: FloatArray
    down: FloatArray


@dataclass(frozen=True)
class Ground:
    """Where the rays meet the level of the water.

    Attributes:
        x: (H, W) float32, metres to the right.
        z: (H, W) float32, metres ahead; FAR_DISTANCE on and above the horizon.
        offshore: (H, W) float32, metres from the water's edge, positive over the sea.
        footprint: (H, W) float32, metres of ground that one picture row covers.
        visible: (H, W) bool, true below the horizon.
    """

    x: FloatArray
    z: FloatArray
    offshore: FloatArray
    footprint: FloatArray
    visible: npt.NDArray[np.bool_]


# =================================================================================================
# The clip
# =================================================================================================


def ease(t: float) -> float:
    """Map 0..1 to 0..1 with zero speed and zero acceleration at both ends."""
    return t * t * t * (t * (6.0 * t - 15.0) + 10.0)


def camera_view(t: float) -> tuple[float, float, float]:
    """Place the camera over the photograph.

    Args:
        t: moment in the clip, 0 to 1.

    Returns:
        Left edge, top edge and width of the view in pixels of the photograph.
    """
    progress = ease(t)
    centre, top, width = (a + (b - a) * progress for a, b in zip(VIEW_START, VIEW_END, strict=True))
    # A little breathing, which is gone where the clip starts and ends.
    centre += SWAY_PIXELS * math.sin(math.tau * t) * math.sin(math.pi * t)
    return centre - width / 2.0, top, width


def clip_picture(photo: FloatArray, t: float) -> FloatArray:
    """Cut one frame out of the photograph.

    Args:
        photo: (H, W, 3) float32 RGB, 0 to 1.
        t: moment in the clip, 0 to 1.

    Returns:
        (CLIP_HEIGHT, CLIP_WIDTH, 3) float32 RGB, 0 to 1.

    Raises:
        ValueError: if the view would leave the photograph.
    """
    left, top, width = camera_view(t)
    step = width / CLIP_WIDTH
    height = step * CLIP_HEIGHT
    if left < 0 or top < 0 or left + width > photo.shape[1] or top + height > photo.shape[0]:
        raise ValueError(f"the camera leaves the photograph at t={t:.3f}")
    # Pixel centres lie half a pixel in from the edges, in both pictures.
    matrix = np.array(
        [[step, 0.0, left + step / 2 - 0.5], [0.0, step, top + step / 2 - 0.5]], dtype=np.float64
    )
    picture = cv2.warpAffine(
        photo,
        matrix,
        (CLIP_WIDTH, CLIP_HEIGHT),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return cast("FloatArray", np.clip(picture, 0.0, 1.0))


def halve_chroma(plane: FloatArray) -> FloatArray:
    """Halve a colour-difference plane for 4:2:0 with samples on the left, as H.264 expects.

    Args:
        plane: (H, W) float32 with even H and W.

    Returns:
        (H / 2, W / 2) float32.
    """
    rows = (plane[0::2] + plane[1::2]) * np.float32(0.5)
    before = np.concatenate([rows[:, :1], rows[:, 1:-1:2]], axis=1)
    return cast("FloatArray", (before + 2 * rows[:, 0::2] + rows[:, 1::2]) * np.float32(0.25))


def to_yuv420(picture: FloatArray) -> ByteArray:
    """Turn R'G'B' into 8-bit limited-range BT.709 4:2:0, rounding once.

    Args:
        picture: (H, W, 3) float32 RGB, 0 to 1, with even H and W.

    Returns:
        (H * 3 / 2, W) uint8 in the I420 layout: luma, then Cb, then Cr.
    """
    red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
    luma = KR * red + KG * green + KB * blue
    planes = (
        LUMA_OFFSET + LUMA_SPAN * luma,
        CHROMA_OFFSET + CHROMA_SPAN * halve_chroma((blue - luma) / (2.0 * (1.0 - KB))),
        CHROMA_OFFSET + CHROMA_SPAN * halve_chroma((red - luma) / (2.0 * (1.0 - KR))),
    )
    flat = np.concatenate([plane.ravel() for plane in planes])
    height, width = picture.shape[:2]
    return cast("ByteArray", np.rint(flat).astype(np.uint8).reshape(height * 3 // 2, width))


def tag_colour(target: av.VideoFrame | av.VideoCodecContext) -> None:
    """Say on a frame or an encoder that its picture is limited-range BT.709."""
    target.color_range = ColorRange.MPEG
    target.colorspace = Colorspace.ITU709
    target.color_primaries = ColorPrimaries.BT709
    target.color_trc = ColorTrc.BT709


def video_frames(photo: FloatArray) -> Iterator[av.VideoFrame]:
    """Yield the tagged frames of the clip, with time stamps in units of 1 / CLIP_RATE s."""
    count = CLIP_RATE * CLIP_SECONDS
    for index in range(count):
        picture = clip_picture(photo, index / (count - 1))
        frame = av.VideoFrame.from_ndarray(to_yuv420(picture), format="yuv420p")
        tag_colour(frame)
        frame.pts = index
        frame.time_base = Fraction(1, CLIP_RATE)
        yield frame


def pluck(frequency: float, seconds: float) -> FloatArray:
    """Make one soft plucked note: harmonics of which the higher ones die sooner.

    Args:
        frequency: of the lowest harmonic, in hertz.
        seconds: length of the note.

    Returns:
        (N,) float32 at AUDIO_RATE, about -1 to 1.
    """
    t = np.arange(round(seconds * AUDIO_RATE), dtype=np.float64) / AUDIO_RATE
    tone = np.zeros_like(t)
    for harmonic in range(1, 9):
        # A stiff string is a touch sharp in its upper harmonics.
        pitch = frequency * harmonic * math.sqrt(1.0 + 0.0002 * harmonic * harmonic)
        decay = np.exp(-t * (0.9 + 0.55 * harmonic) * (frequency / 260.0) ** 0.4)
        tone += np.sin(math.tau * pitch * t) * decay / harmonic**1.7
    attack = 1.0 - np.exp(-t / 0.006)
    return (tone * attack).astype(np.float32)


def room(dry: FloatArray) -> FloatArray:
    """Add a short, quiet hall to a stereo sound.

    Args:
        dry: (2, N) float32 at AUDIO_RATE.

    Returns:
        (2, N) float32.
    """
    rng = np.random.default_rng(SEED)
    length = round(1.2 * AUDIO_RATE)
    t = np.arange(length) / AUDIO_RATE
    tail = rng.standard_normal((2, length)) * np.exp(-t * 4.5) * (1.0 - np.exp(-t / 0.015))
    # Walls swallow the treble: a running mean over a third of a millisecond.
    kernel = np.ones(16) / 16.0
    tail = np.stack([np.convolve(channel, kernel, mode="same") for channel in tail])
    tail /= np.sqrt((tail**2).sum(axis=1, keepdims=True))
    size = dry.shape[1] + length
    wet = np.fft.irfft(np.fft.rfft(dry, size) * np.fft.rfft(tail, size), size)[:, : dry.shape[1]]
    return (dry + 0.22 * wet).astype(np.float32)


def make_sound() -> FloatArray:
    """Play NOTES.

    Returns:
        (2, CLIP_SECONDS * AUDIO_RATE) float32; silent at both ends, never above AUDIO_PEAK.
    """
    total = CLIP_SECONDS * AUDIO_RATE
    sound = np.zeros((2, total), dtype=np.float32)
    for start, frequency, loudness, place in NOTES:
        first = round(start * AUDIO_RATE)
        note = pluck(frequency, CLIP_SECONDS - start)[: total - first] * np.float32(loudness)
        angle = (place + 1.0) * math.pi / 4.0
        sound[0, first:] += note * np.float32(math.cos(angle))
        sound[1, first:] += note * np.float32(math.sin(angle))
    sound = room(sound)
    t = np.arange(total) / AUDIO_RATE
    fade = np.clip(t / AUDIO_FADE_IN, 0, 1) * np.clip((CLIP_SECONDS - t) / AUDIO_FADE_OUT, 0, 1)
    sound *= np.sin(fade * math.pi / 2.0) ** 2
    return sound * np.float32(AUDIO_PEAK / np.abs(sound).max())


def audio_frames(sound: FloatArray) -> Iterator[av.AudioFrame]:
    """Cut a (2, N) float32 sound into frames with time stamps in samples."""
    for first in range(0, sound.shape[1], AUDIO_BLOCK):
        block = np.ascontiguousarray(sound[:, first : first + AUDIO_BLOCK])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
        frame.sample_rate = AUDIO_RATE
        frame.pts = first
        frame.time_base = Fraction(1, AUDIO_RATE)
        yield frame


def write_clip(path: Path) -> None:
    """Encode the clip as H.264 and AAC in MP4."""
    photo = np.asarray(data.astronaut()).astype(np.float32) / np.float32(255.0)
    options = {"movie_timescale": str(MOVIE_TIMESCALE), "movflags": "+faststart"}
    with av.open(str(path), "w", container_options=options) as container:
        video = container.add_stream("libx264", rate=CLIP_RATE)
        video.width, video.height, video.pix_fmt = CLIP_WIDTH, CLIP_HEIGHT, "yuv420p"
        video.options = {"crf": str(CLIP_CRF), "preset": "veryslow", "tune": "film"}
        video.codec_context.thread_count = 1  # so that the file does not depend on the machine
        tag_colour(video.codec_context)
        audio = container.add_stream("aac", rate=AUDIO_RATE, layout="stereo")
        audio.bit_rate = AUDIO_BIT_RATE
        # The sound is short: hand it over first and let the muxer interleave.
        for sound in audio_frames(make_sound()):
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
        for frame in video_frames(photo):
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


# =================================================================================================
# The beach: helpers
# =================================================================================================


def smoothstep(low: float, high: float, value: FloatArray) -> FloatArray:
    """Rise softly from 0 at ``low`` to 1 at ``high`` (or fall, if high is less than low)."""
    t = np.clip((value - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
    return cast("FloatArray", t * t * (3.0 - 2.0 * t))


def mix(first: FloatArray | Colour, second: FloatArray | Colour, amount: FloatArray) -> FloatArray:
    """Blend colours.

    Args:
        first: a colour, or (H, W, 3) float32.
        second: a colour, or (H, W, 3) float32.
        amount: (H, W) float32, 0 for the first to 1 for the second.

    Returns:
        (H, W, 3) float32.
    """
    weight = amount[..., None]
    a, b = np.asarray(first, np.float32), np.asarray(second, np.float32)
    return cast("FloatArray", a + (b - a) * weight)


def fractal_tile(size: int, slope: float, seed: int) -> FloatArray:
    """Make noise that repeats without a seam.

    Args:
        size: edge in pixels.
        slope: how fast the amplitude falls with frequency: 1 is rough, 2 is smooth.
        seed: of the random numbers.

    Returns:
        (size, size) float32 with mean 0 and standard deviation 1.
    """
    rng = np.random.default_rng(SEED + seed)
    spectrum = np.fft.rfft2(rng.standard_normal((size, size)))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = np.inf
    tile = np.fft.irfft2(spectrum * frequency**-slope, (size, size))
    return cast("FloatArray", (tile / tile.std()).astype(np.float32))


def sample(tile: FloatArray, x: FloatArray, y: FloatArray, scale: float) -> FloatArray:
    """Read a repeating tile at world places.

    Args:
        tile: (N, N) float32.
        x: (H, W) float32 places along the columns of the tile.
        y: (H, W) float32 places along the rows of the tile.
        scale: length of one repeat, in the unit of x and y.

    Returns:
        (H, W) float32.
    """
    size = tile.shape[0]
    columns = np.mod(x / scale, 1.0) * size
    rows = np.mod(y / scale, 1.0) * size
    padded = cv2.copyMakeBorder(tile, 2, 2, 2, 2, cv2.BORDER_WRAP)
    return cast(
        "FloatArray",
        cv2.remap(
            padded,
            (columns + 2).astype(np.float32),
            (rows + 2).astype(np.float32),
            cv2.INTER_LINEAR,
        ),
    )


def make_rays() -> Rays:
    """Aim a level camera at the horizon."""
    rows, columns = np.mgrid[0:BEACH_HEIGHT, 0:BEACH_WIDTH].astype(np.float32)
    return Rays(
        across=(columns - np.float32(BEACH_WIDTH / 2)) / np.float32(FOCAL),
        down=(rows - np.float32(HORIZON_ROW)) / np.float32(FOCAL),
    )


def shore_distance(x: FloatArray) -> FloatArray:
    """Give the metres ahead at which the sea begins, for places x metres to the right."""
    swing = 0.35 * np.sin(x * 0.9 + 0.6) + 0.16 * np.sin(x * 2.3 + 2.0)
    return cast("FloatArray", (SHORE_AHEAD - SHORE_SLANT * x + swing).astype(np.float32))


def meet_ground(rays: Rays) -> Ground:
    """Follow the rays to the level of the water."""
    visible = rays.down > 0.5 * CAMERA_HEIGHT / FAR_DISTANCE
    z = np.where(visible, CAMERA_HEIGHT / np.where(visible, rays.down, 1.0), FAR_DISTANCE)
    z = np.minimum(z, FAR_DISTANCE).astype(np.float32)
    x = z * rays.across
    return Ground(
        x=x,
        z=z,
        offshore=z - shore_distance(x),
        footprint=z * z / np.float32(CAMERA_HEIGHT * FOCAL),
        visible=visible,
    )


# =================================================================================================
# The beach: sky
# =================================================================================================


def sun_direction() -> tuple[float, float, float]:
    """Give the unit vector (right, up, ahead) to the sun."""
    right = (SUN_COLUMN - BEACH_WIDTH / 2) / FOCAL
    up = (HORIZON_ROW - SUN_ROW) / FOCAL
    length = math.sqrt(right * right + up * up + 1.0)
    return right / length, up / length, 1.0 / length


def clear_sky(across: FloatArray, up: FloatArray) -> FloatArray:
    """Colour a sky without clouds.

    Args:
        across: (H, W) float32, tangent to the right of the middle.
        up: (H, W) float32, tangent above the horizon.

    Returns:
        (H, W, 3) float32 linear light.
    """
    up = np.maximum(up, 0.0)
    colour = mix(MIDDLE, ZENITH, smoothstep(0.0, 0.36, up))
    colour = mix(colour, HAZE, 0.85 * np.exp(-up / np.float32(0.070)))
    right, height, ahead = sun_direction()
    away = np.hypot(across - right / ahead, 1.1 * (up - height / ahead))
    glow = 1.5 * np.exp(-away / np.float32(0.050)) + 0.42 * np.exp(-away / np.float32(0.19))
    return cast("FloatArray", colour + glow[..., None] * np.asarray(GLOW, np.float32))


def cloud_density(rays: Rays, shift: tuple[float, float]) -> FloatArray:
    """Measure the clouds of a flat layer overhead.

    Args:
        rays: the camera.
        shift: (right, up) by which to look aside, as tangents; used for shading.

    Returns:
        (H, W) float32, 0 for clear to 1 for thick.
    """
    across = rays.across + np.float32(shift[0])
    up = np.maximum(-rays.down + np.float32(shift[1]), 0.0) + np.float32(0.075)
    far = 1.0 / up
    x, z = across * far, far * np.float32(0.62)
    smooth = fractal_tile(1024, 2.0, 1)
    rough = fractal_tile(1024, 1.55, 2)
    warp = sample(smooth, z, x, 9.0) * np.float32(0.10)
    shape = sample(rough, x + warp, z + 0.5 * warp, 9.0)
    patches = sample(smooth, x + 2.1, z + 0.4, 13.0)
    return smoothstep(0.25, 1.9, shape + 0.8 * patches)


def paint_sky(rays: Rays) -> FloatArray:
    """Paint sky, sun and clouds.

    Returns:
        (H, W, 3) float32 linear light; the sun is far brighter than 1.
    """
    up = -rays.down
    sky = clear_sky(rays.across, up)
    right, height, ahead = sun_direction()
    away = np.hypot(rays.across - right / ahead, up - height / ahead)
    density = cloud_density(rays, (0.0, 0.0))
    # Thick on the side to the sun means shade here; the step is a fraction of a cloud.
    toward = (0.02 * np.sign(right), 0.022)
    beyond = cv2.GaussianBlur(cloud_density(rays, toward), (0, 0), 6.0)
    light = np.clip(0.80 + 1.1 * (density - beyond) - 0.32 * density, 0.0, 1.0)
    rim = np.exp(-away / np.float32(0.16)) * (1.0 - density)
    cloud = mix(CLOUD_SHADE, CLOUD_LIT, light)
    cloud = cloud + (0.9 * rim)[..., None] * np.asarray(SUNLIGHT, np.float32)
    # Far clouds sink into the haze.
    haze = np.exp(-np.maximum(up, 0.0) / np.float32(0.045))
    cloud = mix(cloud, sky, 0.75 * haze)
    sky = mix(sky, cloud, 0.86 * density)
    disc = 20.0 * np.exp(-((away / np.float32(0.0085)) ** 2))
    return cast("FloatArray", sky + disc[..., None] * np.asarray(SUNLIGHT, np.float32))


def paint_headland(picture: FloatArray, rays: Rays) -> FloatArray:
    """Put two hazy ridges on the left of the horizon.

    Args:
        picture: (H, W, 3) float32 linear light.
        rays: the camera.

    Returns:
        (H, W, 3) float32.
    """
    bumps = fractal_tile(1024, 1.7, 5)
    ridges = (
        # end of the ridge, its height (tangents), colour, seed row
        (0.06, 0.034, (0.26, 0.33, 0.44), 40),
        (-0.10, 0.056, (0.055, 0.105, 0.125), 200),
    )
    for end, height, colour, row in ridges:
        line = rays.across[0]
        rough = np.interp(line * 900.0 + 500.0, np.arange(1024), bumps[row])
        profile = height * np.clip((end - line) / 0.32, 0.0, 1.0) ** 0.62
        crest = (profile * (1.0 + 0.16 * rough)).astype(np.float32)[None, :]
        inside = smoothstep(-0.0006, 0.0006, crest + rays.down)
        inside = inside * (rays.down < 0.0004)
        mist = mix(colour, HAZE, 0.34 * np.exp(np.minimum(rays.down, 0.0) / np.float32(0.016)))
        picture = mix(picture, mist, 0.93 * inside * (crest > 0))
    return picture


# =================================================================================================
# The beach: sea
# =================================================================================================


def wave_slopes(ground: Ground) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Add up small waves, leaving out those too fine for a pixel.

    Returns:
        Slopes to the right and ahead, and the variance of the slopes left out; each (H, W) float32.
    """
    rng = np.random.default_rng(SEED + 9)
    lengths = np.geomspace(0.22, 11.0, 56)
    slope_x = np.zeros_like(ground.x)
    slope_z = np.zeros_like(ground.x)
    hidden = np.full_like(ground.x, 0.0009)
    for length in lengths:
        # Waves run to the shore, the short ones less orderly.
        heading = math.pi / 2 - 0.6 + rng.normal(0.0, 0.75 if length < 2.0 else 0.4)
        steep = 0.036 if length < 3.0 else 0.026
        kx = math.tau / length * math.cos(heading)
        kz = math.tau / length * math.sin(heading)
        shown = np.exp(-((ground.footprint * abs(kz) / 2.2) ** 2))
        phase = kx * ground.x + kz * ground.z + rng.uniform(0.0, math.tau)
        swing = np.cos(phase + 0.35 * np.sin(phase)) * shown * np.float32(steep)
        slope_x += swing * np.float32(math.cos(heading))
        slope_z += swing * np.float32(math.sin(heading))
        hidden += np.float32(steep * steep / 2) * (1.0 - shown * shown)
    return slope_x, slope_z, hidden


def sun_glitter(rays: Rays, slopes: tuple[FloatArray, FloatArray, FloatArray]) -> FloatArray:
    """Measure how brightly the water throws the sun at the camera.

    Returns:
        (H, W) float32, mostly 0 with bright sparks under the sun.
    """
    slope_x, slope_z, hidden = slopes
    right, up, ahead = sun_direction()
    length = np.sqrt(1.0 + rays.across**2 + rays.down**2)
    half_x = right - rays.across / length
    half_y = np.maximum(up + rays.down / length, 0.02)
    half_z = ahead - 1.0 / length
    wanted_x, wanted_z = -half_x / half_y, -half_z / half_y
    miss = (wanted_x - slope_x) ** 2 + (wanted_z - slope_z) ** 2
    facing = np.exp(-miss / (2.0 * hidden)) / (math.tau * hidden)
    # Below the size of a pixel there are few mirrors at a time: they sparkle.
    rng = np.random.default_rng(SEED + 10)
    sparkle = rng.gamma(0.10, 10.0, facing.shape).astype(np.float32)
    return cast("FloatArray", np.minimum(0.050 * facing * sparkle, 26.0))


def paint_sea(rays: Rays, ground: Ground) -> FloatArray:
    """Paint the open water.

    Returns:
        (H, W, 3) float32 linear light; only the part below the horizon means anything.
    """
    slopes = wave_slopes(ground)
    slope_x, slope_z, _ = slopes
    # The mirrored ray, for a normal (-slope_x, 1, -slope_z) that is nearly upright.
    facing = np.maximum(rays.down - slope_z + slope_x * rays.across, 0.035)
    mirror_up = 2.0 * facing - rays.down
    mirror_across = rays.across - 2.0 * facing * slope_x
    mirrored = clear_sky(mirror_across, np.abs(mirror_up) + 0.02)
    fresnel = 0.02 + 0.98 * (1.0 - np.minimum(facing + 0.10, 1.0)) ** 5
    shallow = np.exp(-np.maximum(ground.offshore, 0.0) / np.float32(13.0))
    body = mix(WATER_DEEP, WATER_SHALLOW, 0.12 + 0.88 * shallow)
    body = body * (1.0 + 1.5 * np.clip(slope_z, -0.3, 0.5))[..., None]
    sea = mix(body, 0.9 * mirrored, np.clip(fresnel, 0.0, 0.9))
    glitter = sun_glitter(rays, slopes)[..., None]
    sea = sea + glitter * np.asarray(SUNLIGHT, np.float32)
    haze = 0.55 * smoothstep(60.0, 1600.0, ground.z)
    return mix(sea, clear_sky(rays.across, np.full_like(rays.down, 0.01)), haze)


def lace(ground: Ground, seed: int) -> FloatArray:
    """Make the net of holes that foam becomes.

    Returns:
        (H, W) float32, 0 for water to 1 for foam.
    """
    fine = sample(fractal_tile(512, 1.15, seed), ground.x, ground.z * 0.75, 3.1)
    wide = sample(fractal_tile(512, 1.5, seed + 1), ground.x, ground.z * 0.8, 7.3)
    return smoothstep(0.75, 0.05, np.abs(fine) + 0.35 * wide)


def breaker_shape(
    rays: Rays, breaker: tuple[float, float, int]
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Work out where one breaking wave stands in the picture.

    Args:
        rays: the camera.
        breaker: metres off the shore, crest height in metres, seed.

    Returns:
        Four float32 arrays: (1, W) metres along the wave, (H, W) the place on its face from 0 at
        the foot to 1 at the crest, (1, W) how far it has broken (0 to 1), and (H, W) its cover of
        the picture (0 to 1).
    """
    offset, tall, seed = breaker
    smooth = fractal_tile(512, 1.6, 30 + seed)
    rough = fractal_tile(512, 1.0, 31 + seed)
    line = rays.across[:1]
    # The foot of the wave: where its line along the shore crosses the columns of the picture.
    foot = np.float32(SHORE_AHEAD + offset) / (1.0 + np.float32(SHORE_SLANT) * line)
    along = foot * line
    still = np.zeros_like(along)
    foot = foot + np.float32(0.11 * offset) * sample(smooth, along, still, 60.0)
    swell = sample(smooth, along, still + 3.0, 42.0 + 2.0 * offset)
    broken = smoothstep(-0.7, 0.9, sample(smooth, along, still + 11.0, 30.0))
    size = np.clip(0.62 + 0.34 * swell, 0.12, 1.3)
    drop = rays.down * foot
    rise = (np.float32(CAMERA_HEIGHT) - drop) / (np.float32(tall) * size)
    crest = 1.0 + 0.13 * broken * sample(rough, np.broadcast_to(along, drop.shape), drop, 6.0)
    inside = smoothstep(0.0, 0.05, rise) * smoothstep(0.0, -0.07, rise - crest)
    return along, rise, broken, inside * smoothstep(0.10, 0.32, size)


def paint_breaker(picture: FloatArray, rays: Rays, breaker: tuple[float, float, int]) -> FloatArray:
    """Raise one breaking wave out of the water.

    Args:
        picture: (H, W, 3) float32 linear light.
        rays: the camera.
        breaker: metres off the shore, crest height in metres, seed.

    Returns:
        (H, W, 3) float32.
    """
    along, rise, broken, cover = breaker_shape(rays, breaker)
    rough = fractal_tile(512, 1.0, 31 + breaker[2])
    streaks = sample(rough, np.broadcast_to(along, rise.shape), rise * np.float32(0.35), 2.4)
    spill = smoothstep(0.25, 0.75, rise + 0.22 * streaks + 0.75 * (broken - 0.62))
    face = mix(WAVE_FOOT, WAVE_CREST, smoothstep(0.05, 0.95, rise))
    shade = 0.66 + 0.34 * np.clip(rise, 0.0, 1.0)
    colour = mix(face, shade[..., None] * np.asarray(FOAM, np.float32), 0.95 * spill)
    return mix(picture, colour, cover)


def paint_foam(sea: FloatArray, ground: Ground) -> FloatArray:
    """Spread foam over the shallow water.

    Returns:
        (H, W, 3) float32 linear light.
    """
    s = ground.offshore
    edge = smoothstep(0.42, 0.05, np.abs(s - 0.22))
    sheet = lace(ground, 50) * smoothstep(3.6, 0.3, s) * smoothstep(-0.1, 0.1, s)
    wash = lace(ground, 54) * smoothstep(5.6, 4.9, s) * smoothstep(2.6, 5.2, s)
    trail = lace(ground, 58) * smoothstep(13.8, 12.0, s) * smoothstep(8.8, 12.5, s)
    amount = np.clip(0.92 * edge + 0.72 * sheet + 0.8 * wash + 0.6 * trail, 0.0, 0.96)
    return mix(sea, FOAM, amount)


# =================================================================================================
# The beach: sand, palm, lens
# =================================================================================================


def paint_sand(rays: Rays, ground: Ground) -> FloatArray:
    """Paint the beach from the dry sand in front to the wet mirror at the water.

    Returns:
        (H, W, 3) float32 linear light.
    """
    inland = -ground.offshore
    dunes = sample(fractal_tile(1024, 1.9, 70), ground.x, ground.z, 6.0)
    lumps = sample(fractal_tile(1024, 1.35, 71), ground.x, ground.z, 2.6)
    grain = sample(fractal_tile(1024, 0.45, 72), ground.x, ground.z, 2.2)
    # Light comes from ahead and the right: a slope is bright where it faces there.
    relief = np.gradient(cv2.GaussianBlur(lumps, (0, 0), 1.6), axis=0).astype(np.float32)
    light = 1.0 + 0.06 * dunes + 0.05 * lumps + np.clip(1.1 * relief, -0.35, 0.35) + 0.055 * grain
    sunward = (rays.across - np.float32((SUN_COLUMN - BEACH_WIDTH / 2) / FOCAL)) ** 2
    light = light * (0.94 + 0.20 * np.exp(-sunward / np.float32(0.05)))
    dry = light[..., None] * np.asarray(SAND_DRY, np.float32)
    wet_line = inland + 0.22 * dunes + 0.07 * lumps
    wet = smoothstep(2.5, 0.9, wet_line)
    damp = mix(dry, light[..., None] * np.asarray(SAND_WET, np.float32), wet)
    ripple = 0.03 * lumps
    mirrored = clear_sky(rays.across, rays.down + ripple)
    shine = wet * smoothstep(1.9, 0.0, wet_line) * (0.42 + 0.25 * np.exp(-rays.down / 0.12))
    return mix(
        damp,
        mirrored * np.asarray(WET_TINT, np.float32),
        np.clip(shine, 0.0, 0.75).astype(np.float32),
    )


def paint_ground(sky: FloatArray, rays: Rays, ground: Ground) -> FloatArray:
    """Put sea, waves and sand under the sky.

    Returns:
        (H, W, 3) float32 linear light.
    """
    sea = paint_foam(paint_sea(rays, ground), ground)
    bottom = mix(paint_sand(rays, ground), sea, smoothstep(-0.04, 0.10, ground.offshore))
    # The last film of water lets the sand through.
    film = 0.45 * smoothstep(1.6, 0.1, ground.offshore) * smoothstep(-0.02, 0.2, ground.offshore)
    bottom = mix(bottom, SAND_WET, film * (bottom.mean(axis=2) < 0.5))
    picture = np.where(ground.visible[..., None], bottom, sky)
    for breaker in BREAKERS:
        picture = paint_breaker(picture, rays, breaker)
    return picture


def frond_line(
    root: tuple[float, float], angle: float, length: float, droop: float
) -> npt.NDArray[np.float64]:
    """Bend the midrib of a palm leaf.

    Args:
        root: (column, row) where it grows.
        angle: direction at the root in radians, 0 to the right, positive up.
        length: in pixels.
        droop: how far it turns down along its length, in radians.

    Returns:
        (64, 2) float64 columns and rows.
    """
    t = np.linspace(0.0, 1.0, 64)
    turn = angle - math.copysign(1.0, math.cos(angle)) * droop * t**1.4
    steps = np.stack([np.cos(turn), -np.sin(turn)], axis=1) * (length / 63.0)
    return np.asarray(root) + np.cumsum(steps, axis=0)


def draw_frond(layer: ByteArray, midrib: npt.NDArray[np.float64], rng: np.random.Generator) -> None:
    """Draw a palm leaf into a layer.

    Args:
        layer: (H, W, 4) uint8 RGB and cover, premultiplied, display-coded; changed in place.
        midrib: (N, 2) float64 columns and rows.
        rng: gives the leaflets their differences.
    """
    length = float(np.hypot(*np.diff(midrib, axis=0).T).sum())
    count = 54
    for side in (-1.0, 1.0):
        for index in range(count):
            t = 0.10 + 0.90 * (index + rng.uniform(-0.25, 0.25)) / count
            place = min(max(t, 0.0), 1.0) * (len(midrib) - 2)
            base = midrib[int(place)]
            ahead = midrib[int(place) + 1] - base
            heading = math.atan2(ahead[1], ahead[0]) + side * (0.95 - 0.55 * t)
            size = length * 0.36 * math.sin(math.pi * min(0.12 + 0.88 * t, 0.97)) ** 0.7
            size *= rng.uniform(0.85, 1.1)
            sag = rng.uniform(0.25, 0.45) * size
            tip = base + size * np.array([math.cos(heading), math.sin(heading)]) + (0.0, sag)
            middle = (base + tip) / 2 + (0.0, -0.20 * sag)
            across = np.array([-(tip - base)[1], (tip - base)[0]]) / max(size, 1.0)
            half = 2.4 + 3.0 * (1.0 - t)
            outline = np.stack([base, middle + half * across, tip, middle - half * across])
            shade = rng.uniform(0.55, 1.15) * (1.15 if side < 0 else 0.9)
            colour = (58 * shade, 70 * shade, 32 * shade, 255)
            cv2.fillPoly(
                layer, [np.rint(outline * 16).astype(np.int32)], colour, cv2.LINE_AA, shift=4
            )
    points = np.rint(midrib * 16).astype(np.int32)
    cv2.polylines(layer, [points], False, (96, 92, 50, 255), 4, cv2.LINE_AA, shift=4)


def paint_palm(picture: FloatArray) -> FloatArray:
    """Let palm leaves hang into the upper left corner, out of focus.

    Args:
        picture: (H, W, 3) float32 linear light.

    Returns:
        (H, W, 3) float32.
    """
    layer = np.zeros((BEACH_HEIGHT, BEACH_WIDTH, 4), np.uint8)
    rng = np.random.default_rng(SEED + 80)
    root = (-70.0, -40.0)
    for angle, length, droop in (
        (0.02, 430.0, 0.60),
        (-0.42, 400.0, 0.75),
        (-0.98, 330.0, 0.40),
    ):
        draw_frond(layer, frond_line(root, angle, length, droop), rng)
    cover = layer[..., 3].astype(np.float32) / 255.0
    display = layer[..., :3].astype(np.float32) / np.maximum(layer[..., 3:], 1)
    premultiplied = np.concatenate([display**2.2 * cover[..., None], cover[..., None]], axis=2)
    soft = disc_blur(premultiplied.astype(np.float32), 0.75 * BLUR_AT_INFINITY)
    return cast("FloatArray", picture * (1.0 - soft[..., 3:]) + soft[..., :3])


def disc_blur(picture: FloatArray, radius: float) -> FloatArray:
    """Blur as an open lens does, with an even disc that has a soft rim.

    Args:
        picture: (H, W, C) float32.
        radius: of the disc, in pixels.

    Returns:
        (H, W, C) float32.
    """
    reach = math.ceil(radius + 1)
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(rows, columns), 0.0, 1.0)
    kernel /= kernel.sum()
    return cast("FloatArray", cv2.filter2D(picture, -1, kernel, borderType=cv2.BORDER_REFLECT_101))


def focus(picture: FloatArray, ground: Ground) -> FloatArray:
    """Blur by distance, with the focus on the person who will stand in front.

    Args:
        picture: (H, W, 3) float32 linear light.
        ground: gives the distances.

    Returns:
        (H, W, 3) float32.
    """
    radius = BLUR_AT_INFINITY * np.abs(1.0 - FOCUS_DISTANCE / ground.z)
    levels = np.linspace(0.0, BLUR_AT_INFINITY, 6)
    step = levels[1]
    result = np.zeros_like(picture)
    for level in levels:
        weight = np.clip(1.0 - np.abs(radius - level) / step, 0.0, 1.0).astype(np.float32)
        result += weight[..., None] * (disc_blur(picture, level) if level else picture)
    return result


def bloom(picture: FloatArray) -> FloatArray:
    """Let strong light spill over its surroundings, as glass does.

    Args:
        picture: (H, W, 3) float32 linear light.

    Returns:
        (H, W, 3) float32.
    """
    small = cv2.resize(
        np.minimum(picture, 30.0), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA
    )
    excess = np.maximum(small - 0.9, 0.0)
    spill = sum(
        weight * cv2.GaussianBlur(excess, (0, 0), sigma)
        for weight, sigma in ((0.22, 5.0), (0.26, 16.0), (0.20, 48.0))
    )
    large = cv2.resize(spill, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_CUBIC)
    return cast("FloatArray", picture + large)


def develop(picture: FloatArray) -> ByteArray:
    """Turn linear light into a finished 8-bit photograph.

    Args:
        picture: (H, W, 3) float32 linear light, 0 and up.

    Returns:
        (H, W, 3) uint8 sRGB.
    """
    rows, columns = np.mgrid[-1 : 1 : BEACH_HEIGHT * 1j, -1 : 1 : BEACH_WIDTH * 1j]
    corner = 1.0 - 0.16 * ((rows**2 + columns**2) / 2.0) ** 1.3
    light = picture * corner[..., None].astype(np.float32)
    # Straight in the shadows, bending over towards white.
    light = light * (1.0 + light / 9.0) / (1.0 + 0.72 * light) * 1.28
    grey = light @ np.array([KR, KG, KB], np.float32)
    light = np.clip(grey[..., None] + 1.10 * (light - grey[..., None]), 0.0, 1.0)
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    rng = np.random.default_rng(SEED + 90)
    grain = rng.standard_normal(coded.shape[:2]).astype(np.float32)[..., None]
    return cast(
        "ByteArray", np.rint(np.clip(255.0 * coded + 0.9 * grain, 0.0, 255.0)).astype(np.uint8)
    )


def paint_beach() -> ByteArray:
    """Paint the whole beach.

    Returns:
        (BEACH_HEIGHT, BEACH_WIDTH, 3) uint8 sRGB.
    """
    rays = make_rays()
    ground = meet_ground(rays)
    picture = paint_headland(paint_sky(rays), rays)
    picture = paint_ground(picture, rays, ground)
    picture = paint_palm(focus(picture, ground))
    return develop(bloom(picture))


def write_beach(path: Path) -> None:
    """Save the beach as the best JPEG that stays under BEACH_JPEG_LIMIT bytes."""
    bgr = np.ascontiguousarray(paint_beach()[..., ::-1])
    for quality in range(94, 59, -2):
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
        done, coded = cv2.imencode(".jpg", bgr, options)
        if done and coded.size <= BEACH_JPEG_LIMIT:
            path.write_bytes(coded.tobytes())
            return
    raise RuntimeError(f"no JPEG quality keeps the beach under {BEACH_JPEG_LIMIT} bytes")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the examples.

    Args:
        argv: words of the command line, or None for those of the process.

    Returns:
        The exit status, 0.
    """
    parser = argparse.ArgumentParser(description="Write the example clip and its background.")
    default = Path(__file__).resolve().parent.parent / "examples"
    parser.add_argument("--output", type=Path, default=default, help="folder to write to")
    parser.add_argument("--only", choices=(CLIP_NAME, BEACH_NAME), help="write one file only")
    options = parser.parse_args(argv)
    options.output.mkdir(parents=True, exist_ok=True)
    for name, write in ((CLIP_NAME, write_clip), (BEACH_NAME, write_beach)):
        if options.only in (None, name):
            write(options.output / name)
            print(f"{options.output / name}: {(options.output / name).stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
