"""Folders named after labels, in the common spellings: real/, fake/, 0_real/, Originals/ ..."""

from __future__ import annotations

from pathlib import Path

from data.errors import InputError
from data.layouts.listing import FAKE, Entry, Listing, is_video, label_of, walk


def detect(root: Path) -> bool:
    """Any folder may hold such folders; `read` tells."""
    return root.is_dir()


def read(root: Path) -> Listing:
    """Labels each video by its nearest folder that is named after a label.

    The method of a fake is the folder below the label's, or the label's own name.

    Raises:
        InputError: there is no labelled video.
    """
    if not root.is_dir():
        raise InputError(f"{root} must be a folder with real/ and fake/ in it")
    listing = Listing(root=root)
    for path in walk(root):
        if not is_video(path):
            listing.not_videos += 1
            continue
        relative = path.relative_to(root)
        folders = relative.parts[:-1]
        labels = [label_of(folder) for folder in folders]
        places = [place for place, label in enumerate(labels) if label is not None]
        if not places:
            listing.unlabelled.append(relative.as_posix())
            continue
        place = places[-1]
        label = labels[place]
        assert label is not None  # noqa: S101
        below = folders[place + 1 :]
        method = (below[0] if below else "fake") if label == FAKE else "real"
        listing.entries.append(Entry(path=relative.as_posix(), label=label, method=method))
    if not listing.entries:
        found = f"{len(listing.unlabelled)} videos, none" if listing.unlabelled else "no video"
        raise InputError(
            f"{root} holds {found} in a folder named real or fake; "
            "sort them so, or give a CSV with the columns path,label"
        )
    return listing
