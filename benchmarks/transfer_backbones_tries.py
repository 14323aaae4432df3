"""The tries of benchmarks/transfer_backbones.py: which layer of which network, on which view.

docs/transfer.md has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from models.configs import Statistic

VIEWS: dict[str, tuple[str, Any]] = {
    "224": ("224", ""),
    "320": ("320", ""),
    "160": ("320", ("size", 160)),
    "128": ("224", ("size", 128)),
    "flip": ("224", "flip"),
    **{f"shift {y} {x}": ("256", ("shift", y, x)) for y in (0, 32) for x in (0, 32)},
    "change": ("224", "change"),
    "runs": ("runs", ""),
}
"""Name -> crops it is made of, and how: "flip"; a side in pixels; 224 px out of a wider crop,
shifted by a seventh of it; "change", the next frame minus this one; consecutive frames."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one linear model reads."""

    network: str  # "thin", "lite0" to "lite2", "faceres", "antispoof", "box", or of --onnx
    view: str = "224"
    layer: str = ""
    statistics: tuple[Statistic, ...] = ("mean", "deviation")
    mean_share: float = 0.5  # factor of the standardised mean beside the deviation
    normalised: bool = True  # each frame by LayerNorm and L2, first
    # "amount": the logarithm of each statistic's average, one number; "relative": logarithms minus
    # their average, so that it says nothing of the amount
    form: Literal["", "amount", "relative"] = ""
    without: Part | None = None  # columns that are regressed out, over real clips


@dataclass(frozen=True, kw_only=True)
class Try:
    """Linear models whose scores are averaged."""

    name: str
    parts: tuple[Part, ...]
    # the statistics of these views instead of one, averaged: of `parts`' only one
    views: tuple[str, ...] = ()
    sphere: bool = False  # a projection to a sphere instead of a line (`transfer_sphere`)


def thin(layer: str, view: str = "224", **more: Any) -> Part:
    return Part(network="thin", view=view, layer=layer, **more)


DEFAULT = thin("s5.mean")
AMOUNT = thin("s5.mean", statistics=("deviation",), form="amount")
BOX = Part(network="box")
STAGE4 = thin("s4.std")
STAGE4_320, LAST_320 = thin("s4.std", "320"), thin("s5.mean", "320")
RUNS = thin("s3.std", "runs", statistics=("deviation",))
CHANGE = thin("s4.std", "change")
LITE1 = Part(network="lite1", view="320", layer="b4.std")
LITE2 = Part(network="lite2", layer="b4.std")
FACES, FACES_MID = (Part(network="faceres", layer=f"{one}.mean") for one in ("last", "mid"))
SHIFTS = tuple(view for view in VIEWS if view.startswith("shift"))


def only_mean(part: Part) -> Part:
    return replace(part, statistics=("mean",))


def only_deviation(part: Part) -> Part:
    return replace(part, statistics=("deviation",))


def relative(part: Part) -> Part:
    return replace(only_deviation(part), form="relative")


MOTION = "how much a face moves, two numbers"
"""Those that `evaluate --hold-out` shows beside the heads."""

