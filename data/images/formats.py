"""Which files are images, by their first bytes, and which names look like images'.

The bytes decide how a file is read; names only decide what is looked at in a folder. Animated PNGs
and image sequences in the container of MP4 are videos, which ffmpeg reads.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from data.io.reading import open_file

Kind = Literal["video", "frames", "image"]
"""A video file; a folder of numbered frames; one image."""

Format = Literal["png", "jpeg", "webp", "heic", "avif", "animated webp"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".heic", ".heif", ".avif"})
HEAD_BYTES = 64 << 10
"""In which an animated PNG says so: its acTL stands before the first pixels."""
LEAST_BYTES = 32
"""By which the others are told."""
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis")
AVIF_BRANDS = (b"avif",)
STILL_BRAND = b"mif1"
"""Major brand of still pictures of either codec, which a further brand names."""
SEQUENCES = (b"msf1", b"hevc", b"hevx", b"avis")
"""Major brands of image sequences: videos."""


def has_image_suffix(name: str) -> bool:
    """Whether a file's name ends as an image's does, in any case."""
    return os.path.splitext(name)[1].casefold() in SUFFIXES


def image_format(head: bytes) -> Format | None:
    """The format of an image by its first LEAST_BYTES or more; None for any other file."""
    if head[:3] == b"\xff\xd8\xff":
        return "jpeg"
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        animated = head.find(b"acTL", 0, head.find(b"IDAT") if b"IDAT" in head else len(head))
        return None if animated >= 0 else "png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        moves = head[12:16] == b"VP8X" and len(head) > 20 and head[20] & 2
        return "animated webp" if moves else "webp"
    if head[4:8] != b"ftyp" or head[8:12] in SEQUENCES:
        return None
    size = min(int.from_bytes(head[:4]), len(head))
    brands = [head[at : at + 4] for at in (8, *range(16, size - 3, 4))]
    if brands[0] in HEIC_BRANDS or (brands[0] == STILL_BRAND and {*brands} & {*HEIC_BRANDS}):
        return "heic"
    if brands[0] in AVIF_BRANDS or (brands[0] == STILL_BRAND and {*brands} & {*AVIF_BRANDS}):
        return "avif"
    return None


def is_image(path: Path) -> bool:
    """Whether a path is a single image; False where it is gone or cannot be read."""
    try:
        return kind_of(path) == "image"
    except OSError:
        return False


def kind_of(path: Path) -> Kind:
    """How a path is read: a folder as frames, a file by its first bytes.

    Raises:
        OSError: it cannot be read.
    """
    if path.is_dir():
        return "frames"
    with open_file(path) as file:
        head = file.read(LEAST_BYTES)
        if head[:8] == b"\x89PNG\r\n\x1a\n":
            head += file.read(HEAD_BYTES)
    return "video" if image_format(head) is None else "image"
