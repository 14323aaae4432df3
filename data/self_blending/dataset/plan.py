"""Draws which forgeries are made of which videos, before any of them is made.

What is drawn for a video depends on its own bytes and the settings alone, so that an added video
changes nothing for the others. Swaps mix two people. Where splits are given, both come from one
split; elsewhere both people's groups become one, in pairs, so that no chain joins the whole set.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from data.io.settings import Settings
from data.self_blending.clip.drawing import draw_parameters, pick
from data.self_blending.clip.motion import root_mean_squares
from data.self_blending.clip.parameters import METHODS, ForgeryParameters, Method
from data.self_blending.dataset.sources import Source
from data.self_blending.dataset.survey import Facts

SHAPE_UNIT = 0.03
"""Root mean square distance of two people's normalised points that counts as 1."""
SKIN_UNIT = 0.25
"""The same for the logarithms of their skins' colours."""


class ForgeConfig(Settings):
    """What `forge` makes."""

    section: ClassVar[str] = "forge"

    copies: Annotated[int, Field(ge=1, le=100)] = 1  # forgeries of each real video
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0  # of everything that is drawn
    # Longest clip; longer videos give their middle.
    seconds: Annotated[float, Field(ge=0.2, le=60)] = 5.0
    # Larger frames are scaled down to this, in pixels.
    max_side: Annotated[int, Field(ge=96, le=4096)] = 1280
    # Quality of the H.264 encoder, lower is better; the same for a pair.
    crf: Annotated[int, Field(ge=0, le=51)] = 23
    # Each pair's own quality differs from `crf` by at most this.
    crf_spread: Annotated[int, Field(ge=0, le=20)] = 3
    # Weight of each method; a swap without a similar face becomes a blend.
    methods: dict[str, float] = Field(
        default={"blend": 4.0, "swap": 2.0, "reenact": 2.0, "rebuild": 2.0}
    )
    # Greatest difference of two faces that are swapped; two clips of one person in one light differ
    # by about 0.4.
    swap_distance: Annotated[float, Field(ge=0, le=100)] = 1.2
    # Share of videos that may fail before the command does.
    max_failures: Annotated[float, Field(ge=0, le=1)] = 0.2

    @field_validator("methods")
    @classmethod
    def _known_and_weighted(cls, methods: dict[str, float]) -> dict[str, float]:
        if not set(methods) <= set(METHODS):
            raise ValueError(f"must be among {', '.join(METHODS)}")
        if not methods or min(methods.values()) < 0 or sum(methods.values()) <= 0:
            raise ValueError("must have weights of 0 or more, one above 0")
        return methods


@dataclass(frozen=True, kw_only=True)
class Forgery:
    """One forgery to make."""

    path: str  # relative to the folder that is written, POSIX
    parameters: ForgeryParameters  # of the clip
    donor: str  # name of the source whose face is shown; "" except for swaps


@dataclass(frozen=True, kw_only=True)
class Item:
    """A real video, its copy and its forgeries."""

    source: Source  # the video
    path: str  # of the copy, relative to the folder that is written, POSIX
    group: str  # of the copy and the forgeries
    crf: int  # of all of them
    forgeries: tuple[Forgery, ...]  # at least one


def make_plan(sources: Sequence[Source], facts: Sequence[Facts], config: ForgeConfig) -> list[Item]:
    """Draws what is made of each video; sources are sorted by name, facts are of their surveys."""
    spreads: list[int] = []
    wanted: list[list[tuple[Method, int]]] = []
    methods = cast(dict[Method, float], config.methods)
    for source in sources:
        rng = _rng(source, config)
        spreads.append(int(rng.integers(-config.crf_spread, config.crf_spread + 1)))
        # In this order, so that one more copy leaves those before it as they are.
        wanted.append(
            [(pick(rng, methods), int(rng.integers(2**32))) for _ in range(config.copies)]
        )
    swaps = [any(method == "swap" for method, _ in drawn) for drawn in wanted]
    donors, groups = _donors(sources, facts, swaps, config.swap_distance)
    items = []
    for place, (source, stem) in enumerate(zip(sources, _stems(sources), strict=True)):
        forgeries = []
        for copy, (method, seed) in enumerate(wanted[place], start=1):
            path, donor = f"fake/{stem}_{copy}.mp4", ""
            if method == "swap" and (found := donors[place]) is not None:
                donor = sources[found].name
            elif method == "swap":
                method = "blend"
            parameters = draw_parameters(seed, method)
            forgeries.append(Forgery(path=path, parameters=parameters, donor=donor))
        items.append(
            Item(
                source=source,
                path=f"real/{stem}.mp4",
                group=groups[place],
                crf=min(51, max(0, config.crf + spreads[place])),
                forgeries=tuple(forgeries),
            )
        )
    return items