SINGLE = {
    MOTION: thin("s5.mean", statistics=("deviation", "steps"), form="amount"),
    "how much a face moves, one number": AMOUNT,
    "movement of the face's box, and its size": BOX,
    "the default": DEFAULT,
    "the default without movement and size of the box": replace(DEFAULT, without=BOX),
    "deviation, relative": relative(DEFAULT),
    "deviation without the amount of motion": replace(only_deviation(DEFAULT), without=AMOUNT),
    **{
        f"stage {stage}, {name} of the map": thin(f"s{stage}.{kind}")
        for stage in (2, 3, 4, 5)
        for kind, name in (("mean", "mean"), ("std", "deviation"))
        if (stage, kind) != (5, "mean")
    },
    "stage 4, deviation of the map, relative": relative(STAGE4),
    "160 px": thin("s5.mean", "160"),
    "160 px, stage 4, deviation of the map": thin("s4.std", "160"),
    "320 px": LAST_320,
    "320 px, stage 4, deviation of the map": STAGE4_320,
    "320 px, stage 5, deviation of the map": thin("s5.std", "320"),
    "changes between frames": thin("s5.mean", "change"),
    "changes, stage 4, deviation of the map": CHANGE,
    "changes, stage 4, the mean alone": only_mean(CHANGE),
    "consecutive frames, deviation": only_deviation(thin("s5.mean", "runs")),
    "consecutive frames, steps": thin("s5.mean", "runs", statistics=("steps",)),
    "consecutive frames, stage 4, deviation": only_deviation(thin("s4.std", "runs")),
    "consecutive frames, stage 3, deviation": RUNS,
    "EfficientNet-Lite0, block 5": Part(network="lite0", layer="b4.std"),
    "EfficientNet-Lite0, last": Part(network="lite0", layer="last.mean"),
    "EfficientNet-Lite1, block 5": replace(LITE1, view="224"),
    "EfficientNet-Lite1, last": replace(LITE1, view="224", layer="last.mean"),
    "EfficientNet-Lite1, 320 px, block 5": LITE1,
    "EfficientNet-Lite1, 320 px, last": replace(LITE1, layer="last.mean"),
    "EfficientNet-Lite2, block 5": LITE2,
    "EfficientNet-Lite2, last": replace(LITE2, layer="last.mean"),
    "faces, last": FACES,
    "faces, last, the mean alone": only_mean(FACES),
    "faces, last, without motion": replace(FACES, without=AMOUNT),
    "faces, block 11": FACES_MID,
    "faces, block 11, the mean alone": only_mean(FACES_MID),
    "faces, block 11, deviation of the map": replace(FACES_MID, layer="mid.std"),
    "against photographs, last map": Part(network="antispoof", view="128", layer="map.std"),
    "SSCD, ResNet50": Part(network="sscd", layer="embedding"),
    "SSCD, distilled": Part(network="sscd_distilled", layer="embedding"),
}

AVERAGES = {
    "relative, and amount of motion": (relative(DEFAULT), AMOUNT),
    "the default, and movement of the box": (DEFAULT, BOX),
    "224 and 320 px": (DEFAULT, LAST_320),
    "224 and 160 and 320 px": (DEFAULT, thin("s5.mean", "160"), LAST_320),
    "stages 2, 3, 4, 5": (*(thin(f"s{one}.mean") for one in (2, 3, 4)), DEFAULT),
    "stages 5, 4 (deviation of the map)": (DEFAULT, STAGE4),
    "the same, 224 and 320 px": (DEFAULT, STAGE4, LAST_320, STAGE4_320),
    "the default, changes": (DEFAULT, CHANGE),
    "stage 4, changes": (STAGE4, CHANGE),
    "the default, consecutive frames": (DEFAULT, RUNS),
    "stages 5, 4, consecutive frames": (DEFAULT, STAGE4, RUNS),
    "the default, Lite1": (DEFAULT, LITE1),
    "Lite1, Lite2": (LITE1, LITE2),
    "Lite1, changes": (LITE1, CHANGE),
    "the default, faces": (DEFAULT, FACES),
    "the default, faces, consecutive frames": (DEFAULT, FACES, RUNS),
    "amount of motion, faces (the mean alone)": (AMOUNT, only_mean(FACES_MID)),
    "the default, changes, faces": (DEFAULT, CHANGE, FACES),
    "Lite1, changes, faces": (LITE1, CHANGE, FACES),
    "Lite1, changes, faces, consecutive frames": (LITE1, CHANGE, FACES, RUNS),
    "Lite1, Lite2, changes, faces": (LITE1, LITE2, CHANGE, FACES),
    "the default, stage 4, Lite1, Lite2, changes, faces, consecutive frames": (
        DEFAULT, STAGE4, LITE1, LITE2, CHANGE, FACES, RUNS,
    ),
    "the default, SSCD": (DEFAULT, Part(network="sscd", layer="embedding")),
}  # fmt: skip

TRIES = (
    *(Try(name=name, parts=(part,)) for name, part in SINGLE.items()),
    Try(name="and flipped", parts=(DEFAULT,), views=("224", "flip")),
    Try(name="and shifted by a seventh", parts=(DEFAULT,), views=("224", *SHIFTS)),
    Try(name="flipped and shifted", parts=(DEFAULT,), views=("224", "flip", *SHIFTS)),
    Try(name="on a sphere: the default", parts=(DEFAULT,), sphere=True),
    Try(name="on a sphere: the mean alone", parts=(only_mean(DEFAULT),), sphere=True),
    Try(name="on a sphere: faces, last", parts=(FACES,), sphere=True),
    Try(name="on a sphere: Lite1, 320 px, block 5", parts=(LITE1,), sphere=True),
    *(Try(name=f"average: {name}", parts=parts) for name, parts in AVERAGES.items()),
)
