"""A made-up manifest and scores, and the files in which other programs would write them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.datasets.manifest import Manifest, Video

METHODS = ("Deepfakes", "Face2Face", "NeuralTextures")
FOLDER = "manipulated_sequences/{method}/c23/videos"
REALS = "original_sequences/youtube/c23/videos"
GROUPS = 60


def made_up_videos(groups: int = GROUPS) -> tuple[Video, ...]:
    """Videos in the folders of FaceForensics++; fakes of all methods share their file names.

    Of each group there is a real video and a fake by each method; half of the groups are for
    testing, a quarter each for training and validation.
    """
    found = []
    for number in range(groups):
        split = ("test", "train", "test", "val")[number % 4]
        stem, fake = f"{number:03d}", f"{number:03d}_{(number + 1) % groups:03d}"
        names = [(f"{REALS}/{stem}.mp4", 0, "real")]
        names += [(f"{FOLDER.format(method=one)}/{fake}.mp4", 1, one) for one in METHODS]
        for path, label, method in names:
            found.append(
                Video(
                    path=path,
                    label=label,
                    group=f"g{number:03d}",
                    method=method,
                    split=split,
                    sha256=hashlib.sha256(path.encode()).hexdigest(),
                    size_bytes=10_000 + 7 * number,
                    codec="h264",
                    width=640,
                    height=480,
                    fps=25.0,
                    duration_seconds=4.0 + number / 10,
                    bit_rate=20_000 + 13 * number,
                    compression="c23",
                )
            )
    return tuple(sorted(found, key=lambda video: video.path))


def write_manifest(folder: Path, videos: Sequence[Video] | None = None) -> Path:
    """Writes the manifest of these videos."""
    path = folder / "manifest.csv"
    Manifest(root=folder, videos=tuple(videos or made_up_videos())).write(path)
    return path


def made_up_scores(
    videos: Sequence[Video], *, seed: int = 0, gap: float = 1.5
) -> NDArray[np.float64]:
    """Scores on a scale of logits, (N,): fakes are higher by `gap` deviations."""
    draw = np.random.default_rng(seed)
    labels = np.asarray([video.label for video in videos])
    return np.round(draw.normal(0, 1, len(videos)) + gap * labels - 0.3, 4)


def sigmoid(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores between 0 and 1."""
    return np.asarray(1 / (1 + np.exp(-scores)))


def write_csv(
    path: Path,
    videos: Sequence[Video],
    scores: Sequence[float],
    *,
    name: Callable[[Video], str] = lambda video: video.path,
) -> Path:
    """`path,score`."""
    lines = [f"{name(video)},{score!r}" for video, score in zip(videos, scores, strict=True)]
    path.write_text("\n".join(["path,score", *lines]) + "\n", "utf-8")
    return path


def frame_paths(video: Video, frames: int) -> list[str]:
    """Where DeepfakeBench has the frames of a video."""
    folder = video.path.replace("/videos/", "/frames/").removesuffix(".mp4")
    return [f"/mnt/data/FaceForensics++/{folder}/{number:03d}.png" for number in range(frames)]


def write_deepfakebench(path: Path, videos: Sequence[Video], scores: NDArray[np.float64]) -> Path:
    """What `test_epoch` of DeepfakeBench's training/test.py has, as JSON: scores (N, T)."""
    order = np.random.default_rng(1).permutation(scores.size)  # as its data set shuffles
    images = [one for video in videos for one in frame_paths(video, scores.shape[1])]
    labels = np.repeat([video.label for video in videos], scores.shape[1])
    facts = {
        "image": [images[row] for row in order],
        "pred": scores.ravel()[order].tolist(),
        "label": labels[order].tolist(),
    }
    path.write_text(json.dumps(facts), "utf-8")
    return path


def write_workbench(folder: Path, videos: Sequence[Video], scores: Sequence[float]) -> Path:
    """What `dfwb score` writes; NaN is a video that could not be scored."""
    path = folder / "test-1234abcd.scores.csv"
    columns = "dataset,key,compression,label,score,status,logit,label_key,method,n_clips,n_frames"
    tasks = {"real": "REAL", "Deepfakes": "DF", "Face2Face": "F2F", "NeuralTextures": "NT"}
    lines = []
    for video, score in zip(videos, scores, strict=True):
        key = f"{tasks[video.method]}/{Path(video.path).stem}"
        method = "original" if video.label == 0 else video.method.casefold()
        cells = ["", "missing"] if np.isnan(score) else [repr(float(score)), "ok"]
        lines.append(
            ",".join(["ffpp", key, video.compression, str(video.label), *cells, "", f"FF-{method}",
                      method, "4", "32"])
        )  # fmt: skip
    path.write_text("\n".join([columns, *lines]) + "\n", "utf-8")
    lacking = int(np.isnan(np.asarray(scores)).sum())
    facts = {
        "schema": "dfwb.scores/1",
        "detector": {"name": "tiny-cnn", "version": "0.1.0b2", "source": "run:0b4c5f19",
                     "checkpoint_sha256": "4a4d", "contract_version": [1, 0]},
        "protocol": {"id": "ffpp/official", "split": "test", "where": {}, "pack": "dfwb-protocols",
                     "pack_version": "1.4.0", "scheme_sha256": "340a"},
        "labels": "binary",
        "processing_profile": {"id": "face-256-1.3x-32f", "sha256": "28b2"},
        "aggregation": {"clip_to_video": "mean-prob", "clips_per_video": 4},
        "coverage": {"expected": len(videos), "ok": len(videos) - lacking, "missing": lacking,
                     "error": 0},
        "seed": 0,
        "env": {"dfwb": "0.1.0b2"},
        "git": None,
        "command": None,
        "created": "2026-09-26T06:21:33Z",
        "calibration": None,
    }  # fmt: skip
    path.with_name(f"{path.name.removesuffix('.csv')}.meta.json").write_text(
        json.dumps(facts, indent=2), "utf-8"
    )
    return path
