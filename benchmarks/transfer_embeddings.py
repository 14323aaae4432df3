"""Face crops of benchmarks/transfer_backbones.py in several views, and what networks make of them.

Both are kept in a folder. The crops are those of `extract`: the same frames, faces and sizes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from PIL import Image

from benchmarks.transfer_backbones_tries import VIEWS, Part, Try
from benchmarks.transfer_data import TRUE
from benchmarks.transfer_networks import antispoof, efficientnet_lite, faceres, thin
from data.datasets.manifest import Manifest, Video
from data.errors import VideoError
from data.faces.crops import crop_faces
from data.faces.tracker import FaceFinder
from data.video.frames import FrameRecipe, read_whole
from data.video.picture import whole_picture
from data.video.probe import probe
from models.linear.statistics import clip_statistics

FRAMES, RUN = 16, 16
"""Frames of a clip spread over it; and of each of its two runs of consecutive ones."""
CROPS = {"224": (224, 1.0), "320": (320, 1.0), "256": (256, 256 / 224), "runs": (224, 1.0)}
"""Side in pixels, and side over that of the usual crop."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Clips:
    """N clips with their crops on disk."""

    videos: list[Video]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    methods: NDArray[np.str_]
    masks: dict[str, NDArray[np.bool_]]  # of "spread" and "runs", (N, T)
    boxes: Floats  # (N, FRAMES, 4) of the spread frames
    work: Path


def read_clips(manifest: Path, root: Path, work: Path) -> Clips:
    """Crops the faces, unless that was done."""
    videos = [one for one in Manifest.read(manifest).videos if one.path.startswith(f"{TRUE}/")]
    crops = work / "crops"
    if not (crops / "facts.npz").is_file():
        crops.mkdir(parents=True, exist_ok=True)
        cut(videos, root, crops)
    facts = np.load(crops / "facts.npz")
    known = dict(zip(facts["sha256"].tolist(), range(len(facts["sha256"])), strict=True))
    videos = [one for one in videos if one.sha256 in known]
    if [known[one.sha256] for one in videos] != list(range(len(known))):
        sys.exit(f"the crops in {crops} are of other videos; give another --work")
    return Clips(
        videos=videos,
        labels=np.asarray([one.label for one in videos]),
        groups=np.asarray([one.group for one in videos]),
        methods=np.asarray([one.method for one in videos]),
        masks={"spread": facts["spread"], "runs": facts["runs"]},
        boxes=facts["boxes"].astype(np.float64),
        work=work,
    )


def cut(videos: list[Video], root: Path, crops: Path) -> None:
    """Writes crops of all videos that show a face."""
    finder = FaceFinder()
    recipes = {
        "spread": FrameRecipe(count=FRAMES),
        "runs": FrameRecipe(policy="clip", count=2 * RUN, clip_length=RUN),
    }
    count, shown = len(videos), []
    arrays = {
        name: np.lib.format.open_memmap(
            crops / f"{name}.npy", "w+", np.uint8,
            (count, 2 * RUN if name == "runs" else FRAMES, side, side, 3),
        )
        for name, (side, _) in CROPS.items()
    }  # fmt: skip
    masks = {"spread": np.zeros((count, FRAMES), bool), "runs": np.zeros((count, 2 * RUN), bool)}
    boxes = np.zeros((count, FRAMES, 4), np.float32)
    for video in videos:
        row = len(shown)
        try:
            for kind, recipe in recipes.items():
                info = probe(root / video.path)
                read = read_whole(
                    root / video.path, info, recipe, whole_picture(info, recipe.max_side)
                )
                track = finder.follow(read.pixels, read.timestamps_seconds)
                found = track.boxes if read.layout is None else read.layout.to_pictures(track.boxes)
                masks[kind][row] = np.arange(masks[kind].shape[1]) < len(found)
                for name, (side, wider) in CROPS.items():
                    if (name == "runs") == (kind == "runs"):
                        pixels, taken = crop_faces(
                            read.pictures, found, margin=recipe.margin * wider, size=side
                        )
                        arrays[name][row, : len(found)] = pixels
                        if name == "224":
                            boxes[row, : len(found)] = taken
        except VideoError:
            continue
        shown.append(video.sha256)
    kept = slice(len(shown))
    facts = {name: mask[kept] for name, mask in masks.items()}
    np.savez(crops / "facts.npz", sha256=np.asarray(shown), boxes=boxes[kept], **facts)


def frames_of(clips: Clips, view: str) -> Callable[[slice], NDArray[np.uint8]]:
    """Rows of all clips' frames, one after the other, in a view."""
    source, change = VIEWS[view]
    crops = np.load(clips.work / "crops" / f"{source}.npy", mmap_mode="r")[: len(clips.videos)]
    rows = crops.reshape(-1, *crops.shape[2:])

    def read(part: slice) -> NDArray[np.uint8]:
        taken = np.asarray(rows[part])
        match change:
            case "":
                return taken
            case "flip":
                return np.ascontiguousarray(taken[:, :, ::-1])
            case ("size", side):
                small = [Image.fromarray(one).resize((side, side), Image.BICUBIC) for one in taken]
                return np.stack([np.asarray(one) for one in small])
            case ("shift", y, x):
                return np.ascontiguousarray(taken[:, y : y + 224, x : x + 224])
            case "change":  # the next frame minus this one, around ImageNet's mean colour
                places = np.arange(*part.indices(len(rows)))
                last = places % FRAMES == FRAMES - 1
                step = rows[np.where(last, places, places + 1)].astype(np.int16) - taken
                return np.clip(np.array([123, 117, 104]) + step, 0, 255).astype(np.uint8)
        raise ValueError(change)

    return read


