"""A feature set of eight videos, one of which failed, and its manifest."""

from __future__ import annotations

from pathlib import Path

from data.datasets.manifest import Manifest, Video
from tests.features.conftest import digest_of, make_recipe
from tests.features.stores import NAMES, fill_store, publish_to


def write_set(folder: Path) -> tuple[Path, Path]:
    """Writes both; returns their paths."""
    shards = fill_store(folder / "store", make_recipe(), NAMES[:7])
    videos = tuple(
        Video(
            path=f"{('real', 'fake')[number % 2]}/{number}.mp4",
            label=number % 2,
            group=f"person {number // 2}",
            method="swap" if number % 2 else "real",
            split="train" if number < 4 else "val",
            sha256=digest_of(name),
            size_bytes=1000,
            codec="h264",
            width=64,
            height=64,
            fps=25.0,
            duration_seconds=1.0,
            bit_rate=8000,
        )
        for number, name in enumerate(NAMES[:8])
    )
    Manifest(root=folder, videos=videos).write(folder / "manifest.csv")
    return publish_to(folder / "features", shards), folder / "manifest.csv"
