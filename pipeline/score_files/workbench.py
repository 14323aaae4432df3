"""What deepfake-workbench (`dfwb score`) writes: NAME.scores.csv and NAME.scores.meta.json.

The CSV has a row for every video of a split; one without score has the status "missing" or
"error". A video is a key such as `BLEND_A/p006_p058`, no path, with its compression beside it, and
a score is P(fake). The record beside it names detector, split and aggregation. `--frames` writes
Parquet with the columns dataset, key, compression, clip_index, frame_index, frame_score,
clip_score.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data.errors import UnmaskError
from data.io.progress import log
from data.io.reading import BAD_FACTS, read_json

KEYS = ("dataset", "key", "compression")
STATUS = "status"
SCORES = ("label", "score", STATUS)
FRAMES = ("clip_index", "frame_index", "frame_score")
MOST_BYTES = 1 << 20
"""Of a record; those of `dfwb score` have 2 kB."""
NAMED = {
    "detector": ("name", "version", "source", "checkpoint_sha256"),
    "protocol": ("id", "split", "pack_version"),
    "processing_profile": ("id",),
    "aggregation": ("clip_to_video", "clips_per_video"),
    "calibration": ("method",),
}
"""Parts of a record -> what of them stands in the model card."""


def read_meta(path: Path) -> dict[str, str]:
    """Facts of the record beside a score file; none where it is not there or cannot be read."""
    if not path.name.endswith(".scores.csv"):
        return {}
    record = path.with_name(f"{path.name.removesuffix('.csv')}.meta.json")
    if not record.is_file():
        return {}
    try:
        facts: Any = read_json(record, remedy="", most_bytes=MOST_BYTES)
        return {
            f"{part}, {name.replace('_', ' ')}": str(facts[part][name])[:200]
            for part, names in NAMED.items()
            if isinstance(facts.get(part), dict)
            for name in names
            if facts[part].get(name) is not None
        }
    except (UnmaskError, *BAD_FACTS) as error:
        log.warning(f"{record} is not read: {error}")
        return {}
