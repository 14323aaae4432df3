"""Data sets as downloaded. A layout is a module with `detect(root)` and `read(root) -> Listing`.

To add one, write the module and add it to `LAYOUTS`, before the ones that accept more. A user's own
table comes before layouts that are known by their folders.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from data.datasets.layouts import (
    celebdf,
    deeperforensics,
    deepfakebench,
    df40,
    dfdc,
    dfdc_preview,
    faceforensics,
    folders,
    table,
)
from data.datasets.layouts.listing import Entry, Listing, is_video
from data.datasets.layouts.metadata import folders_of
from data.errors import ConfigError, InputError


class Layout(Protocol):
    """What each module of a layout has."""

    def detect(self, root: Path) -> bool:
        """Whether a folder looks like it."""

    def read(self, root: Path) -> Listing:
        """Lists its videos."""


LAYOUTS: dict[str, Layout] = {
    "dfdc": dfdc,
    "table": table,
    "df40": df40,
    "faceforensics": faceforensics,
    "celebdf": celebdf,
    "dfdc-preview": dfdc_preview,
    "deeperforensics": deeperforensics,
    "deepfakebench": deepfakebench,
    "folders": folders,
}
"""By name, in the order in which `auto` asks them."""


def read_layout(root: Path, layout: str = "auto", *, images: bool = False) -> tuple[str, Listing]:
    """Lists the videos below a root.

    Args:
        root: folder of a data set, or a CSV.
        layout: a name of LAYOUTS, or "auto".
        images: take single images, too, as sequences of length one.

    Returns:
        The layout's name, and what it found.

    Raises:
        ConfigError: unknown layout.
        InputError: nothing is there, or it has another layout.
        DatasetError: a video has both labels.
    """
    name, listing = _read(root, layout)
    if images:
        entries = sorted((*listing.entries, *listing.images), key=lambda one: one.path)
        listing = replace(listing, entries=entries, images=[])
    if not listing.entries:
        raise InputError(
            f"{root} holds no video, only {len(listing.images)} single images; add --images to "
            "take each as a sequence of length one"
        )
    return name, listing


def _read(root: Path, layout: str) -> tuple[str, Listing]:
    if layout not in ("auto", *LAYOUTS):
        names = ", ".join(list(LAYOUTS)[:-1])
        raise ConfigError(
            f"the layout must be auto, {names} or {list(LAYOUTS)[-1]}, got {layout!r}"
        )
    if not root.exists():
        raise InputError(f"{root} does not exist; give a folder with real/ and fake/, or a CSV")
    if not (root.is_dir() or root.is_file()):
        raise InputError(
            f"{root} is a pipe, socket or device; give a folder with real/ and fake/, or a CSV"
        )
    if root.is_file() and is_video(root):
        raise InputError(f"{root} is one video; give the folder of a data set, or a CSV")
    if layout != "auto":
        return layout, LAYOUTS[layout].read(root)
    for name, module in LAYOUTS.items():
        if module is not folders and module.detect(root):
            return name, module.read(root)
    # Archives unpack into a folder of their own.
    inner = folders_of(root)
    if len(inner) == 1:
        for name, module in LAYOUTS.items():
            if module not in (folders, table) and module.detect(inner[0]):
                return name, _below(module.read(inner[0]), root)
    if folders.detect(root):
        return "folders", folders.read(root)
    raise InputError(
        f"{root} is laid out in no known way; it must hold folders real/ and fake/, or a labels.csv"
    )


def _below(listing: Listing, root: Path) -> Listing:
    """The listing of a folder in the root, with paths from the root."""
    folder = listing.root.relative_to(root)

    def moved(entries: list[Entry]) -> list[Entry]:
        return [
            replace(
                entry,
                path=(folder / entry.path).as_posix(),
                original=(folder / entry.original).as_posix() if entry.original else "",
            )
            for entry in entries
        ]

    return replace(
        listing,
        root=root,
        entries=moved(listing.entries),
        images=moved(listing.images),
        unlabelled=[(folder / path).as_posix() for path in listing.unlabelled],
    )
