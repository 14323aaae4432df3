"""Data sets as downloaded. A layout is a module with `detect(root)` and `read(root) -> Listing`.

To add one: write the module, add it to `LAYOUTS`, before the ones that accept more.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from data.errors import ConfigError, InputError
from data.layouts import folders, table
from data.layouts.listing import Listing, is_video

LAYOUTS: dict[str, ModuleType] = {"table": table, "folders": folders}
"""By name, in the order in which `auto` asks them."""


def read_layout(root: Path, layout: str = "auto") -> tuple[str, Listing]:
    """Lists the videos below a root.

    Args:
        root: folder of a data set, or a CSV.
        layout: a name of LAYOUTS, or "auto".

    Returns:
        The layout's name, and what it found.

    Raises:
        ConfigError: unknown layout.
        InputError: nothing is there, or it is laid out otherwise.
        DatasetError: a video has both labels.
    """
    if layout not in ("auto", *LAYOUTS):
        raise ConfigError(f"the layout must be auto, {' or '.join(LAYOUTS)}, got {layout!r}")
    if not root.exists():
        raise InputError(f"{root} does not exist; give a folder with real/ and fake/, or a CSV")
    if root.is_file() and is_video(root):
        raise InputError(f"{root} is one video; give the folder of a data set, or a CSV")
    for name, module in LAYOUTS.items():
        if layout == name or (layout == "auto" and module.detect(root)):
            listing: Listing = module.read(root)
            return name, listing
    raise InputError(
        f"{root} is laid out in no known way; it must hold folders real/ and fake/, or a labels.csv"
    )
