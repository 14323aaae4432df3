"""The corruptions of `unmask robustness`, each at several severities, as in ImageNet-C.

A corruption is a chain of ffmpeg's filters and an encoding. Where compression is not the point, it
is encoded at CRF 18, and `crf-18` shows what encoding again costs by itself; noise, which takes
many bits, at 23. A corrupted copy is identified by the sha256 of its source and of all that is
done to it, so that its features are found in the store before it is made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import ConfigError, VideoError, plain
from data.images.decoding import read_image
from data.images.frame_folders import open_frames
from data.images.reading import WHOLE_SHARE
from data.video.encoding import encode, transcode
from data.video.ffmpeg import Filters, find_tools
from data.video.frame_reader import time_budget
from data.video.picture import place
from data.video.probe import LEAST_ASPECT, MOST_ASPECT, VideoInfo, probe

LIGHT_CRF = 18
"""CRF of corruptions other than compression."""
NOISE_SEED = 1


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """One corruption at one severity."""

    name: str  # on the command line and in tables
    family: str  # kind of corruption; those of one family share a plot
    severity: float  # in the family's unit
    crf: int = LIGHT_CRF  # of the encoding


FAMILIES = {
    "compression": "CRF of H.264",
    "size": "share of width and height, then back",
    "frame rate": "frames per second at most",
    "blur": "sigma, % of the shorter side",
    "noise": "strength, of 255",
    "brightness": "added, of 1",
    "screenshot": "times captured",
}
"""Family -> the unit of its severity."""

CORRUPTIONS = (
    *(Corruption(name=f"crf-{crf}", family="compression", severity=crf, crf=crf)
      for crf in (LIGHT_CRF, 23, 28, 33, 40)),
    Corruption(name="half-size", family="size", severity=0.5),
    Corruption(name="quarter-size", family="size", severity=0.25),
    Corruption(name="fps-15", family="frame rate", severity=15),
    *(Corruption(name=f"blur-{share:g}", family="blur", severity=share)
      for share in (0.25, 0.5, 1.0)),
    *(Corruption(name=f"noise-{strength}", family="noise", severity=strength, crf=23)
      for strength in (8, 16, 32)),
    *(Corruption(name=f"brightness{added:+g}", family="brightness", severity=added)
      for added in (-0.25, -0.1, 0.1, 0.25)),
    Corruption(name="screenshot", family="screenshot", severity=1, crf=30),
)  # fmt: skip
"""All corruptions, in the order of tables."""


def choose_corruptions(names: Sequence[str]) -> tuple[Corruption, ...]:
    """The corruptions of these names, some of them comma-separated lists; all without names.

    Raises:
        ConfigError: there is no such corruption.
    """
    wanted = {name.strip() for text in names for name in text.split(",") if name.strip()}
    known = [one.name for one in CORRUPTIONS]
    for name in sorted(wanted - set(known)):
        raise ConfigError(f"there is no rung {name!r}; --rungs takes {', '.join(known)}")
    return tuple(one for one in CORRUPTIONS if not wanted or one.name in wanted)


def filters_of(corruption: Corruption, *, width: int, height: int, fps: float) -> Filters:
    """ffmpeg's filters for one video; they end in an even size with square pixels.

    Args:
        corruption: to apply.
        width, height: of the video as shown, in pixels.
        fps: its frames per second, 0 where unknown.
    """
    width, height = max(2, width - width % 2), max(2, height - height % 2)
    whole = {"w": width, "h": height, "flags": "bicubic+accurate_rnd+bitexact"}
    chain = _fitted(whole)
    if corruption.family == "size":
        chain += [("scale", whole | _scaled(width, height, corruption.severity)), ("scale", whole)]
    elif corruption.family == "frame rate" and (fps == 0 or fps > corruption.severity):
        chain.append(("fps", {"fps": corruption.severity}))
    elif corruption.family == "blur":
        chain.append(("gblur", {"sigma": round(corruption.severity / 100 * min(width, height), 3)}))
    elif corruption.family == "noise":
        noise = {"alls": int(corruption.severity), "allf": "t", "all_seed": NOISE_SEED}
        chain += [("format", {"pix_fmts": "yuv420p"}), ("noise", noise)]
    elif corruption.family == "brightness":
        chain += [("format", {"pix_fmts": "yuv420p"}), ("eq", {"brightness": corruption.severity})]
    elif corruption.family == "screenshot":
        # Smaller, on a grey page, in RGB, at the screen's frame rate.
        shown = _scaled(width, height, 0.7)
        page = {"w": width, "h": height, "x": "(ow-iw)/2", "y": "(oh-ih)/2", "color": "0x303030"}
        chain += [
            ("scale", whole | shown | {"flags": "bilinear+accurate_rnd+bitexact"}),
            ("format", {"pix_fmts": "rgb24"}),
            ("pad", page),
            ("fps", {"fps": 30}),
        ]
    chain.append(("setsar", {"sar": 1}))  # scaling to even sizes changes it
    return chain


def _fitted(whole: dict[str, Any]) -> Filters:
    """Filters that bring every frame to this size; one of another shape is padded with black.

    The size is a header's claim, and frames may change theirs. Differences up to two pixels, as
    between odd and even, are scaled away.
    """
    aspect = f"if(gt(sar,{LEAST_ASPECT})*lt(sar,{MOST_ASPECT}),sar,1)"
    wide, high = whole["w"], whole["h"]
    known = f"st(0,iw*{aspect});st(1,min({wide}/ld(0),{high}/ih))"
    size = {
        "w": f"{known};if(lte({wide}-ld(0)*ld(1),2),{wide},max(2,2*round(ld(0)*ld(1)/2)))",
        "h": f"{known};if(lte({high}-ih*ld(1),2),{high},max(2,2*round(ih*ld(1)/2)))",
    }
    page = {"w": wide, "h": high, "x": "(ow-iw)/2", "y": "(oh-ih)/2"}
    return [("scale", whole | size), ("pad", page)]


def _scaled(width: int, height: int, share: float) -> dict[str, int]:
    """The nearest even size of this share."""
    return {"w": max(2, round(width * share / 2) * 2), "h": max(2, round(height * share / 2) * 2)}


@dataclass(frozen=True, kw_only=True)
class CorruptedCopy:
    """A corrupted copy of a video: its path and how it is made."""

    source: Path  # the video
    path: Path  # of the copy; its name holds the start of `sha256`
    # Over the source's sha256, the filters, the encoding and ffmpeg's version, hex; used instead of
    # the file's own, which is not known before the copy is made.
    sha256: str
    chain: Filters  # filters
    crf: int  # of the encoding

    def make(self) -> None:
        """Writes the copy, whole or not at all.

        Raises:
            OutputError: the disk is full or refuses.
            VideoError: the source cannot be read, or takes too long.
        """
        info = probe(self.source)
        if info.kind == "image":
            raise VideoError(
                "too_few_frames", "it is one image; a corrupted copy is a video of several frames"
            )
        if info.kind == "frames":
            self._make_of_frames(info)
            return
        transcode(
            self.source,
            self.path,
            codec=info.codec,
            stream_index=info.stream_index,
            chain=self.chain,
            crf=self.crf,
            timeout_seconds=time_budget(info),
        )

    def _make_of_frames(self, info: VideoInfo) -> None:
        """Encodes a folder's frames at their average rate, on a page of the first one's size."""
        folder = open_frames(self.source)
        span = folder.numbers[-1] - folder.numbers[0]
        fps = float(folder.rate) * (len(folder.names) - 1) / span if span else 1.0
        encode(
            self.path,
            readable_frames(folder.files(), (info.width, info.height)),
            fps=min(max(fps, 1.0), 240.0),
            crf=self.crf,
            timeout_seconds=time_budget(info),
            chain=self.chain,
        )

    @contextmanager
    def made(self, *, keep: bool) -> Iterator[Path]:
        """Yields the copy, made unless it is there, and removes it after the block unless kept."""
        if not self.path.exists():
            self.make()
        try:
            yield self.path
        finally:
            if not keep:
                self.path.unlink(missing_ok=True)


def readable_frames(files: Sequence[Path], size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """The frames of a folder that can be read, fitted into this width and height.

    Raises:
        VideoError: decode_error: fewer than most of them can be.
    """
    broken = 0
    for file in files:
        try:
            frame = read_image(file)
        except VideoError as error:
            broken += 1
            if broken > 1 and broken > (1 - WHOLE_SHARE) * len(files):
                raise VideoError("decode_error", f"{plain(file.name)}: {error}") from error
            continue
        slot = np.empty((size[1], size[0], 3), np.uint8)
        place(frame, slot)
        yield slot
    if broken == len(files):
        raise VideoError("decode_error", f"none of its {len(files)} frames can be read")


def copy_of(
    source: Path,
    sha256: str,
    corruption: Corruption,
    *,
    folder: Path,
    width: int,
    height: int,
    fps: float,
) -> CorruptedCopy:
    """Plans the corrupted copy of one video; in `folder`, each corruption has a folder of its own.

    `sha256` is of the source's file; width, height and fps are as for `filters_of`.
    """
    chain = filters_of(corruption, width=width, height=height, fps=fps)
    crf, version = corruption.crf, find_tools().version
    facts = {"source": sha256, "chain": chain, "crf": crf, "ffmpeg": version}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return CorruptedCopy(
        source=source,
        path=folder / corruption.name / f"{digest[:16]}.mp4",
        sha256=digest,
        chain=chain,
        crf=crf,
    )
