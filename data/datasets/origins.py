"""Whether the people of a data set were filmed or rendered, as far as the data set shows it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import PurePosixPath

from data.datasets.layouts.listing import Listing
from data.errors import InputError, StoreError
from data.io.atomic_folders import read_versioned_json

OWN = frozenset({"table", "folders"})
"""Layouts of a user's own videos; all others are data sets of filmed people."""
DEMO_RECORD, DEMO_FORMAT = "demo.json", "unmask demo"
"""The record of `unmask demo` in its folder, which stays if labels.csv is edited."""
ANY_VERSION = 1_000_000


def with_origins(layout: str, listing: Listing) -> Listing:
    """Fills in the origin of videos where the listing of a layout has none."""
    if layout not in OWN:
        entries = [replace(one, origin=one.origin or "filmed") for one in listing.entries]
        return replace(listing, entries=entries)

    @cache
    def is_demo(folder: str) -> bool:
        try:
            read_versioned_json(listing.root / folder / DEMO_RECORD, DEMO_FORMAT, ANY_VERSION)
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
