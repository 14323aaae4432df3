"""Malicious files: videos damaged in many ways, and other files that are named like videos.

Everything is drawn from one seed, so that a file that made a test fail can be made again.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

from tests.data.conftest import make

WHOLE = "whole"
"""Stands for features where a list of failure classes is expected."""
BROKEN = frozenset({"unreadable", "no_video_stream", "too_few_frames", "decode_error"})
ANY = BROKEN | {WHOLE}
NO_VIDEO = frozenset({"unreadable", "no_video_stream"})
SUFFIXES = ("mp4", "mkv", "avi", "webm", "gif", "mov", "ts", "flv", "wmv", "h264", "y4m", "mpg")

Hostile = Iterator[tuple[str, bytes, frozenset[str]]]


def make_seeds(folder: Path) -> dict[str, bytes]:
    """Small videos by suffix, twelve frames each."""
    source = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=24:duration=0.5")
    codecs = {
        "mp4": ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "6"),
        "mkv": ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "6"),
        "avi": ("-c:v", "mpeg4", "-g", "6"),
        "webm": ("-c:v", "libvpx-vp9", "-cpu-used", "8"),
        "gif": (),
    }
    return {
        suffix: make(folder / f"seed.{suffix}", *source, *codec).read_bytes()
        for suffix, codec in codecs.items()
    }


def write_hostile(
    folder: Path, seeds: dict[str, bytes], *, canary: Path, port: int, count: int
) -> dict[str, frozenset[str]]:
    """Writes the corpus; returns, for each name, what may become of the file.

    Args:
        folder: where; must exist.
        seeds: whole videos by suffix.
        canary: a video outside, which nothing may open.
        port: of this machine, to which nothing may connect.
        count: files in all; those that are not made one by one are damaged seeds.
    """
    draw = random.Random(10)
    expected: dict[str, frozenset[str]] = {}
    for maker in (
        pointers(canary, port),
        other_formats(draw),
        false_headers(seeds),
        strange_names(seeds),
        damaged(draw, seeds),
    ):
        for name, content, outcomes in maker:
            if len(expected) == count:
                return expected
            (folder / name).write_bytes(content)
            expected[name] = outcomes
    return expected


def pointers(canary: Path, port: int) -> Hostile:
    """Playlists, lists and descriptions that point at a file outside or at a server."""
    server = f"127.0.0.1:{port}"
    targets = [str(canary), f"file:{canary}", f"file://{canary}", f"http://{server}/v.mp4"]
    targets += [
        f"tcp://{server}",
        f"concat:{canary}|{canary}",
        f"subfile,,start,0,end,0,,:{canary}",
    ]
    number = 0
    for target in targets:
        for own, text in (
            ("m3u8", f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n"),
            ("m3u8", f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{target}\n"),
            (
                "m3u8",
                '#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-KEY:METHOD=AES-128,URI="'
                f'{target}"\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n',
            ),
            ("ffconcat", f"ffconcat version 1.0\nfile '{target}'\n"),
            ("concat", f"ffconcat version 1.0\nfile {target}\nduration 1\nfile {target}\n"),
            (
                "mpd",
                '<?xml version="1.0"?><MPD type="static"><Period><AdaptationSet mimeType='
                f'"video/mp4"><Representation id="0"><BaseURL>{target}</BaseURL></Representation>'
                "</AdaptationSet></Period></MPD>",
            ),
            (
                "svg",
                '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink='
                f'"http://www.w3.org/1999/xlink"><image xlink:href="{target}"/></svg>',
            ),
        ):
            # Under its own suffix, too: ffmpeg follows some playlists under that alone.
            for suffix in (own, ("mp4", "gif", "avi", "mkv", "ts")[number % 5]):
                yield f"pointer-{number:02d}.{suffix}", text.encode(), frozenset({"unreadable"})
            number += 1
    sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    sdp += f"m=video {port} RTP/AVP 96\n"
    yield "session.mp4", sdp.encode(), frozenset({"unreadable"})
    yield "script.avi", f'AviSource("{canary}")\n'.encode(), frozenset({"unreadable"})
    yield "reference.mov", _reference_movie(canary), NO_VIDEO


def _reference_movie(target: Path) -> bytes:
    """A QuickTime movie that is nothing but a link to another."""
    url = str(target).encode() + b"\0"
    link = _box(b"rdrf", struct.pack(">I4sI", 0, b"url ", len(url)) + url)
    movie = _box(b"moov", _box(b"rmra", _box(b"rmda", link)))
    return _box(b"ftyp", b"qt  \0\0\0\0qt  ") + movie


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def other_formats(draw: random.Random) -> Hostile:
    """Noise, empty files, and other kinds of file under a video's name."""
    contents = {
        "empty": b"",
        "zeros": bytes(20_000),
        "ones": b"\xff" * 20_000,
        "text": b"hello, world\n" * 500,
        "page": b"<html><body><video src='x.mp4'></video></body></html>",
        "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xff\xff\xff\xff\xff\xff\xff\x08\x02\0\0\0",
        "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF\0" + draw.randbytes(5000),
        "zip": b"PK\x03\x04" + draw.randbytes(5000),
        "pdf": b"%PDF-1.7\n" + draw.randbytes(5000),
        "elf": b"\x7fELF" + draw.randbytes(5000),
        "wave": b"RIFF\x24\x08\0\0WAVEfmt \x10\0\0\0" + draw.randbytes(5000),
        "subtitles": b"1\n00:00:00,000 --> 00:00:01,000\nhello\n",
    }
    for number, (name, content) in enumerate(contents.items()):
        for suffix in (SUFFIXES[number], SUFFIXES[(number + 5) % len(SUFFIXES)]):
            yield f"{name}.{suffix}", content, BROKEN
    for number in range(48):
        suffix = SUFFIXES[number % len(SUFFIXES)]
        yield f"noise-{number:02d}.{suffix}", draw.randbytes(draw.randrange(1, 60_000)), BROKEN


