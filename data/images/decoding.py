"""Decodes one image to RGB, by Pillow, as a person sees it: turned as its EXIF asks.

By Pillow, not ffmpeg, though ffmpeg decodes videos: the static ffmpeg of the wheel has no decoder
for PNG, no release reads EXIF's orientation in all of these formats, and HEIC pictures, which are
grids of tiles, come as single tiles. A PNG's values come as they were written. So the frames of a
video as unmask reads it, saved as PNGs, are the same bytes.

As of videos, colour profiles and gamma are ignored, transparency is dropped. HEIC needs the package
pi-heif (libheif, decoders alone), the extra `heic`. Pillow's decoders run in this process; what
they may be given is bounded in formats, in pixels and in bytes.
"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from data.errors import NoDecoderError, UnmaskError, VideoError
from data.images.formats import HEAD_BYTES, Format, image_format
from data.io.reading import open_file

MOST_PIXELS = 8192 * 8192
"""Of one image, as of a video's frame (`data.video.ffmpeg.MAX_PIXELS`)."""
MOST_BYTES = 1 << 29
"""Of one file: eight bytes for each of MOST_PIXELS."""
PILLOW: dict[Format, tuple[str, ...]] = {
    "png": ("PNG",),
    "jpeg": ("JPEG", "MPO"),  # what telephones write with a second picture behind the first
    "webp": ("WEBP",),
    "heic": ("HEIF",),
    "avif": ("AVIF",),
}
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF's orientation -> what makes it upright."""
ORIENTATION = 0x0112
"""Number of EXIF's tag."""

# Pillow warns of its own bound, where ours raises, and of damaged EXIF.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


@dataclass(frozen=True, kw_only=True)
class ImageHeader:
    """What an image's header says."""

    format: Format
    width: int  # in pixels as shown: upright
    height: int  # likewise
    mode: str  # of its pixels, as Pillow names it


def image_header(path: Path) -> ImageHeader:
    """Reads an image's header.

    Raises:
        VideoError: unreadable, or no_decoder.
    """
    with opened_image(path) as (image, kind):
        width, height = image.size
        if _orientation(image) >= 5:
            width, height = height, width
        return ImageHeader(format=kind, width=width, height=height, mode=image.mode)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Decodes an image, upright: (H, W, 3) uint8 RGB.

    Raises:
        VideoError: unreadable, no_decoder, or decode_error.
    """
    with opened_image(path) as (image, _):
        turn = TURNS.get(_orientation(image))
        pixels = _rgb(image)
        if turn is not None:
            pixels = np.asarray(Image.fromarray(pixels).transpose(turn))
        return pixels


@contextmanager
def opened_image(path: Path) -> Iterator[tuple[Image.Image, Format]]:
    """Opens an image whose header is sound; errors of decoding it become VideoError, too."""
    try:
        file = open_file(path)
    except OSError as error:
        raise VideoError("unreadable", f"cannot read the file: {error.strerror}") from error
    with file:
        head = file.read(HEAD_BYTES)
        kind = image_format(head)
        if kind is None:
            raise VideoError("unreadable", "it is no PNG, JPEG, WebP, HEIC or AVIF image")
        if kind == "animated webp":
            raise VideoError(
                "unreadable", "it is an animated WebP, which is not read; convert it to a video"
            )
        if file.seek(0, 2) > MOST_BYTES:
            raise VideoError("unreadable", f"an image of more than {MOST_BYTES >> 20} MiB")
        file.seek(0)
        _check_decoder(kind)
        try:
            with Image.open(file, formats=PILLOW[kind]) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise VideoError("unreadable", f"{width}x{height} pixels are too many")
                yield image, kind
        except (UnmaskError, MemoryError):
            raise
        # Hostile files make Pillow's plugins raise errors of many classes.
        except Exception as error:
            words = str(error).splitlines()[:1] or [type(error).__name__]
            short = words[0] if str(path) not in words[0] and "<" not in words[0] else ""
            raise VideoError(
                "decode_error", f"the {kind.upper()} image cannot be decoded"
                f"{f': {short[:120]}' if short else '; it is damaged or incomplete'}",
            ) from error  # fmt: skip


def _check_decoder(kind: Format) -> None:
    """Raises NoDecoderError where this Pillow lacks a decoder."""
    if kind == "heic" and not _heif_registered():
        raise NoDecoderError("HEIC needs libheif: pip install 'unmask[heic]', or save it as PNG")
    if kind in ("webp", "avif") and not features.check(kind):
        raise NoDecoderError(
            f"this Pillow reads no {kind.upper()}: pip install --upgrade pillow, or save it as PNG"
        )


@functools.cache
def _heif_registered() -> bool:
    """Adds HEIC to Pillow's formats; False where pi-heif is not installed."""
    if importlib.util.find_spec("pi_heif") is None:
        return False
    import pi_heif

    pi_heif.register_heif_opener(thumbnails=False)
    return True


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none, or EXIF is damaged.

    libheif has turned a HEIC or AVIF picture already, by its own boxes; Pillow's AVIF likewise.
    """
    if image.format in ("HEIF", "AVIF"):
        return 1
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - the pixels may be sound all the same
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    """The pixels of any mode as RGB of 8 bits; of 16 the upper 8."""
    if image.mode == "F":
        raise VideoError("decode_error", "its pixels are floating-point numbers; save it as PNG")
    if image.mode.startswith("I"):
        grey = np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"), np.uint8)
