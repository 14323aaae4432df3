"""Folders named after labels, in the common spellings: real/, fake/, 0_real/, Originals/ ..."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from data.datasets.layouts.listing import FAKE, Entry, Listing, is_container, label_of
from data.errors import DatasetError, InputError


def detect(root: Path) -> bool:
    """Any folder may be one; `read` finds out."""
    return root.is_dir()


def read(root: Path) -> Listing:
    """Labels each video by the folders above it, at any depth.

    The method of a fake is the first folder below the label's that is no container like "videos"
    and "c23", or else "fake".

    Raises:
        InputError: there is no labelled video.
        DatasetError: a video lies below a real and a fake folder.
    """
    if not root.is_dir():
        raise InputError(f"{root} must be a folder with real/ and fake/ in it")
    listing = Listing(root=root, source="folder names").fill(_entry)
    if not listing.entries and not listing.images:
        found = f"{len(listing.unlabelled)} videos, none" if listing.unlabelled else "no video"
        raise InputError(
            f"{root} holds {found} in a folder named real or fake; "
            "sort them so, or give a CSV with the columns path,label"
        )
    return listing


def _entry(path: str) -> Entry | None:
    """One video, if a folder above it has a label."""
    folders = PurePosixPath(path).parts[:-1]
    labels = {folder: label for folder in folders if (label := label_of(folder)) is not None}
    if not labels:
        return None
    if len(set(labels.values())) > 1:
        raise DatasetError(
            f"{path} lies below folders of both labels, {' and '.join(labels)}; "
            "move it, rename one, or give a CSV with the columns path,label"
        )
    first, label = next(iter(labels.items()))
    below = folders[folders.index(first) + 1 :]
    names = (folder for folder in below if not is_container(folder))
    method = next(names, "fake") if label == FAKE else "real"
    return Entry(path=path, label=label, method=method)
