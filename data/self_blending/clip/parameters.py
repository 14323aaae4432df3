"""What one self-made forgery is like: drawn once per clip, written as one row of a table.

After Shiohara and Yamasaki (2022), "Detecting Deepfakes with Self-Blended Images", extended over
time. `drawing` draws them. Lengths are shares of the face's size, so that a forgery
looks alike in a small and in a large face.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, get_args

Method = Literal["blend", "swap", "reenact", "rebuild"]
METHODS: tuple[Method, ...] = get_args(Method)
"""blend: the face upon itself, changed in colour, sharpness and place; swap: another person's face
of like shape; reenact: the same person's expression of another moment; rebuild: the same face
through a bottleneck of detail, as a generator leaves it."""
Region = Literal["face", "no_forehead", "inner", "lower", "mouth", "eyes"]
Matching = Literal["none", "mean", "light"]
Pace = Literal["smooth", "jittery", "both"]
Eyes = Literal["own", "frozen", "repeated"]
Filter = Literal["nearest", "bilinear", "bicubic", "lanczos", "box"]


@dataclass(frozen=True, kw_only=True)
class ForgeryParameters:
    """How one clip is forged.

    Attributes:
        seed: of all that is drawn while forging: outlines, noise, motion.
        method: see METHODS.
        strength: 0.25 hard to see to 1 plain; the other values were drawn around it.
        region: which part of the face is forged.
        grow: the mask beyond its region, share of the face; negative shrinks it.
        ragged: how far its outline is deformed, share of the face.
        softness: standard deviation of its edge, share of the face.
        edge_inside: the edge fades within the outline only, not half outside.
        ratio: blending ratio; 1 shows the forged face alone.
        shift_x: of the forged face, share of the face.
        shift_y: likewise, downwards.
        turn_degrees: of the forged face.
        scale_x: of the forged face.
        scale_y: likewise.
        elastic: its smooth deformation, share of the face.
        expression: how much of the other moment's expression is taken over; reenact and swap.
        matching: how its colours are fitted: not at all, by mean and spread, or by the light, as a
            blending of gradients does.
        gain: factors on red, green and blue.
        offset: added to red, green and blue, grey levels of 255.
        contrast: factor about the middle grey.
        saturation: factor on the distance from grey.
        gamma: exponent of the tone curve.
        shrink: factor by which its resolution is lowered; 1 keeps it.
        filter: how it is enlarged again.
        warp_bicubic: the filter of the warp is bicubic, not bilinear.
        blur: standard deviation in pixels at a face of 160 pixels.
        sharpen_percent: of an unsharp mask.
        jpeg_quality: of a compression of its own; 0 is none.
        smooth_skin: share of fine texture that is lost, edges kept.
        noise: standard deviation of added noise, grey levels.
        grid: amplitude of a fine grid as upsampling layers leave it, grey levels.
        grid_pixels: its period.
        pace: how the values below change over time: smoothly, from frame to frame, or both.
        mask_jitter: of the outline's place, share of the face.
        face_jitter: of the forged face's place, share of the face.
        turn_jitter_degrees: of its roll.
        flicker: of its brightness, grey levels.
        colour_flicker: of its colours, grey levels.
        blur_flicker: of its blur, share.
        drift: of its place, from the clip's start to its end, share of the face.
        lag_seconds: by how much its expression is late.
        hold_seconds: how long each of its pictures stands.
        memory: share of the last forged picture in the next: motion and noise average out.
        eyes: its own; frozen at one moment; or a short run repeated.
        missing: share of frames in which the forgery fails and the true face shows.
    """

    seed: int
    method: Method
    strength: float
    region: Region
    grow: float = 0.0
    ragged: float = 0.0
    softness: float = 0.03
    edge_inside: bool = False
    ratio: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    turn_degrees: float = 0.0
    scale_x: float = 1.0
    scale_y: float = 1.0
    elastic: float = 0.0
    expression: float = 0.0
    matching: Matching = "none"
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    contrast: float = 1.0
    saturation: float = 1.0
    gamma: float = 1.0
    shrink: float = 1.0
    filter: Filter = "bicubic"
    warp_bicubic: bool = False
    blur: float = 0.0
    sharpen_percent: float = 0.0
    jpeg_quality: int = 0
    smooth_skin: float = 0.0
    noise: float = 0.0
    grid: float = 0.0
    grid_pixels: int = 2
    pace: Pace = "smooth"
    mask_jitter: float = 0.0
    face_jitter: float = 0.0
    turn_jitter_degrees: float = 0.0
    flicker: float = 0.0
    colour_flicker: float = 0.0
    blur_flicker: float = 0.0
    drift: float = 0.0
    lag_seconds: float = 0.0
    hold_seconds: float = 0.0
    memory: float = 0.0
    eyes: Eyes = "own"
    missing: float = 0.0

    def to_row(self) -> dict[str, str]:
        """The values as cells of a CSV; triples are separated by blanks."""
        return {
            name: " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            for name, value in asdict(self).items()
        }
