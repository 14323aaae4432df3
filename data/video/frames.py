"""The chosen frames of one video, whole: the recipe that chooses them, and reading them.

`data.video.frame_reader` gets the frames out of the file, `data.faces.crops` crops them to faces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from data.errors import ConfigError, StoreError, VideoError
from data.io.settings import Settings
from data.video.frame_reader import Choose, read_chosen
from data.video.picture import MEMORY_BYTES, Layout, Picture, Pictures, lay_out
from data.video.probe import VideoInfo
from data.video.sampling import choose_clips, choose_uniform

Policy = Literal["uniform", "clip"]
Crop = Literal["face", "full"]

RETIRED = ("faces",)
"""Keys of older recipes that no longer count: a forgery's face was once looked for in its original;
now every video is cropped at its own."""


class FrameRecipe(Settings):
    """Everything about frames that changes pixels; a part of each feature's key."""

    section: ClassVar[str] = "frames"

    # "uniform": frames evenly over the whole video; "clip": runs of consecutive frames.
    policy: Policy = "uniform"
    # T, the frames asked for; a shorter video gives all it has, each once.
    count: Annotated[int, Field(ge=1, le=4096)] = 32
    clip_length: Annotated[int, Field(ge=1, le=4096)] = 8  # frames of one run, for "clip"
    size: Annotated[int, Field(ge=32, le=1024)] = 224  # S, side of a crop in pixels
    # "face": the largest lasting face; "full": the middle square of the picture.
    crop: Crop = "face"
    # Side of the crop over side of the face, for "face".
    margin: Annotated[float, Field(ge=1, le=4)] = 1.3
    # The longer side of the frames in which faces are looked for and cropped, in pixels; larger
    # videos are scaled down to it.
    max_side: Annotated[int, Field(ge=64, le=8192)] = 1280
    minimum_frames: Annotated[int, Field(ge=1)] = 8  # fewer than this is a failure
    # K, how many views of each training video are embedded: the video as it is, and K - 1 augmented
    # ones. Others have one, as it is. It changes no view's key.
    views: Annotated[int, Field(ge=1, le=100)] = 1

    @model_validator(mode="after")
    def _fit_together(self) -> FrameRecipe:
        if self.minimum_frames > self.count:
            raise ValueError(
                f"frames.minimum_frames must be at most frames.count ({self.count}), "
                f"got {self.minimum_frames}"
            )
        if self.policy == "clip" and self.count % self.clip_length:
            raise ValueError(
                f"frames.count must be a multiple of frames.clip_length ({self.clip_length}), "
                f"got {self.count}"
            )
        side = self.max_side if self.crop == "face" else self.size
        if self.count * side * side * 3 > MEMORY_BYTES:
            raise ValueError(
                f"{self.count} frames of up to {side}x{side} pixels take more than "
                f"{MEMORY_BYTES >> 30} GiB; lower frames.count or frames.max_side"
            )
        if self.views * self.count * self.size * self.size * 3 > MEMORY_BYTES:
            raise ValueError(
                f"{self.views} views of {self.count} crops take more than "
                f"{MEMORY_BYTES >> 30} GiB; lower frames.views or frames.count"
            )
        return self

    def to_json(self) -> dict[str, Any]:
        """Plain values of what matters under these settings, for the recipe and its digest.

        Views are not among them: they have keys of their own.
        """
        facts = self.model_dump(exclude={"views"})
        if self.policy == "uniform":
            del facts["clip_length"]
        if self.crop == "full":
            del facts["margin"], facts["max_side"]
        return dict(sorted(facts.items()))

    @classmethod
    def from_json(cls, facts: Any) -> FrameRecipe:
        """Reads what `to_json` wrote, also in earlier versions.

        Raises:
            StoreError: it is something else.
        """
        try:
            return cls(**{key: value for key, value in facts.items() if key not in RETIRED})
        except (AttributeError, TypeError, ConfigError) as error:
            raise StoreError(f"no frames of this version of unmask: {error}") from error


@dataclass(frozen=True, kw_only=True)
class WholeFrames:
    """The chosen frames of one video, not cropped to a face."""

    # (T, H, W, 3) uint8 RGB, to follow faces on. Where the video changes its size, H and W are the
    # largest frame's, and each frame lies in the middle, its shape kept.
    pixels: NDArray[np.uint8]
    # (T,) float64 on the stream's own clock, exact, ascending.
    timestamps_seconds: NDArray[np.float64]
    # (T,) float64, from pixels of each frame as shown to those of `pictures`.
    scales: NDArray[np.float64]
    boxes: NDArray[np.float32]  # (T, 4) float32, the part of each frame as shown that was read
    shown: NDArray[np.int64]  # (T, 2) int64, width and height of each frame as shown
    pictures: Pictures  # each frame in its own size, to crop from; `pixels` where there is one size
    layout: Layout | None  # where they lie in `pixels`; None where each fills it


def read_whole(
    path: Path,
    info: VideoInfo,
    recipe: FrameRecipe,
    picture: Picture,
    *,
    when_read: Callable[[float], None] | None = None,
) -> WholeFrames:
    """Reads the chosen frames, not yet cropped to the face; arguments as of `read_chosen`.

    Raises:
        VideoError: with the class of the failure.
    """
    read = read_chosen(path, info, chooser(info, recipe), picture, when_read=when_read)
    pixels, layout = lay_out(read.pixels)
    return WholeFrames(
        pixels=pixels,
        timestamps_seconds=read.timestamps_seconds,
        scales=np.asarray([picture.scale(*size) for size in read.shown.tolist()]),
        boxes=picture.seen(read.shown),
        shown=read.shown,
        pictures=pixels if layout is None else read.pixels,
        layout=layout,
    )


def read_pixels(
    path: Path, info: VideoInfo, recipe: FrameRecipe, picture: Picture
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """As `read_whole`: pixels (T, H, W, 3) uint8 RGB and times (T,) float64 seconds alone."""
    read = read_whole(path, info, recipe, picture)
    return read.pixels, read.timestamps_seconds


def least_frames(info: VideoInfo, recipe: FrameRecipe) -> int:
    """Frames that a sequence must have: one of an image, which has no more."""
    return 1 if info.kind == "image" else recipe.minimum_frames


def chooser(info: VideoInfo, recipe: FrameRecipe) -> Choose:
    """`choose` with this recipe, for a video, a folder of frames or an image."""
    return partial(choose, recipe=recipe.replace(minimum_frames=least_frames(info, recipe)))


def choose(times: NDArray[np.float64], recipe: FrameRecipe) -> NDArray[np.int64]:
    """Applies the recipe's policy to a video's frame times; (T,) int64 frame numbers.

    Raises:
        VideoError: too_few_frames.
    """
    if len(times) < recipe.minimum_frames:
        raise VideoError(
            "too_few_frames",
            f"it has {len(times)} frames, frames.minimum_frames asks for {recipe.minimum_frames}",
        )
    if recipe.policy == "uniform":
        return choose_uniform(times, recipe.count)
    return choose_clips(len(times), recipe.count, recipe.clip_length)
