"""What an image says of itself: EXIF, and the texts of its header, by Pillow.

A camera writes its name and the time; a program that made a picture often writes its own name, and
some the words that it was asked for ("parameters" of a PNG).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import ExifTags

from data.declared.model import Stream, Tags, clean
from data.errors import VideoError
from data.images.decoding import opened_image

MOST_TAGS = 60
LEFT_OUT = frozenset({
    "exif", "icc_profile", "XML:com.adobe.xmp", "xmp", "photoshop", "mp", "adobe", "jfif",
    "Raw profile type exif", "Raw profile type APP1", "thumbnails", "depth_images", "metadata",
    "MakerNote", "UserComment",
})  # fmt: skip
"""What is binary, or written twice."""


def read_image_facts(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Reads an image's header.

    Returns:
        Members of `data.declared.model.Declared`, and what was left out, one sentence each.

    Raises:
        VideoError: it cannot be read.
    """
    notes: list[str] = []
    with opened_image(path) as (image, kind):
        found = {f"{name}": value for name, value in image.info.items() if name not in LEFT_OUT}
        profile = image.info.get("icc_profile")
        if profile:
            notes.append("It has a colour profile, which is not applied.")
        tags = _texts(found)
        try:
            exif = image.getexif()
            parts = [exif, exif.get_ifd(ExifTags.IFD.Exif)]
            tags |= _texts({
                ExifTags.TAGS.get(number, f"EXIF {number}"): value
                for part in parts
                for number, value in part.items()
            })  # fmt: skip
            if exif.get_ifd(ExifTags.IFD.GPSInfo):
                notes.append("Its EXIF says where it was taken; the place is not copied here.")
        except VideoError:
            raise
        except Exception:  # noqa: BLE001 - of a damaged EXIF; the rest stays
            notes.append("Its EXIF is damaged.")
        width, height = image.size
        stream = Stream(
            index=0, kind="image", codec=kind, pixel_format=image.mode, width=width, height=height
        )
    if len(tags) > MOST_TAGS:
        notes.append(f"{len(tags) - MOST_TAGS} more tags are not listed.")
    kept = dict(sorted(tags.items())[:MOST_TAGS])
    return {"container": f"{kind} image", "tags": kept, "streams": (stream,)}, notes


def _texts(values: dict[str, Any]) -> Tags:
    """Names and texts of what is a text or a number."""
    found: Tags = {}
    for name, value in values.items():
        if name in LEFT_OUT or isinstance(value, bytes | dict | list | tuple):
            continue
        text = str(value).strip("\0 ")
        if text:
            found[str(clean(str(name)))] = str(clean(text))
    return found