def false_headers(seeds: dict[str, bytes]) -> Hostile:
    """Headers that lie: of size, of length, of numbers of frames."""
    mp4, mkv, gif, avi = (seeds[suffix] for suffix in ("mp4", "mkv", "gif", "avi"))
    sizes = [(0, 0), (1, 1), (65535, 65535), (65535, 1), (1, 65535), (8192, 8192), (30000, 30000)]
    for width, height in sizes:
        size = f"{width}x{height}"
        yield f"y4m-{size}.y4m", _y4m(width, height), BROKEN | ({WHOLE} if width == 1 else set())
        yield f"gif-{size}.gif", gif[:6] + struct.pack("<HH", width, height) + gif[10:], ANY
        at = mp4.index(b"avc1") + 4 + 24
        yield f"mp4-{size}.mp4", _put(mp4, at, struct.pack(">HH", width, height)), ANY
        at = avi.index(b"strf") + 8 + 4
        yield f"avi-{size}.avi", _put(avi, at, struct.pack("<ii", width, height)), ANY
    for number, value in enumerate((0, 1, 0x7FFFFFFF, 0xFFFFFFFF)):
        for box, offset in ((b"mvhd", 20), (b"mdhd", 20), (b"mvhd", 16), (b"mdhd", 16),
                            (b"stts", 8), (b"stts", 12), (b"stsz", 8), (b"stsz", 12),
                            (b"stsc", 12), (b"stco", 12), (b"stsd", 8), (b"tkhd", 24)):  # fmt: skip
            lied = _put(mp4, mp4.index(box) + offset, struct.pack(">I", value))
            yield f"{box.decode()}-{offset}-{number}.mp4", lied, ANY
    yield "no-frames.mkv", mkv[: mkv.index(bytes.fromhex("1f43b675"))], BROKEN
    yield "no-frames.gif", gif[:13], BROKEN
    yield "header-only.mp4", mp4[:32], BROKEN
    yield "header-only.y4m", b"YUV4MPEG2 W64 H48 F25:1 C420jpeg\n", BROKEN
    yield "endless-header.y4m", b"YUV4MPEG2 " + b"W64 " * 20_000, BROKEN
    yield "nested.mp4", mp4[:32] + _nested(2000), BROKEN


def _y4m(width: int, height: int) -> bytes:
    frame = b"FRAME\n" + bytes(min(width * height * 3, 4096))
    return f"YUV4MPEG2 W{width} H{height} F25:1 C444\n".encode() + frame * 12


def _nested(depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        content = _box(b"moov", content)
    return content


def _put(content: bytes, at: int, part: bytes) -> bytes:
    return content[:at] + part + content[at + len(part) :]


def strange_names(seeds: dict[str, bytes]) -> Hostile:
    """Whole videos under names that a shell, ffmpeg or a CSV file could take for something else."""
    names = [
        *("-i.mp4", "--help.mp4", "-vf null.mp4", "it's.mp4", 'say "so".mp4', "two\nlines.mp4"),
        *("carriage\rreturn.mp4", "tab\t.mp4", "%05d.mp4", "a*b?.mp4", "[0:v].mp4", "$(id).mp4"),
        *("`id`.mp4", "a;b|c&d.mp4", "http:.mp4", "concat:a|b.mp4", "file:x.mp4", "pipe:0.mp4"),
        *("=1+1.mp4", "comma,comma.mp4", "back\\slash.mp4", "é 日本 \U0001f600.mp4"),
        *("\x1b[31mred.mp4", "\udcff\udcfe.mp4", "x" * 240 + ".mp4", " .mp4"),
    ]
    for number, name in enumerate(names):
        # Other bytes behind each, or all would be one video to the store.
        yield name, seeds["mp4"] + _box(b"free", bytes([number])), frozenset({WHOLE})


def damaged(draw: random.Random, seeds: dict[str, bytes]) -> Hostile:
    """For ever: seeds with flipped bits, cut off, overwritten, repeated."""
    number = 0
    while True:
        for suffix, seed in seeds.items():
            content = bytearray(seed)
            kind = ("flipped", "cut", "flipped", "overwritten", "flipped", "shuffled")[number % 6]
            if kind == "flipped":
                for _ in range(draw.choice((1, 1, 4, 30, 300))):
                    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
            elif kind == "cut":
                del content[draw.randrange(1, len(content)) :]
            elif kind == "overwritten":
                start, length = draw.randrange(len(content)), draw.randrange(1, 400)
                content[start : start + length] = draw.randbytes(length)
            else:
                start, length = draw.randrange(len(content)), draw.randrange(1, 400)
                part = content[start : start + length]
                del content[start : start + length]
                at = draw.randrange(len(content) + 1)
                content[at:at] = part
            yield f"{kind}-{number:03d}.{suffix}", bytes(content), ANY
        number += 1
