"""Chosen frames of one video as face crops: from a file to (T, S, S, 3) pixels.

The choice rests on the packets that are there, never on a header's frame count. Selecting and
scaling happen inside ffmpeg, so that only wanted pixels cross the pipe; a long video is entered at
the frames' own places instead of being decoded whole. Memory grows with the frames asked for, not
with the length of the video.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from data.errors import ConfigError, StoreError, VideoError
from data.ffmpeg import decode
from data.probe import Packets, VideoInfo, probe, read_packets
from data.sampling import choose_clips, choose_uniform, runs_of

Policy = Literal["uniform", "clip"]
Crop = Literal["face", "full"]

SCALE_FLAGS = "bicubic+accurate_rnd+full_chroma_int+bitexact"
WHOLE_SHARE = 0.9
"""A video with less than this share of its promised frames counts as truncated."""
SEEK_COST_FRAMES = 40
"""What starting ffmpeg costs, in decoded frames of 640x360: 0.1 s."""
SEEK_GAIN = 0.5
"""Entering a video at its chosen frames must cost at most this share of decoding it through."""
MEMORY_BYTES = 4 << 30
LEAST_BIT_RATE = 1000
RETIRED = ("faces",)
"""Keys of older recipes that count no more: a forgery's face was once looked for in its original;
every video is cropped at its own."""


@dataclass(frozen=True, kw_only=True)
class FrameRecipe:
    """Everything about frames that changes pixels; a part of each feature's key.

    Attributes:
        policy: "uniform": frames evenly over the whole video; "clip": runs of consecutive frames.
        count: T, the frames asked for; a shorter video gives all it has, each once.
        clip_length: frames of one run, for "clip".
        size: S, side of a crop in pixels.
        crop: "face": the largest lasting face; "full": the middle square of the picture.
        margin: side of the crop over side of the face, for "face".
        max_side: the longer side of the frames in which faces are looked for and cropped, in
            pixels; larger videos are scaled down to it.
        minimum_frames: fewer than this is a failure.
        views: K, how many views of each training video are embedded: the video as it is, and
            K - 1 augmented ones. Others have one, as it is. It changes no view's key.

    Raises:
        ConfigError: if a value is out of range.
    """

    policy: Policy = "uniform"
    count: int = 32
    clip_length: int = 8
    size: int = 224
    crop: Crop = "face"
    margin: float = 1.3
    max_side: int = 1280
    minimum_frames: int = 8
    views: int = 1

    def __post_init__(self) -> None:
        _check("count", self.count, 1, 4096)
        _check("clip_length", self.clip_length, 1, 4096)
        _check("size", self.size, 32, 1024)
        _check("margin", self.margin, 1.0, 4.0)
        _check("max_side", self.max_side, 64, 8192)
        _check("minimum_frames", self.minimum_frames, 1, self.count)
        _check("views", self.views, 1, 100)
        if self.policy not in ("uniform", "clip"):
            raise ConfigError(f"frames.policy must be uniform or clip, got {self.policy!r}")
        if self.crop not in ("face", "full"):
            raise ConfigError(f"frames.crop must be face or full, got {self.crop!r}")
        if self.policy == "clip" and self.count % self.clip_length:
            raise ConfigError(
                f"frames.count must be a multiple of frames.clip_length ({self.clip_length}), "
                f"got {self.count}"
            )
        side = self.max_side if self.crop == "face" else self.size
        if self.count * side * side * 3 > MEMORY_BYTES:
            raise ConfigError(
                f"{self.count} frames of up to {side}x{side} pixels take more than "
                f"{MEMORY_BYTES >> 30} GiB; lower frames.count or frames.max_side"
            )
        if self.views * self.count * self.size * self.size * 3 > MEMORY_BYTES:
            raise ConfigError(
                f"{self.views} views of {self.count} crops take more than "
                f"{MEMORY_BYTES >> 30} GiB; lower frames.views or frames.count"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values of what matters under these settings, for the recipe and its digest.

        Views are not among them: they have keys of their own.
        """
        facts = asdict(self)
        del facts["views"]
        if self.policy == "uniform":
            del facts["clip_length"]
        if self.crop == "full":
            del facts["margin"], facts["max_side"]
        return dict(sorted(facts.items()))

    @classmethod
    def from_json(cls, facts: Any) -> FrameRecipe:
        """Reads what `to_json` gave, of earlier versions too, which could also tell `faces`.

        Raises:
            StoreError: it is something else.
        """
        try:
            return cls(**{key: value for key, value in facts.items() if key not in RETIRED})
        except (AttributeError, TypeError, ConfigError) as error:
            raise StoreError(f"no frames of this version of unmask: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Frames:
    """The chosen frames of one video.

    Attributes:
        pixels: (T, S, S, 3) uint8 RGB.
        timestamps_seconds: (T,) float64 on the stream's own clock, exact.
        boxes: (T, 4) float32, x0, y0, x1, y1 of each crop in pixels of the video as shown.
        face_found: (T,) bool; whether the detector saw the face in this very frame.
    """

    pixels: NDArray[np.uint8]
    timestamps_seconds: NDArray[np.float64]
    boxes: NDArray[np.float32]
    face_found: NDArray[np.bool_]


class FaceTrack(Protocol):
    """One face over time: `boxes` (T, 4) float32 without margin, `found` (T,) bool."""

    @property
    def boxes(self) -> NDArray[np.float32]: ...
    @property
    def found(self) -> NDArray[np.bool_]: ...


class FaceFollower(Protocol):
    """What `read_frames` needs of `data.faces.FaceFinder`."""

    def follow(
        self, frames: NDArray[np.uint8], timestamps_seconds: NDArray[np.float64]
    ) -> FaceTrack: ...


@dataclass(frozen=True, kw_only=True)
class Picture:
    """How ffmpeg delivers frames: filters, their size, and how to get back to shown pixels."""

    chain: list[tuple[str, dict[str, Any]]]
    width: int
    height: int
    scale: float
    left: float = 0.0
    top: float = 0.0


def read_frames(
    path: Path,
    recipe: FrameRecipe,
    *,
    faces: FaceFollower | None = None,
    threads: int = 1,
) -> Frames:
    """Reads the chosen frames of one video as crops.

    Args:
        path: the video.
        recipe: which frames, which crop.
        faces: follows the face; needed where `recipe.crop` is "face".
        threads: of the decoder.

    Raises:
        VideoError: with the class of the failure.
    """
    info = probe(path)
    if recipe.crop == "full":
        picture = square_picture(info, recipe.size)
        pixels, timestamps = read_pixels(path, info, recipe, picture, threads=threads)
        side = recipe.size / picture.scale
        box = (picture.left, picture.top, picture.left + side, picture.top + side)
        return Frames(
            pixels=pixels,
            timestamps_seconds=timestamps,
            boxes=np.tile(np.asarray(box, np.float32), (len(pixels), 1)),
            face_found=np.zeros(len(pixels), bool),
        )
    if faces is None:
        raise ValueError("a face crop needs a face finder")
    from data.faces import crop_faces

    picture = whole_picture(info, recipe.max_side)
    whole, timestamps = read_pixels(path, info, recipe, picture, threads=threads)
    track = faces.follow(whole, timestamps)
    pixels, boxes = crop_faces(whole, track.boxes, margin=recipe.margin, size=recipe.size)
    return Frames(
        pixels=pixels,
        timestamps_seconds=timestamps,
        boxes=(boxes / picture.scale).astype(np.float32),
        face_found=track.found,
    )


def whole_picture(info: VideoInfo, max_side: int) -> Picture:
    """The whole frame, its longer side at most `max_side`."""
    scale = min(1.0, max_side / max(info.width, info.height))
    width, height = max(1, round(info.width * scale)), max(1, round(info.height * scale))
    chain = [("scale", {"w": width, "h": height, "flags": SCALE_FLAGS})]
    return Picture(chain=chain, width=width, height=height, scale=scale)


def square_picture(info: VideoInfo, size: int) -> Picture:
    """The middle square of the frame, scaled to `size`."""
    scale = size / min(info.width, info.height)
    width, height = max(size, round(info.width * scale)), max(size, round(info.height * scale))
    left, top = (width - size) // 2, (height - size) // 2
    chain: list[tuple[str, dict[str, Any]]] = [
        ("scale", {"w": width, "h": height, "flags": SCALE_FLAGS}),
        ("crop", {"w": size, "h": size, "x": left, "y": top}),
    ]
    return Picture(
        chain=chain, width=size, height=size, scale=scale, left=left / scale, top=top / scale
    )


def read_pixels(
    path: Path, info: VideoInfo, recipe: FrameRecipe, picture: Picture, *, threads: int = 1
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Reads the chosen frames, not yet cropped to the face.

    Returns:
        (T, height, width, 3) uint8 RGB and (T,) float64 seconds.

    Raises:
        VideoError: with the class of the failure.
    """
    budget = Budget(time_budget(info))
    packets = read_packets(path, info, timeout_seconds=budget.left_seconds)
    refuse_truncated(info, packets)
    times = packets.timestamps_seconds
    if len(times) != packets.count:  # packets without times: count frames, any even clock will do
        times = np.arange(packets.count, dtype=np.float64)
    chosen = choose(times, recipe)
    if len(packets.timestamps_seconds):
        found = _read_by_seeking(path, info, packets, chosen, picture, budget, threads)
        if found is not None:
            return found
    pixels, timestamps, tail = _read_through(path, info, chosen, picture, budget, threads)
    expected = packets.timestamps_seconds[chosen] if len(packets.timestamps_seconds) else None
    if len(pixels) == len(chosen) and (expected is None or _same(timestamps, expected)):
        return pixels, timestamps
    # What the container holds is not what the decoder gives: look at what it does give.
    times, tail = _decoded_times(path, info, packets.count, budget, threads)
    if len(times) < WHOLE_SHARE * packets.count:
        raise VideoError(
            "decode_error",
            f"only {len(times)} of {packets.count} frames can be decoded",
            stderr_tail=tail,
        )
    chosen = choose(times, recipe)
    pixels, timestamps, tail = _read_through(path, info, chosen, picture, budget, threads)
    if len(pixels) != len(chosen):
        raise VideoError(
            "decode_error", "decoding the video twice gave different frames", stderr_tail=tail
        )
    return pixels, timestamps


def time_budget(info: VideoInfo) -> float:
    """Seconds that one video may take: slow disks and 4K included, a trap excluded.

    A small file that calls itself long buys no time: nothing worth watching is below 1 kbit/s.
    """
    seconds = min(info.duration_seconds, 3600.0, info.size_bytes * 8 / LEAST_BIT_RATE)
    return min(7200.0, 60 + 10 * seconds)


class Budget:
    """The time that all calls for one video share: thirty slow ones are as bad as one.

    Args:
        seconds: from now on.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left_seconds(self) -> float:
        """What is left.

        Raises:
            VideoError: timeout.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise VideoError("timeout", f"reading took more than {self._seconds:.0f} s")
        return left


def refuse_truncated(info: VideoInfo, packets: Packets) -> None:
    """Refuses a file that ends well before its own header says."""
    count = packets.count + packets.discarded
    if info.frame_count and count < WHOLE_SHARE * info.frame_count:
        raise VideoError(
            "decode_error",
            f"the file is truncated: it holds {count} of {info.frame_count} frames",
        )
    times = packets.timestamps_seconds
    if info.promised_seconds and len(times) > 1:
        held = (times[-1] - times[0]) * len(times) / (len(times) - 1)
        if held < WHOLE_SHARE * info.promised_seconds:
            raise VideoError(
                "decode_error",
                f"the file is truncated: it holds {held:.1f} of {info.promised_seconds:.1f} s",
            )


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


def _read_through(
    path: Path,
    info: VideoInfo,
    chosen: NDArray[np.int64],
    picture: Picture,
    budget: Budget,
    threads: int,
) -> tuple[NDArray[np.uint8], NDArray[np.float64], str]:
    """Decodes from the start to the last chosen frame."""
    terms = [
        f"eq(n,{first})" if first == last else f"between(n,{first},{last})"
        for first, last in runs_of(chosen)
    ]
    return decode(
        path,
        stream_index=info.stream_index,
        choice="+".join(terms),
        count=len(chosen),
        width=picture.width,
        height=picture.height,
        chain=picture.chain,
        timeout_seconds=budget.left_seconds,
        threads=threads,
    )


def _read_by_seeking(
    path: Path,
    info: VideoInfo,
    packets: Packets,
    chosen: NDArray[np.int64],
    picture: Picture,
    budget: Budget,
    threads: int,
) -> tuple[NDArray[np.uint8], NDArray[np.float64]] | None:
    """Enters the video at each run of chosen frames; None where that would not pay or not fit."""
    times = packets.timestamps_seconds
    keys = np.flatnonzero(packets.keyframes)
    runs = runs_of(chosen)
    if not len(keys) or keys[0] != 0:
        return None
    cost = 0
    for first, last in runs:
        cost += last - int(keys[np.searchsorted(keys, first, side="right") - 1])
        cost += SEEK_COST_FRAMES
    if cost > SEEK_GAIN * int(chosen[-1]):
        return None
    parts = []
    for first, last in runs:
        enter = times[0] - 1.0 if first == 0 else (times[first - 1] + times[first]) / 2
        pixels, timestamps, _ = decode(
            path,
            stream_index=info.stream_index,
            choice="1",
            count=last - first + 1,
            width=picture.width,
            height=picture.height,
            chain=picture.chain,
            seek_seconds=max(0.0, float(enter)),
            timeout_seconds=budget.left_seconds,
            threads=threads,
        )
        if not _same(timestamps, times[first : last + 1]):
            return None
        parts.append((pixels, timestamps))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _decoded_times(
    path: Path, info: VideoInfo, count: int, budget: Budget, threads: int
) -> tuple[NDArray[np.float64], str]:
    """Decodes the whole video, two pixels wide, to learn when its frames really are."""
    _, timestamps, tail = decode(
        path,
        stream_index=info.stream_index,
        choice="1",
        count=count + 16,
        width=2,
        height=2,
        chain=[("scale", {"w": 2, "h": 2, "flags": "neighbor"})],
        timeout_seconds=budget.left_seconds,
        threads=threads,
    )
    return timestamps, tail


def _same(got: NDArray[np.float64], expected: NDArray[np.float64]) -> bool:
    """Whether these are the same frames; ffprobe rounds to a microsecond."""
    return len(got) == len(expected) and bool(np.all(np.abs(got - expected) < 1e-4))


def _check(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ConfigError(f"frames.{name} must be from {least} to {most}, got {value}")
