"""What ffprobe tells of a file's container and streams: codecs, tags, times, rotation."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from data.declared.model import Stream, Tags, clean
from data.errors import VideoError
from data.video.failures import why_unreadable
from data.video.ffmpeg import ffprobe

MAX_JSON_BYTES = 4 << 20
MOST_STREAMS = 16
MOST_TAGS = 40
"""Of a file or a stream. Telephones write about ten."""
TIMEOUT_SECONDS = 30.0
ENTRIES = (
    "format=format_name,duration,bit_rate:format_tags:"
    "stream=index,codec_type,codec_name,profile,codec_tag_string,pix_fmt,width,height,"
    "sample_aspect_ratio,avg_frame_rate,start_time,duration,bit_rate,nb_frames:stream_tags:"
    "stream_side_data=side_data_type,rotation"
)


def read_container(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Reads the container by ffprobe.

    Returns:
        Members of `data.declared.model.Declared`, and what was left out, one sentence each.

    Raises:
        VideoError: unreadable, or timeout.
    """
    with ffprobe(path, ["-show_entries", ENTRIES, "-of", "json"],
                 timeout_seconds=TIMEOUT_SECONDS) as child:  # fmt: skip
        text = child.stdout.read(MAX_JSON_BYTES)
        child.stdout.read(1)
        code = child.wait_in_time("ffprobe") if len(text) < MAX_JSON_BYTES else 1
        tail = child.stderr_tail
    if len(text) >= MAX_JSON_BYTES:
        raise VideoError("unreadable", "its tags are larger than 4 MiB", stderr_tail=tail)
    if code != 0:
        raise VideoError("unreadable", why_unreadable(path, tail), stderr_tail=tail)
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise VideoError("unreadable", "ffprobe's answer is garbled", stderr_tail=tail) from error
    whole, streams = facts.get("format", {}), facts.get("streams", [])
    notes: list[str] = []
    if len(streams) > MOST_STREAMS:
        notes.append(f"{len(streams) - MOST_STREAMS} more streams are not listed.")
    found = {
        "container": clean(str(whole.get("format_name", "unknown"))),
        "duration_seconds": _number(whole.get("duration")),
        "bit_rate": _whole(whole.get("bit_rate")),
        "tags": _tags(whole, "the file", notes),
        "streams": tuple(_stream(one, notes) for one in streams[:MOST_STREAMS]),
    }
    return found, notes


def _stream(facts: dict[str, Any], notes: list[str]) -> Stream:
    """One stream; what ffprobe does not know is None."""
    index = int(facts.get("index", 0))
    aspect, rate = _text(facts, "sample_aspect_ratio"), _text(facts, "avg_frame_rate")
    return Stream(
        index=index,
        kind=_text(facts, "codec_type") or "unknown",
        codec=_text(facts, "codec_name") or "unknown",
        profile=_text(facts, "profile"),
        codec_tag=_text(facts, "codec_tag_string"),
        pixel_format=_text(facts, "pix_fmt"),
        width=_whole(facts.get("width")),
        height=_whole(facts.get("height")),
        pixel_aspect=None if aspect in (None, "0:1") else aspect,
        rotation_degrees=_rotation(facts),
        frame_rate=None if rate in (None, "0/0") else rate,
        start_seconds=_number(facts.get("start_time")),
        duration_seconds=_number(facts.get("duration")),
        bit_rate=_whole(facts.get("bit_rate")),
        frames=_whole(facts.get("nb_frames")),
        tags=_tags(facts, f"stream {index}", notes),
    )


def _tags(facts: dict[str, Any], of: str, notes: list[str]) -> Tags:
    """The tags of a file or a stream, as many as are listed."""
    tags = sorted((str(name), str(text)) for name, text in facts.get("tags", {}).items())
    if len(tags) > MOST_TAGS:
        notes.append(f"{len(tags) - MOST_TAGS} more tags of {of} are not listed.")
    return {clean(name): clean(text) for name, text in tags[:MOST_TAGS]}


def _rotation(facts: dict[str, Any]) -> int | None:
    for side in facts.get("side_data_list", []):
        if side.get("side_data_type") == "Display Matrix":
            return _whole(side.get("rotation"))
    return None


def _text(facts: dict[str, Any], name: str) -> str | None:
    value = facts.get(name)
    return None if value is None else clean(str(value))


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None or abs(number) >= 2**53 else round(number)
