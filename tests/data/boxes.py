"""Inserts boxes into MP4 files, for headers that the installed encoders do not write."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

SAMPLE_ENTRY = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, place and size of each box between two places."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        yield kind, start, size
        start += size


def add_to_sample_entry(source: Path, target: Path, kind: bytes, body: bytes) -> Path:
    """Adds a box at the end of the first video sample entry; `moov` must end the file."""
    data = bytearray(source.read_bytes())
    chain, start, end = [], 0, len(data)
    for wanted in (*SAMPLE_ENTRY, (b"avc1", b"hvc1", b"hev1")):
        _, place, size = next(
            one for one in boxes(data, start, end)
            if one[0] == wanted or (isinstance(wanted, tuple) and one[0] in wanted)
        )  # fmt: skip
        chain.append((place, size))
        start, end = place + (16 if wanted == b"stsd" else 8), place + size
    new = struct.pack(">I4s", 8 + len(body), kind) + body
    data[end:end] = new
    for place, size in chain:
        struct.pack_into(">I", data, place, size + len(new))
    target.write_bytes(data)
    return target


def clean_aperture(
    width: int, height: int, right: int = 0, down: int = 0, *, under: int = 1
) -> bytes:
    """The body of a `clap` box: size, and how far its middle lies from the picture's."""
    return struct.pack(">IIIIiIiI", width & 0xFFFFFFFF, under, height & 0xFFFFFFFF, under,
                       right, under, down, under)  # fmt: skip


AMBIENT = struct.pack(">IHH", 3140000, 15635, 16450)
"""The body of an `amve` box."""
LIGHT = struct.pack(">HH", 1000, 400)
"""The body of a `clli` box."""
