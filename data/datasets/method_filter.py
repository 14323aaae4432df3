"""Selects some methods and compressions of a listing (`--methods`, `--compression`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from data.datasets.layouts.listing import FAKE, Listing
from data.errors import ConfigError


def filter_listing(
    listing: Listing, *, compression: Sequence[str] = (), methods: Sequence[str] = ()
) -> Listing:
    """Keeps the videos of some methods and compressions.

    Real videos stay, except those of a collection whose fakes all go: DeepFakeDetection's actors
    would be real videos of a kind that no fake is of.

    Args:
        listing: of a data set.
        compression: names like c23, in any case, also several joined by commas; none means all.
        methods: of fakes, likewise.

    Raises:
        ConfigError: the listing has none of that name.
    """
    entries = listing.entries
    fakes = [entry for entry in entries if entry.label == FAKE]
    sizes = _wanted("--compression", compression, [entry.compression for entry in entries])
    kinds = _wanted("--methods", methods, [entry.method for entry in fakes])
    with_fakes = {entry.collection for entry in fakes if entry.collection}
    kept_fakes = {entry.collection for entry in fakes if not kinds or entry.method in kinds}
    gone = with_fakes - kept_fakes
    kept = [
        entry
        for entry in entries
        if (not sizes or entry.compression in sizes)
        and (not kinds or entry.label != FAKE or entry.method in kinds)
        and (entry.label == FAKE or entry.collection not in gone)
    ]
    if not kept:
        raise ConfigError("no video is of these --methods in this --compression; leave one out")
    return replace(
        listing,
        entries=kept,
        missing=[
            one
            for one in listing.missing
            if (not sizes or not one.compression or one.compression in sizes)
            and (not kinds or not one.method or one.method in kinds)
        ],
    )


def _wanted(option: str, given: Sequence[str], there: Sequence[str]) -> set[str]:
    """The given names, as the data set writes them."""
    known = {name.casefold(): name for name in there if name}
    wanted = set()
    for name in (part.strip() for text in given for part in text.split(",")):
        if name.casefold() not in known:
            names = ", ".join(sorted(known.values()))
            must = f"be one of {names}" if known else "be left out here"
            raise ConfigError(f"{option} must {must}, got {name!r}")
        wanted.add(known[name.casefold()])
    return wanted
