"""Reads all that a file says of itself; what cannot be read is said, and ends nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data.declared.boxes import read_boxes
from data.declared.container import read_container
from data.declared.content_credentials import read_credentials
from data.declared.image import read_image_facts
from data.declared.model import Credentials, Declared, clean
from data.errors import VideoError
from data.images.formats import is_image
from data.video.failures import reason_of


def read_declared(path: Path) -> Declared:
    """Reads a file's container, boxes and Content Credentials. Nothing is fetched.

    Of a folder of frames nothing is read: what single frames say is not about the video.
    """
    if path.is_dir():
        return Declared(
            container="folder of frames",
            credentials=Credentials(status="not read", note="not read: it is a folder of frames"),
            notes=("What single frames say of themselves is not read.",),
        )
    notes: list[str] = []
    facts: dict[str, Any] = {"container": "unknown"}
    boxes = None
    try:
        facts, left_out = (read_image_facts if is_image(path) else read_container)(path)
        notes += left_out
    except VideoError as error:
        notes.append(f"The container cannot be read: {reason_of(error)}.")
    try:
        boxes, left_out = read_boxes(path)
        notes += left_out
    except OSError as error:
        notes.append(f"The file's boxes cannot be read: {error.strerror}.")
    return Declared(
        **facts, boxes=boxes, credentials=read_credentials(path), notes=tuple(map(clean, notes))
    )
