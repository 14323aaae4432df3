"""What `unmask audit` found, for the terminal, for JSON and for the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Audit:
    """All findings, plain.

    Attributes:
        videos: of the manifest.
        groups: likewise.
        balance: rows of split, method, videos, groups.
        straddling: rows of what ("person", "original", "file", "near-duplicate"), name, splits and
            two of the paths.
        lookalikes: near-duplicates in different groups, rows of path, path, share of bits.
        unhashed: number of videos that could not be read for that.
        metadata: rows of what, auc, low, high; empty where folds cannot be made.
        level: of these intervals.
        warnings: lines for people.
    """

    videos: int
    groups: int
    balance: list[dict[str, Any]]
    straddling: list[dict[str, Any]]
    lookalikes: list[dict[str, Any]]
    unhashed: int
    metadata: list[dict[str, Any]]
    level: float
    warnings: list[str]
