"""The parameters of one self-made forgery: drawn once per clip, written as one row of a table.

After Shiohara and Yamasaki (2022), "Detecting Deepfakes with Self-Blended Images", extended over
time. Lengths are shares of the face's size, so that a forgery looks the same in a small and in a
large face.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, get_args

Method = Literal["blend", "swap", "reenact", "rebuild"]
METHODS: tuple[Method, ...] = get_args(Method)
"""blend: the face upon itself, changed in colour, sharpness and place; swap: another person's face
of similar shape; reenact: the same person's expression of another moment; rebuild: the same face
through a bottleneck of detail, as a generator leaves it."""
Region = Literal["face", "no_forehead", "inner", "lower", "mouth", "eyes"]
Matching = Literal["none", "mean", "light"]
Pace = Literal["smooth", "jittery", "both"]
Eyes = Literal["own", "frozen", "repeated"]
Filter = Literal["nearest", "bilinear", "bicubic", "lanczos", "box"]


@dataclass(frozen=True, kw_only=True)
class ForgeryParameters:
    """How one clip is forged. Lengths are shares of the face's size, grey levels are of 255."""

    seed: int  # of all that is drawn while forging: outlines, noise, motion
    method: Method
    strength: float  # 0.25 hard to see to 1 plain; the other values were drawn around it
    region: Region  # which part of the face is forged
    # The mask.
    grow: float = 0.0  # beyond its region; negative shrinks it
    ragged: float = 0.0  # how far its outline is deformed
    softness: float = 0.03  # standard deviation of its edge
    edge_inside: bool = False  # the edge fades within the outline only, not half outside
    ratio: float = 1.0  # blending ratio; 1 shows the forged face alone
    # Where the forged face lies.
    shift_x: float = 0.0
    shift_y: float = 0.0
    turn_degrees: float = 0.0
    scale_x: float = 1.0
    scale_y: float = 1.0
    elastic: float = 0.0  # smooth deformation
    expression: float = 0.0  # share of the other moment's expression; of reenact and swap
    # Its colours.
    matching: Matching = "none"  # not fitted, by mean and spread, or by the light (gradient-domain)
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)  # factors on red, green and blue
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)  # added to them, grey levels
    contrast: float = 1.0  # factor about the middle grey
    saturation: float = 1.0  # factor on the distance from grey
    gamma: float = 1.0  # exponent of the tone curve
    # Its detail.
    shrink: float = 1.0  # factor by which the resolution is lowered; 1 keeps it
    filter: Filter = "bicubic"  # of the enlargement that follows
    warp_bicubic: bool = False  # the filter of the warp is bicubic, not bilinear
    blur: float = 0.0  # standard deviation in pixels at a face of 160 pixels
    sharpen_percent: float = 0.0  # of an unsharp mask
    jpeg_quality: int = 0  # of a compression of its own; 0 is none
    smooth_skin: float = 0.0  # share of fine texture that is lost, edges kept
    noise: float = 0.0  # standard deviation of added noise, grey levels
    grid: float = 0.0  # amplitude of a fine grid as upsampling layers leave it, grey levels
    grid_pixels: int = 2  # its period
    # Changes over time.
    pace: Pace = "smooth"  # of the jitter and flicker below
    mask_jitter: float = 0.0  # of the outline's place
    face_jitter: float = 0.0  # of the forged face's place
    turn_jitter_degrees: float = 0.0
    flicker: float = 0.0  # of the brightness, grey levels
    colour_flicker: float = 0.0  # of the colours, grey levels
    blur_flicker: float = 0.0  # share of the blur
    drift: float = 0.0  # of the place, from the clip's start to its end
    lag_seconds: float = 0.0  # by how much the expression is late
    hold_seconds: float = 0.0  # how long each picture of the forged face is shown
    memory: float = 0.0  # share of the last forged picture in the next
    eyes: Eyes = "own"  # or frozen at one moment, or a short run repeated
    missing: float = 0.0  # share of frames in which the forgery fails and the true face shows

    def to_row(self) -> dict[str, str]:
        """The values as cells of a CSV; triples are separated by blanks."""
        return {
            name: " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            for name, value in asdict(self).items()
        }