def _rng(source: Source, config: ForgeConfig) -> np.random.Generator:
    """The video's own generator, independent of its name and of other videos."""
    digest = hashlib.sha256(f"{source.sha256} {config.seed}".encode()).digest()
    return np.random.default_rng(list(digest))


def _stems(sources: Sequence[Source]) -> list[str]:
    """Names without suffix; with it where two videos would have one name."""
    stems = [source.name.rpartition(".")[0] or source.name for source in sources]
    folded = Counter(stem.casefold() for stem in stems)
    return [
        source.name.replace(".", "_") if folded[stem.casefold()] > 1 else stem
        for source, stem in zip(sources, stems, strict=True)
    ]


def _donors(
    sources: Sequence[Source], facts: Sequence[Facts], swaps: Sequence[bool], limit: float
) -> tuple[list[int | None], list[str]]:
    """The index of each swap's donor, and each video's group afterwards."""
    groups = [source.group for source in sources]
    donors: list[int | None] = [None] * len(sources)
    if not any(swaps):
        return donors, groups
    cost = distances(facts)
    people, splits = np.asarray(groups), np.asarray([source.split for source in sources])
    cost[people[:, None] == people[None, :]] = np.inf
    cost[splits[:, None] != splits[None, :]] = np.inf
    cost[cost > limit] = np.inf
    # Videos without a split: groups are paired, the most similar first, whether they swap or not,
    # so that one more copy leaves the pairs as they are.
    partner: dict[str, str] = {}
    ones, others = np.nonzero(np.isfinite(cost) & (splits == "")[:, None])
    for place in np.argsort(cost[ones, others], kind="stable"):
        one, other = int(ones[place]), int(others[place])
        if groups[one] not in partner and groups[other] not in partner:
            partner |= {groups[one]: groups[other], groups[other]: groups[one]}
    for place, source in enumerate(sources):
        if not swaps[place]:
            continue
        allowed = cost[place].copy()
        if not source.split:
            mate = partner.get(source.group, "")
            allowed[people != mate] = np.inf
        best = int(np.argmin(allowed))
        if np.isfinite(allowed[best]):
            donors[place] = best
    # Only pairs with a swap become one group.
    shared = {
        frozenset((sources[place].group, sources[donor].group))
        for place, donor in enumerate(donors)
        if donor is not None and not sources[place].split
    }
    names = {group: min(pair) for pair in shared for group in pair}
    return donors, [names.get(group, group) for group in groups]


def distances(facts: Sequence[Facts]) -> NDArray[np.float64]:
    """How badly each face would be replaced by each other's, (N, N).

    By pose and shape, where each moment of the one is compared with the other's nearest; by skin;
    and by size, since enlarging a donor's face blurs it.
    """
    poses = [np.asarray(one.poses) for one in facts]
    starts = np.cumsum([0, *map(len, poses)])[:-1]
    every = np.concatenate(poses)
    shape = np.empty((len(facts), len(facts)))
    for place, own in enumerate(poses):
        nearest = np.minimum.reduceat(root_mean_squares(own, every), starts, axis=1)
        shape[place] = (nearest.mean(0) + nearest.max(0)) / 2
    skins = np.log(np.maximum(np.asarray([one.skin for one in facts]), 8.0))
    skin = root_mean_squares(skins, skins)
    sizes = np.log2(np.asarray([one.face_size for one in facts]))
    coarse = np.maximum(0, sizes[:, None] - sizes[None, :])
    return np.asarray((shape / SHAPE_UNIT + skin / SKIN_UNIT) / 2 + coarse)
