"""The ladder of `unmask robustness`: what happens to videos on their way, step by step.

Each rung is a chain of ffmpeg's filters and an encoding: at CRF 18 where compression is not the
point, whose own rung shows what encoding anew costs by itself; noise, which takes many bits, at 23.
A copy is told by the sha256 of its source and of all that is done to it, so that its features are
found before it is made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import ConfigError
from data.video.chosen_frames import time_budget
from data.video.ffmpeg import find_tools, transcode
from data.video.probe import LEAST_ASPECT, MOST_ASPECT, probe

GENTLE = 18
"""CRF of rungs that are not about compression."""
SEED = 1
"""Of the noise."""

Chain = list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One thing done to a video.

    Attributes:
        name: on the command line and in tables.
        family: what is done: rungs of one family share a plot.
        severity: how much, in the family's unit.
        crf: of the encoding.
    """

    name: str
    family: str
    severity: float
    crf: int = GENTLE


FAMILIES = {
    "compression": "CRF of H.264",
    "size": "share of width and height, then back",
    "frame rate": "frames per second at most",
    "blur": "sigma, % of the shorter side",
    "noise": "strength, of 255",
    "brightness": "added, of 1",
    "screenshot": "times captured",
}
"""Family -> what its severity counts."""

LADDER = (
    *(Rung(name=f"crf-{crf}", family="compression", severity=crf, crf=crf)
      for crf in (GENTLE, 23, 28, 33, 40)),
    Rung(name="half-size", family="size", severity=0.5),
    Rung(name="quarter-size", family="size", severity=0.25),
    Rung(name="fps-15", family="frame rate", severity=15),
    *(Rung(name=f"blur-{share:g}", family="blur", severity=share) for share in (0.25, 0.5, 1.0)),
    *(Rung(name=f"noise-{strength}", family="noise", severity=strength, crf=23)
      for strength in (8, 16, 32)),
    *(Rung(name=f"brightness{added:+g}", family="brightness", severity=added)
      for added in (-0.25, -0.1, 0.1, 0.25)),
    Rung(name="screenshot", family="screenshot", severity=1, crf=30),
)  # fmt: skip
"""All rungs, in the order of tables."""


def choose_rungs(names: Sequence[str]) -> tuple[Rung, ...]:
    """The rungs of these names, also several in one text, separated by commas; all for none.

    Raises:
        ConfigError: there is no such rung.
    """
    wanted = {name.strip() for text in names for name in text.split(",") if name.strip()}
    known = [rung.name for rung in LADDER]
    for name in sorted(wanted - set(known)):
        raise ConfigError(f"there is no rung {name!r}; --rungs takes {', '.join(known)}")
    return tuple(rung for rung in LADDER if not wanted or rung.name in wanted)


def chain_of(rung: Rung, *, width: int, height: int, fps: float) -> Chain:
    """The filters of a rung for one video.

    Args:
        rung: which.
        width: of the video as shown, pixels.
        height: likewise.
        fps: its frames per second, 0 where it does not say.

    Returns:
        Filters that end in an even size with square pixels.
    """
    width, height = max(2, width - width % 2), max(2, height - height % 2)
    whole = {"w": width, "h": height, "flags": "bicubic+accurate_rnd+bitexact"}
    chain = _fitted(whole)
    if rung.family == "size":
        chain += [("scale", whole | _scaled(width, height, rung.severity)), ("scale", whole)]
    elif rung.family == "frame rate" and (fps == 0 or fps > rung.severity):
        chain.append(("fps", {"fps": rung.severity}))
    elif rung.family == "blur":
        chain.append(("gblur", {"sigma": round(rung.severity / 100 * min(width, height), 3)}))
    elif rung.family == "noise":
        noise = {"alls": int(rung.severity), "allf": "t", "all_seed": SEED}
        chain += [("format", {"pix_fmts": "yuv420p"}), ("noise", noise)]
    elif rung.family == "brightness":
        chain += [("format", {"pix_fmts": "yuv420p"}), ("eq", {"brightness": rung.severity})]
    elif rung.family == "screenshot":
        # Shown smaller on a grey page, in RGB, at the screen's pace.
        shown = _scaled(width, height, 0.7)
        page = {"w": width, "h": height, "x": "(ow-iw)/2", "y": "(oh-ih)/2", "color": "0x303030"}
        chain += [
            ("scale", whole | shown | {"flags": "bilinear+accurate_rnd+bitexact"}),
            ("format", {"pix_fmts": "rgb24"}),
            ("pad", page),
            ("fps", {"fps": 30}),
        ]
    chain.append(("setsar", {"sar": 1}))  # scaling to even sizes bends it
    return chain


def _fitted(whole: dict[str, Any]) -> Chain:
    """Filters that bring every frame to this size; one of another shape lies amid black.

    The size is a header's claim, and frames may change theirs. Up to two pixels are evened out by
    scaling: what is odd becomes even.
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
    """An even size of about this share."""
    return {"w": max(2, round(width * share / 2) * 2), "h": max(2, round(height * share / 2) * 2)}


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A degraded copy of a video: where it will lie and how it is made.

    Attributes:
        source: the video.
        path: of the copy; its name holds the start of `sha256`.
        sha256: over the source's sha256, the filters, the encoding and ffmpeg's version, hex; it
            stands for the copy's own, which only making it would tell.
        chain: of filters.
        crf: of the encoding.
    """

    source: Path
    path: Path
    sha256: str
    chain: Chain
    crf: int

    def make(self) -> None:
        """Writes the copy, whole or not at all.

        Raises:
            OutputError: the disk is full or refuses.
            VideoError: the source cannot be read, or takes too long.
        """
        info = probe(self.source)
        transcode(
            self.source,
            self.path,
            codec=info.codec,
            stream_index=info.stream_index,
            chain=self.chain,
            crf=self.crf,
            timeout_seconds=time_budget(info),
        )

    @contextmanager
    def made(self, *, keep: bool) -> Iterator[Path]:
        """The copy for as long as the block lasts; one that is there is taken as it is."""
        if not self.path.exists():
            self.make()
        try:
            yield self.path
        finally:
            if not keep:
                self.path.unlink(missing_ok=True)


def copy_of(
    source: Path, sha256: str, rung: Rung, *, folder: Path, width: int, height: int, fps: float
) -> Copy:
    """Plans the copy of one video on one rung.

    Args:
        source: the video.
        sha256: of its file, hex.
        rung: what is done to it.
        folder: where copies lie, each rung in a folder of its own.
        width: as for `chain_of`.
        height: likewise.
        fps: likewise.
    """
    chain = chain_of(rung, width=width, height=height, fps=fps)
    told = {"source": sha256, "chain": chain, "crf": rung.crf, "ffmpeg": find_tools().version}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    return Copy(
        source=source,
        path=folder / rung.name / f"{digest[:16]}.mp4",
        sha256=digest,
        chain=chain,
        crf=rung.crf,
    )
