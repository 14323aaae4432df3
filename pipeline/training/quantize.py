"""`unmask quantize`: an int8 backbone, its scales fitted to face crops of the training split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.datasets.digests import DigestCache
from data.datasets.manifest import Manifest, Video
from data.errors import DatasetError, VideoError
from data.faces.crops import Frames
from data.io.atomic_folders import check_replaceable
from data.io.output_paths import check_out_folder
from data.io.progress import log
from models.backbones.fingerprint import RECORD
from pipeline.config import Params
from pipeline.extraction.crop_cache import cached_crops
from pipeline.extraction.inputs import DIGESTS, make_jobs
from pipeline.leakage import record_seen, refuse_seen_validation
from pipeline.machine import cores, versions
from pipeline.shell_commands import command_line


@dataclass(frozen=True, kw_only=True)
class QuantizedBackbone:
    """A quantized backbone that was written."""

    out: Path  # its folder
    name: str  # of the backbone
    digest: str  # sha256 of its weights, preprocessing and scales, hex
    videos: int  # training videos that its scales were fitted to
    frames: int  # of these videos
    next: str  # the command to go on with


def quantize_backbone(
    manifest: Path,
    out: Path,
    *,
    root: Path | None,
    backbone: str | None,
    params: Params,
    store: Path,
    workers: int | None,
    allow_seen: bool = False,
) -> QuantizedBackbone:
    """Quantizes a backbone to int8 and writes it to the folder `out`.

    Args:
        manifest: crops of its training split alone are looked at; their labels are not.
        out: new, or a backbone's folder to replace.
        root: folder of the videos; None for the manifest's own.
        backbone: name or path of a backbone in floating point; None for backbone.name.
        params: which frames, and how they are cropped.
        store: where the videos' face crops are kept.
        workers: parallel decoders; None for the number of cores.
        allow_seen: go on where the backbone was trained on validation people.

    Raises:
        ConfigError: the backbone is quantized already, or a custom model.
        DatasetError: the manifest has no training videos, or none could be read.
        LeakError: the backbone was trained on validation people, and `allow_seen` is false.
        ToolError: NNCF or OpenVINO is not installed.
    """
    check_replaceable(out, marker=RECORD)
    check_out_folder(store)
    opened = Manifest.read(manifest, root=root)
    train = opened.split("train")
    if not train:
        raise DatasetError(
            f"{manifest} has no training videos; quantization fits its scales to them alone"
        )
    from models.backbones.quantization import FRAMES, check_quantizable, quantize
    from models.backbones.registry import load_backbone, save_backbone

    network = load_backbone(
        backbone or params.backbone.name, size=params.frames.size, seed=params.seed
    )
    check_quantizable(network)
    seen = refuse_seen_validation(
        network.provenance, opened, allow_seen=allow_seen, result="weights"
    )
    chosen = evenly(sorted(train, key=lambda video: video.sha256), FRAMES)
    named = [(video.path, opened.resolve(video), video) for video in chosen]
    jobs, failures = make_jobs(named, DigestCache(store.parent / DIGESTS.name))
    with cached_crops(
        jobs,
        failures,
        params.frames,
        store=store,
        versions=versions(),
        workers=workers or cores(),
    ) as read:
        used, frames = calibration_frames(chosen, read, FRAMES)
    if not used:
        raise DatasetError(f"none of the training videos of {manifest} could be read; see above")
    provenance = network.provenance | {
        "trained_on": add_training(network.provenance.get("trained_on", {}), used)
    }
    quantized = replace(
        quantize(network, frames), provenance=provenance | record_seen(network.provenance, seen)
    )
    save_backbone(quantized, out, base=network)
    rooted = () if root is None else ("--root", root)
    following = ("--backbone", out, "-o", "embeddings")
    return QuantizedBackbone(
        out=out,
        name=quantized.name,
        digest=quantized.digest,
        videos=len(used),
        frames=len(frames),
        next=command_line("unmask", "extract", manifest, *rooted, *following),
    )


def evenly(videos: Sequence[Video], most: int) -> list[Video]:
    """At most so many of them, at equal distances."""
    places = np.linspace(0, len(videos) - 1, min(most, len(videos))).round().astype(int)
    return [videos[place] for place in places]


def calibration_frames(
    videos: Sequence[Video], read: Callable[[Video], Frames], most: int
) -> tuple[list[Video], NDArray[np.uint8]]:
    """Crops of these videos, as many of each, at most so many in all.

    Returns:
        The videos that could be read, and (N, S, S, 3) crops.
    """
    each = max(1, most // len(videos))
    used, crops = [], []
    for video in videos:
        try:
            pixels = read(video).pixels
        except VideoError as error:
            log.warning(f"left out: {video.path}: {error}")
            continue
        places = np.linspace(0, len(pixels) - 1, min(each, len(pixels))).round().astype(int)
        used.append(video)
        crops.append(pixels[places])
    return used, np.concatenate(crops) if crops else np.zeros((0, 1, 1, 3), np.uint8)


def add_training(earlier: Mapping[str, Any], videos: Sequence[Video]) -> dict[str, Any]:
    """What a backbone was trained on, with these training videos added, for the leak guard."""
    before = earlier.get("train", {})
    train = {
        "sha256s": sorted({*(one.sha256 for one in videos), *before.get("sha256s", [])}),
        "groups": sorted({*(one.group for one in videos), *before.get("groups", [])}),
    }
    return {**earlier, "train": train}
