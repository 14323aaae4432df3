"""How an MP4 or MOV file is built: its boxes at the top, times, and each track's edit list.

ffprobe applies edit lists and does not tell them. The walk reads a few bytes of each box and skips
the rest; it is bounded in boxes, depth and entries, and a box that claims too much ends it. Format:
ISO/IEC 14496-12, boxes mvhd, tkhd, mdhd, hdlr, elst.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BufferedReader
from pathlib import Path
from typing import Any

from data.declared.model import Boxes, Edit, Track, clean
from data.io.reading import open_file

MOST_BOXES = 4096
"""Of the whole walk; a fragmented hour has two thousand at the top."""
MOST_TOP = 64
"""Of the boxes at the top that are listed."""
MOST_TRACKS = 32
MOST_EDITS = 50
HEAD_BYTES = 256
"""Read of a box with fields; all that are read here lie in them."""
EPOCH = datetime(1904, 1, 1, tzinfo=UTC)
INSIDE = {b"moov": b"", b"trak": b"moov", b"edts": b"trak", b"mdia": b"trak"}
"""Boxes that are entered, and what each must lie in: four deep at most."""
FIRST = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"uuid", b"sidx"}
"""Types with which such a file may begin."""


@dataclass(kw_only=True)
class _Walk:
    """What was found so far."""

    order: list[str] = field(default_factory=list)
    top: int = 0  # boxes at the top
    left: int = MOST_BOXES  # boxes that may still be read
    movie: dict[str, Any] = field(default_factory=dict)
    tracks: list[dict[str, Any]] = field(default_factory=list)


def read_boxes(path: Path) -> tuple[Boxes | None, list[str]]:
    """Reads the boxes of an MP4 or MOV file.

    Returns:
        What was found, None where it is no such file; and what was left out, one sentence each.

    Raises:
        OSError: the file cannot be read.
    """
    walk, notes = _Walk(), []
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(8)
        if len(head) < 8 or head[4:8] not in FIRST:
            return None, []
        try:
            _walk(file, 0, size, walk, inside=b"")
        except ValueError as error:
            notes.append(f"The walk over the file's boxes ended early: {error}.")
    if walk.top > MOST_TOP:
        notes.append(f"{walk.top - MOST_TOP} more boxes at the top are not listed.")
    if len(walk.tracks) > MOST_TRACKS:
        notes.append(f"{len(walk.tracks) - MOST_TRACKS} more tracks are not listed.")
    scale = walk.movie.get("scale", 0)
    return Boxes(
        order=tuple(walk.order),
        created=walk.movie.get("created"),
        modified=walk.movie.get("modified"),
        tracks=tuple(_track(one, scale) for one in walk.tracks[:MOST_TRACKS]),
    ), notes


def _boxes(file: BufferedReader, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of the contents of each box between two places.

    Raises:
        ValueError: a box claims to be smaller than its head, or to end behind what holds it.
    """
    at = start
    while at + 8 <= end:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        inner = at + 8
        if size == 1:
            large = file.read(8)
            if len(large) < 8:
                raise ValueError(f"the box {_name(kind)} at byte {at} is cut off")
            (size,), inner = struct.unpack(">Q", large), at + 16
        elif size == 0:  # up to the end of the file
            size = end - at
        if size < inner - at or at + size > end:
            raise ValueError(f"the box {_name(kind)} at byte {at} claims {size} bytes")
        yield kind, inner, at + size
        at += size


def _walk(file: BufferedReader, start: int, end: int, walk: _Walk, *, inside: bytes) -> None:
    """Visits the boxes between two places; those that hold what is looked for, too."""
    for kind, inner, after in _boxes(file, start, end):
        walk.left -= 1
        if walk.left < 0:
            raise ValueError(f"there are more than {MOST_BOXES} boxes")
        if not inside:
            walk.top += 1
            if walk.top <= MOST_TOP:
                walk.order.append(_name(kind))
            if kind != b"moov":
                continue
        if INSIDE.get(kind) == inside:
            if kind == b"trak":
                walk.tracks.append({})
            _walk(file, inner, after, walk, inside=kind)
        elif kind in (b"mvhd", b"tkhd", b"mdhd", b"hdlr", b"elst"):
            file.seek(inner)
            _fields(kind, file, min(after - inner, HEAD_BYTES + 20 * MOST_EDITS), walk)


def _fields(kind: bytes, file: BufferedReader, size: int, walk: _Walk) -> None:
    """Takes what one box says; one that is too short says nothing."""
    body = file.read(size)
    if len(body) < 12:
        return
    wide = body[0] == 1
    track = walk.tracks[-1] if walk.tracks else {}
    if kind == b"hdlr":
        track.setdefault("handler", _name(body[8:12]))
    elif kind == b"elst":
        track["edits"], track["edits_left_out"] = _edits(body, wide=wide)
    elif len(body) >= (28 if wide else 16):
        created, modified = struct.unpack_from(">QQ" if wide else ">II", body, 4)
        (third,) = struct.unpack_from(">I", body, 20 if wide else 12)
        if kind == b"mvhd":
            walk.movie |= {"created": _time(created), "modified": _time(modified), "scale": third}
        elif kind == b"tkhd":
            track |= {"created": _time(created), "modified": _time(modified), "number": third}
        else:
            track["scale"] = third


def _edits(body: bytes, *, wide: bool) -> tuple[list[tuple[int, int, int]], int]:
    """Duration in ticks of the movie, time in ticks of the track, rate in 1/65536; and how many
    more there are."""
    form = struct.Struct(">QqI" if wide else ">IiI")
    (count,) = struct.unpack_from(">I", body, 4)
    there = min(count, MOST_EDITS, (len(body) - 8) // form.size)
    return [form.unpack_from(body, 8 + at * form.size) for at in range(there)], count - there


def _track(facts: dict[str, Any], movie_scale: int) -> Track:
    scale = facts.get("scale", 0)
    edits = facts.get("edits", ()) if movie_scale and scale else ()
    return Track(
        number=facts.get("number"),
        handler=facts.get("handler", ""),
        created=facts.get("created"),
        modified=facts.get("modified"),
        edits=tuple(
            Edit(
                duration_seconds=duration / movie_scale,
                media_seconds=None if at < 0 else at / scale,
                rate=rate / 65536,
            )
            for duration, at, rate in edits
        ),
        edits_left_out=facts.get("edits_left_out", 0),
    )


def _time(seconds: int) -> str | None:
    """Seconds since 1904 as UTC; None for 0, with which writers say that they do not know."""
    if seconds == 0:
        return None
    try:
        return (EPOCH + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return f"{seconds} seconds after 1904"


def _name(kind: bytes) -> str:
    """A box's type, as text; QuickTime has a copyright sign in some."""
    text = kind.decode("latin-1")
    return str(clean(text if text.isprintable() else ascii(text)[1:-1])).strip()
