"""How often the face is found, and what it costs compared with the rest of `extract`.

    python benchmarks/faces.py [FOLDER]

Reads every video of a folder (default: ../shared/clips, of which each frame shows a face) by the
default recipe, and embeds the crops with the thin backbone. The last line is one JSON object:
faces_found_share, the share of sampled frames in which the detector saw the face;
faces_cpu_ms_per_frame, CPU time of detection and cropping, the median of three rounds once the
models are loaded for pictures of this shape (6 ms for each model and shape in each thread); and
faces_over_stage_one, the same over the CPU time of decoding and backbone, each measured alone in
this run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from data.datasets.layouts.listing import is_video, walk
from data.errors import VideoError
from data.faces.crops import crop_faces
from data.faces.tracker import FaceFinder
from data.video.frames import FrameRecipe, read_pixels
from data.video.picture import whole_picture
from data.video.probe import probe


def cpu_seconds() -> float:
    """CPU time of this process and of the children that ended."""
    from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN))
    )


def main() -> None:
    """Prints a table and the JSON."""
    from models.backbones.encoder import make_encoder
    from models.backbones.registry import load_backbone

    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/clips")
    recipe = FrameRecipe(count=32)
    finder = FaceFinder()
    encoder = make_encoder(load_backbone("resnet50-thin"), batch_size=32)
    encoder(np.zeros((32, 224, 224, 3), np.uint8))
    spent = {"decode": 0.0, "faces": 0.0, "backbone": 0.0}
    found = total = 0
    print(f"{'video':<40}{'frames':>8}{'found':>8}{'ms/frame':>10}")
    for path in filter(is_video, walk(folder)):
        try:
            clock = cpu_seconds()
            info = probe(path)
            pixels, timestamps = read_pixels(
                path, info, recipe, whole_picture(info, recipe.max_side)
            )
            spent["decode"] += cpu_seconds() - clock
            finder.follow(pixels, timestamps)  # loads the models
            rounds = []
            for _ in range(3):
                clock = cpu_seconds()
                track = finder.follow(pixels, timestamps)
                crops, _ = crop_faces(pixels, track.boxes, margin=recipe.margin, size=recipe.size)
                rounds.append(cpu_seconds() - clock)
            faces = float(np.median(rounds))
        except VideoError as error:
            print(f"{path.name:<40}{error.failure:>16}")
            continue
        spent["faces"] += faces
        batch = np.zeros((32, 224, 224, 3), np.uint8)
        batch[: len(crops)] = crops
        clock = cpu_seconds()
        encoder(batch)
        spent["backbone"] += (cpu_seconds() - clock) * len(crops) / 32
        found += int(track.found.sum())
        total += len(crops)
        share = track.found.mean()
        print(f"{path.name:<40}{len(crops):>8}{share:>8.2f}{faces / len(crops) * 1e3:>10.1f}")
    if not total:
        sys.exit(f"{folder} holds no video with a face")
    for name, seconds in spent.items():
        print(f"{name:<40}{seconds / total * 1e3:>26.1f} CPU ms/frame")
    rest = spent["decode"] + spent["backbone"]
    print(
        json.dumps(
            {
                "frames": total,
                "faces_found_share": round(found / total, 4),
                "faces_cpu_ms_per_frame": round(spent["faces"] / total * 1e3, 2),
                "faces_over_stage_one": round(spent["faces"] / rest, 4),
            }
        )
    )


if __name__ == "__main__":
    main()
