"""Were the people of a data set filmed or rendered? What the data set itself tells of it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import PurePosixPath

from data.datasets.layouts.listing import Listing
from data.errors import InputError, StoreError
from data.io.atomic_folders import read_json

OWN = frozenset({"table", "folders"})
"""Layouts of a user's own videos; all others are data sets of people before a camera."""
DEMO_RECORD, DEMO_FORMAT = "demo.json", "unmask demo"
"""What `unmask demo` leaves in its folder, whatever becomes of its labels.csv."""
ANY_VERSION = 1_000_000


def with_origins(layout: str, listing: Listing) -> Listing:
    """Fills in the origin of videos whose table does not say.

    Args:
        layout: that was read.
        listing: what it gave.
    """
    if layout not in OWN:
        entries = [replace(one, origin=one.origin or "filmed") for one in listing.entries]
        return replace(listing, entries=entries)

    @cache
    def is_demo(folder: str) -> bool:
        try:
            read_json(listing.root / folder / DEMO_RECORD, DEMO_FORMAT, ANY_VERSION)
        except (InputError, StoreError, OSError, ValueError):
            return False
        return True

    entries = [
        replace(one, origin="rendered")
        if not one.origin and any(is_demo(str(at)) for at in PurePosixPath(one.path).parents)
        else one
        for one in listing.entries
    ]
    return replace(listing, entries=entries)
