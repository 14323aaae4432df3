"""Draws the parameters of self-made forgeries, from hard to see to plain.

Artefacts are drawn independently, so that a detector cannot learn a single one of them (Shiohara
and Yamasaki, 2022, section 3.2, extended over time).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from data.self_blending.clip.parameters import ForgeryParameters, Method, Region

T = TypeVar("T")

REGIONS: dict[Method, dict[Region, float]] = {
    "blend": {"face": 3, "no_forehead": 3, "inner": 2.5, "lower": 1, "mouth": 0.5, "eyes": 0.5},
    "swap": {"face": 0.7, "no_forehead": 4, "inner": 4},
    "reenact": {"lower": 4, "mouth": 2, "eyes": 0.7, "no_forehead": 2, "face": 1},
    "rebuild": {"face": 3, "no_forehead": 3, "inner": 3},
}
"""Weight of each region under each method."""
FEWEST_SIGNS = {"blend": 2, "rebuild": 2, "swap": 1, "reenact": 1}
"""Of colour, detail and place: with fewer, a forgery would be a real clip under the wrong label."""


def draw_parameters(seed: int, method: Method | None = None) -> ForgeryParameters:
    """Draws how one clip is forged; the same for the same seed and method.

    Args:
        seed: 0 to 2**32 - 1.
        method: None draws one that needs no donor.
    """
    rng = np.random.default_rng((seed, 11))
    alone: dict[Method, float] = {"blend": 5.0, "reenact": 2.5, "rebuild": 2.5}
    drawn = pick(rng, alone)
    method = method or drawn
    strength = round(float(rng.uniform(0.25, 1.0)), 3)
    region = pick(rng, REGIONS[method])
    # The smaller the region, the fewer pixels show an artefact: it is stronger there.
    power = min(1.0, strength * (1.35 if region in ("mouth", "eyes") else 1.0))
    made = ForgeryParameters(seed=seed, method=method, strength=strength, region=region)
    made = replace(made, **_mask(rng, made, power))
    kinds = {"colour": _colour, "detail": _detail, "place": _place}
    chances = {
        "blend": {"colour": 0.75, "detail": 0.65, "place": 0.6},
        "swap": {"colour": 0.5, "detail": 0.6, "place": 0.3},
        "reenact": {"colour": 0.35, "detail": 0.6, "place": 0.3},
        "rebuild": {"colour": 0.4, "detail": 1.0, "place": 0.35},
    }[method]
    shown = {name for name in kinds if rng.random() < chances[name]}
    for name in rng.permutation(list(kinds)):
        if len(shown) < FEWEST_SIGNS[method]:
            shown.add(str(name))
    for name, draw in kinds.items():
        child = rng.spawn(1)[0]  # its own, so that a change of one leaves the others as they were
        if name in shown:
            made = replace(made, **draw(child, made, power))
    made = replace(made, **_time(rng, made, power))
    if method in ("swap", "reenact"):
        made = replace(made, expression=_u(rng, 0.6, 1.0))
    if method == "swap":
        made = replace(made, matching=pick(rng, {"light": 3, "mean": 2}))
    elif rng.random() < 0.12:
        made = replace(made, matching="light")
    return made


def pick(rng: np.random.Generator, weights: dict[T, float]) -> T:
    """Draws a key by its weight."""
    keys = list(weights)
    shares = np.asarray(list(weights.values()), float)
    return keys[int(rng.choice(len(keys), p=shares / shares.sum()))]


def _u(rng: np.random.Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 4)


def _either(rng: np.random.Generator, low: float, high: float) -> float:
    """A size between low and high, of either sign."""
    return round(float(rng.choice([-1, 1]) * rng.uniform(low, high)), 4)


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    red, green, blue = (round(value, 4) for value in values.tolist())
    return red, green, blue


def _mask(rng: np.random.Generator, made: ForgeryParameters, power: float) -> dict[str, Any]:
    small = made.region in ("mouth", "eyes", "lower")
    swap = made.method == "swap"  # outside the donor's face there is the donor's hair
    return {
        "grow": _u(rng, -0.06, -0.01) if swap else _u(rng, -0.05, 0.05 if small else 0.03),
        "ragged": _u(rng, 0.0, 0.05),
        "softness": round(float(np.exp(rng.uniform(np.log(0.008), np.log(0.075)))), 4),
        "edge_inside": bool(rng.random() < 0.4),
        # Shiohara and Yamasaki's ratios, without the faintest, which video coding would erase.
        "ratio": 1.0 if swap or power < 0.5 else float(rng.choice([1.0, 1.0, 1.0, 0.85, 0.7])),
    }


def _colour(rng: np.random.Generator, made: ForgeryParameters, power: float) -> dict[str, Any]:
    tint = rng.standard_normal(3)
    tint /= np.linalg.norm(tint)
    return {
        "gain": _triple(1 + rng.normal(0, 0.022 * power, 3)),
        "offset": _triple(tint * (2 + 6.5 * power * rng.uniform(0.3, 1.0))),
        "contrast": round(1 + _either(rng, 0.0, 0.11 * power), 4),
        "saturation": round(1 + _either(rng, 0.02, 0.04 + 0.2 * power), 4),
        "gamma": round(1 + _either(rng, 0.0, 0.1 * power), 4),
    }


def _detail(rng: np.random.Generator, made: ForgeryParameters, power: float) -> dict[str, Any]:
    if made.method == "rebuild":
        return {
            "shrink": _u(rng, 1.2, 1.5 + 1.3 * power),
            "filter": pick(rng, {"bicubic": 3, "bilinear": 2, "nearest": 0.5, "lanczos": 2}),
            "sharpen_percent": _u(rng, 20, 110) if rng.random() < 0.6 else 0.0,
            "smooth_skin": _u(rng, 0.3, 0.9),
            "grid": _u(rng, 0.6, 1.0 + 2.2 * power) if rng.random() < 0.5 else 0.0,
            "grid_pixels": int(rng.choice([2, 2, 4, 8])),
            "noise": _u(rng, 0.5, 2.5) if rng.random() < 0.25 else 0.0,
            "jpeg_quality": int(rng.integers(55, 92)) if rng.random() < 0.2 else 0,
        }
    kind = pick(rng, {"shrink": 3, "blur": 2, "sharpen": 2, "jpeg": 1.5, "skin": 1.5, "noise": 1})
    found: dict[str, Any] = {
        "filter": pick(rng, {"bicubic": 3, "bilinear": 3, "lanczos": 1.5, "box": 0.7}),
        "warp_bicubic": bool(rng.random() < 0.3),
    }
    if kind == "shrink":
        found["shrink"] = _u(rng, 1.25, 1.6 + 1.6 * power)
        if rng.random() < 0.4:
            found["sharpen_percent"] = _u(rng, 20, 90)
    elif kind == "blur":
        found["blur"] = _u(rng, 0.6, 0.9 + 1.1 * power)
    elif kind == "sharpen":
        found["sharpen_percent"] = _u(rng, 35, 60 + 100 * power)
    elif kind == "jpeg":
        found["jpeg_quality"] = int(rng.integers(80 - int(50 * power), 85))
    elif kind == "skin":
        found["smooth_skin"] = _u(rng, 0.4, 0.6 + 0.4 * power)
    else:
        found["noise"] = _u(rng, 1.2, 2.0 + 2.5 * power)
    return found


def _place(rng: np.random.Generator, made: ForgeryParameters, power: float) -> dict[str, Any]:
    return {
        "shift_x": _either(rng, 0.004, 0.01 + 0.02 * power),
        "shift_y": _either(rng, 0.004, 0.01 + 0.02 * power),
        "turn_degrees": _either(rng, 0.0, 2.0 * power),
        "scale_x": round(1 + _either(rng, 0.005, 0.015 + 0.03 * power), 4),
        "scale_y": round(1 + _either(rng, 0.005, 0.015 + 0.03 * power), 4),
        "elastic": _u(rng, 0.004, 0.008 + 0.022 * power),
    }


def _time(rng: np.random.Generator, made: ForgeryParameters, power: float) -> dict[str, Any]:
    """Artefacts over time; each clip has some."""

    def maybe(chance: float, low: float, high: float) -> float:
        value = _u(rng, low, high)
        return value if rng.random() < chance else 0.0

    own = made.method in ("blend", "rebuild")
    eyes = {"own": 1.0} if made.region in ("lower", "mouth") else None
    eyes = eyes or {"own": 7.0, "frozen": 1.6 if own else 0.4, "repeated": 1.0 if own else 0.2}
    return {
        "pace": pick(rng, {"smooth": 1, "jittery": 1, "both": 1}),
        "mask_jitter": maybe(0.5, 0.002, 0.004 + 0.012 * power),
        "face_jitter": maybe(0.5, 0.001, 0.003 + 0.009 * power),
        "turn_jitter_degrees": maybe(0.35, 0.1, 0.2 + 0.8 * power),
        "flicker": maybe(0.4, 0.4, 0.8 + 3.0 * power),
        "colour_flicker": maybe(0.3, 0.3, 0.6 + 1.8 * power),
        "blur_flicker": maybe(0.3, 0.1, 0.6),
        "drift": maybe(0.25, 0.005, 0.01 + 0.03 * power),
        "lag_seconds": maybe(0.2, 0.03, 0.12) if own else 0.0,
        "hold_seconds": maybe(0.12, 0.06, 0.14),
        "memory": maybe(0.7 if made.method == "rebuild" else 0.12, 0.25, 0.6),
        "eyes": pick(rng, eyes),
        "missing": maybe(0.06, 0.02, 0.08),
    }
