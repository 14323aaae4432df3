"""Augmented views of a video: their digests in the store, and their entry in a feature set.

Cached features cannot be augmented later, so training videos may be embedded several times, each
time augmented in another way. View 0 is the video as it is, under its own key. Every other view is
stored under a digest of its own, as a further video would be, so that writing, verifying and
repairing a store need no notion of views.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from data.errors import StoreError
from features.store.key import canonical


@dataclass(frozen=True, kw_only=True)
class Views:
    """How many views the training videos have, and how they are augmented."""

    count: int = 1  # K, view 0 included; 1 is no augmentation
    # Plain JSON of all that decides the pixels of views 1 to K - 1, except the video and the view's
    # number.
    augmentation: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """sha256 over the augmentation, hex; without K, so that raising K keeps existing views."""
        return hashlib.sha256(canonical(self.augmentation).encode()).hexdigest()

    def sha256(self, video_sha256: str, view: int) -> str:
        """The digest of a view in the store; for view 0, the sha256 of the file."""
        if view == 0:
            return video_sha256
        text = f"{video_sha256} view {view} {self.digest}"
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"count": self.count, "augmentation": self.augmentation}

    @classmethod
    def from_json(cls, facts: Any) -> Views:
        """Reads the result of `to_json`; None is one view.

        Raises:
            StoreError: it is something else.
        """
        if facts is None:
            return cls()
        try:
            count, augmentation = facts["count"], facts["augmentation"]
        except (KeyError, TypeError) as error:
            raise StoreError("the views are not as the format says") from error
        if not isinstance(count, int) or count < 1 or not isinstance(augmentation, dict):
            raise StoreError("the views are not as the format says")
        return cls(count=count, augmentation=augmentation)