class Embeddings:
    """Outputs of networks on views, computed once."""

    def __init__(self, clips: Clips, human: Path | None, files: dict[str, Path]) -> None:
        self._clips, self._human, self._files = clips, human, files
        self._folder = clips.work / "embeddings"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._core = ov.Core()

    def network(self, name: str, view: str) -> Any:
        """Compiled.

        Raises:
            FileNotFoundError: its weights are not here.
        """
        precision = "bf16"
        if name in self._files:
            model, precision = self._core.read_model(self._files[name]), "f32"
        elif name == "thin":
            model = thin(frames_of(self._clips, view)(slice(1)).shape[1])
        elif name.startswith("lite"):
            model = efficientnet_lite(name)
        elif self._human is None:
            raise FileNotFoundError(f"{name} needs --human or --onnx")
        else:
            model = {"faceres": faceres, "antispoof": antispoof}[name](self._human)
        settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "THROUGHPUT"}
        return self._core.compile_model(model, "CPU", settings)

    def of(self, part: Part) -> NDArray[np.float32]:
        """(N, T, D)."""
        path = self._folder / f"{part.network}-{part.view}.npz"
        if not path.is_file():
            network, read = self.network(part.network, part.view), frames_of(self._clips, part.view)
            mask = self._clips.masks["runs" if part.view == "runs" else "spread"]
            found: dict[str, list[Any]] = {}
            for start in range(0, mask.size, FRAMES):
                for output, values in network(read(slice(start, start + FRAMES))).to_dict().items():
                    found.setdefault(output.get_any_name(), []).append(values.copy())
            joined = {name: np.concatenate(one) for name, one in found.items()}
            np.savez(path, **{name: one.reshape(*mask.shape, -1) for name, one in joined.items()})
            print(f"{path.name} is written", file=sys.stderr)
        return np.asarray(np.load(path)[part.layer], np.float32)

    def members(self, tried: Try) -> list[tuple[Floats, Floats]]:
        """Columns of each linear model, and the factors of the standardised ones."""
        found = []
        for part in tried.parts:
            views = [replace(part, view=view) for view in tried.views] or [part]
            columns = np.mean([self.columns(one) for one in views], axis=0)
            shares = np.ones(columns.shape[1])
            if part.statistics == ("mean", "deviation") and part.network != "box":
                shares[: len(shares) // 2] = part.mean_share
            found.append((columns, shares))
        return found

    def columns(self, part: Part) -> Floats:
        """(N, E) of a clip, NaN where it has too few frames."""
        clips = self._clips
        if part.network == "box":
            return box_columns(clips)
        values, mask = self.of(part), clips.masks["runs" if part.view == "runs" else "spread"]
        if part.view == "change":  # the last frame has no next
            mask = mask & np.roll(mask, -1, 1) & (np.arange(FRAMES) < FRAMES - 1)
        spans = (slice(0, RUN), slice(RUN, None)) if part.view == "runs" else (slice(None),)
        parts = []
        for span in spans:
            columns, exist = clip_statistics(
                values[:, span], mask[:, span], statistics=part.statistics,
                frame_norm="layernorm_l2" if part.normalised else "none",
            )  # fmt: skip
            there = np.repeat(exist, values.shape[-1], 1)
            parts.append(np.where(there, columns, np.nan).astype(np.float64))
        columns = np.mean(parts, 0)
        if part.form == "amount":  # one number for each statistic
            each = columns.reshape(len(columns), len(part.statistics), -1)
            return np.log(np.maximum(np.nan_to_num(each).mean(2), 1e-6))
        if part.form == "relative":
            amount = np.log(np.nan_to_num(columns) + 1e-6)
            return amount - amount.mean(1, keepdims=True)
        if part.without:
            return without(columns, self.columns(part.without), clips)
        return columns


def box_columns(clips: Clips) -> Floats:
    """How much the face's place and size change, in sides of the face, and its size, (N, 3)."""
    found = np.zeros((len(clips.videos), 3))
    for row, (boxes, mask) in enumerate(zip(clips.boxes, clips.masks["spread"], strict=True)):
        side, centre = boxes[mask, 2] - boxes[mask, 0], (boxes[mask, :2] + boxes[mask, 2:]) / 2
        usual = np.median(side)
        moves, grows = np.linalg.norm(centre.std(0)) / usual, side.std() / usual
        found[row] = np.log(moves + 1e-3), np.log(grows + 1e-3), np.log(usual)
    return found


def without(columns: Floats, covariates: Floats, clips: Clips) -> Floats:
    """Minus what the covariates say of them, by least squares over all real clips."""
    inputs, real = np.c_[np.ones(len(columns)), covariates], clips.labels == 0
    there = np.nan_to_num(columns)
    return columns - inputs @ np.linalg.lstsq(inputs[real], there[real], rcond=None)[0]
