"""Does `unmask pair` tell which of two versions is forged, and leave copies alone?

    python benchmarks/pair.py [--faces ../shared/faces] [--work .unmask/pair] [--every 1]
        [--copies 120] [--unrelated 300] [--backbone resnet50-thin]

Pairs are the fakes of ../shared/faces with their `original`, and self-made forgeries (`forge`) of
its reals. Each pair is taken as it is, with its real encoded anew, and with its fake encoded anew.
Which side is forged is said by models that saw nobody of the pair ("other people"), and by models
that saw neither its people nor its forgery method ("other people and methods"). Copies are encoded
at CRF 18 to 40, halved, cropped, mirrored and cut; unrelated clips are of other groups. The share
of pairs ordered rightly has a 95 % interval by group. --every takes one pair of so many; finished
pairs are kept in --work. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from data.alignment.align import align
from data.alignment.align_files import align_files
from data.alignment.difference import THRESHOLD
from data.alignment.overview import Overview, read_overview
from data.alignment.traces import TRACES
from data.errors import VideoError
from data.video.ffmpeg import find_tools
from data.video.frames import FrameRecipe
from data.video.probe import probe
from models.backbones.encoder import make_encoder
from models.backbones.registry import load_backbone
from models.evaluation.bootstrap import group_weights
from models.evaluation.likelihood_ratio_fit import cllr
from models.pairs.fit import FOLDS, Pairs, fit_ratio, fit_weights, held_out_scores
from pipeline.pairs.compare import compare_videos
from pipeline.pairs.describe import describe
from pipeline.pairs.fit import Describe, NotAPairError, differences_of

ROOT = Path(__file__).parents[1]
MADE = "self-made"
COPIES = {
    **{f"crf-{crf}": ("null", crf) for crf in (18, 23, 28, 33, 40)},
    "half": ("scale=trunc(iw/4)*2:trunc(ih/4)*2", 23),
    "crop": ("crop=trunc(iw*0.85/2)*2:trunc(ih*0.85/2)*2:trunc(iw*0.1):trunc(ih*0.05)", 23),
    "crop and half": (
        "crop=trunc(iw*0.8/2)*2:trunc(ih*0.8/2)*2,scale=trunc(iw/4)*2:trunc(ih/4)*2",
        28,
    ),
    "mirrored": ("hflip", 28),
    "begins later": ("trim=start=0.9,setpts=PTS-STARTPTS", 28),
}


Named = tuple[str, Path, Path, str, str]
"""Name, real, fake, group and method of a pair."""


def make_copy(source: Path, target: Path, kind: str) -> Path:
    """Encodes a clip anew."""
    filters, crf = COPIES[kind]
    subprocess.run(
        [find_tools().ffmpeg, "-nostdin", "-v", "error", "-y", "-i", source, "-an",
         "-vf", filters, "-c:v", "libx264", "-preset", "veryfast", "-crf", str(crf),
         "-pix_fmt", "yuv420p", target],
        check=True,
    )  # fmt: skip
    return target


def true_pairs(faces: Path, rows: list[dict[str, str]]) -> list[Named]:
    """The fakes with an original."""
    return [
        (row["path"], faces / row["original"], faces / row["path"], row["group"], row["method"])
        for row in rows
        if row["original"]
    ]


def made_pairs(faces: Path, work: Path) -> list[Named]:
    """Self-made forgeries of the reals, one each; made here unless they are in the folder."""
    out = work / "forged"
    if not (out / "labels.csv").is_file():
        command = [sys.executable, "-m", "pipeline", "forge", faces, out, "-q"]
        subprocess.run([*command, "--set", "forge.copies=1", "--set", "forge.seconds=3"],
                       check=True, cwd=work,
                       env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    with (out / "labels.csv").open(encoding="utf-8") as handle:
        listed = list(csv.DictReader(handle))
    return [
        (f"{MADE}/{row['path']}", out / row["original"], out / row["path"],
         row["group"], MADE)
        for row in listed
        if row["label"] == "fake" and row.get("original")
    ]  # fmt: skip


def describer(backbone: str) -> Describe:
    """Describes faces by a public backbone, frozen."""
    recipe = FrameRecipe()
    encoder = make_encoder(load_backbone(backbone, size=recipe.size), precision="float32")

    def described(frames, pair):  # type: ignore[no-untyped-def]
        return describe(frames, pair, recipe, encoder, dtype="float16")

    return described


def learnt(
    named: list[Named], work: Path, describe_face: Describe
) -> tuple[Pairs | None, list[str]]:
    """Differences of all pairs, three rows each, and why others are left out."""
    kept = work / "pairs"
    kept.mkdir(parents=True, exist_ok=True)
    rows, groups, methods, left_out = [], [], [], []
    for number, (name, real, fake, group, method) in enumerate(named):
        file = kept / f"{name.replace('/', '_')}.npy"
        try:
            if not file.exists():
                with tempfile.TemporaryDirectory() as folder:
                    files = align_files(real, fake)
                    found = differences_of(describe_face, files, number, Path(folder))
                np.save(file, found)
        except (NotAPairError, VideoError) as error:
            left_out.append(f"{name}: {error}")
            continue
        found = np.load(file)
        rows.append(found)
        groups += [group] * len(found)
        methods += [method] * len(found)
    if not rows:
        return None, left_out
    pairs = Pairs(
        differences=np.concatenate(rows),
        traces=len(TRACES),
        groups=tuple(groups),
        methods=tuple(methods),
    )
    return pairs, left_out


def other_people(pairs: Pairs) -> np.ndarray:
    """Scores (N,) by models that saw none of the group, but perhaps the method."""
    groups = np.asarray(pairs.groups)
    names = sorted(set(pairs.groups), key=lambda name: (-(groups == name).sum(), name))
    scores = np.zeros(len(groups))
    for fold in range(FOLDS):
        test = np.isin(groups, names[fold::FOLDS])
        scales, weights = fit_weights(pairs.differences[~test], pairs.traces)
        scores[test] = pairs.differences[test] / scales @ weights
    return scores


def share_right(scores: np.ndarray, groups: list[str]) -> tuple[float, float, float]:
    """Share above 0 with its interval by group."""
    right = scores > 0
    labels = np.repeat([0, 1], len(right))  # the draws want both classes
    weights = group_weights(labels, np.tile(groups, 2), rounds=1000, seed=0)[:, : len(right)]
    drawn = weights @ right / weights.sum(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(right.mean()), float(low), float(high)


def copies_called(
    rows: list[dict[str, str]], faces: Path, count: int
) -> dict[str, list[tuple[str, float]]]:
    """Answer and statistic of clips and their copies, by kind."""
    found: dict[str, list[tuple[str, float]]] = {kind: [] for kind in COPIES}
    chosen = random.Random(0).sample(rows, min(count, len(rows)))
    for row, kind in zip(chosen, itertools.cycle(COPIES), strict=False):
        with tempfile.TemporaryDirectory() as folder:
            try:
                copy = make_copy(faces / row["path"], Path(folder) / "copy.mp4", kind)
                result = compare_videos(faces / row["path"], copy, judge=None).result
            except VideoError as error:
                found[kind].append((error.failure, np.nan))
                continue
        found[kind].append((result.answer, result.faces[0].statistic if result.faces else np.nan))
    return found


def unrelated(rows: list[dict[str, str]], faces: Path, count: int) -> list[str]:
    """Why clips of other groups are no scene; "" where they are called one."""
    drawn = random.Random(1)
    seen: dict[str, Overview] = {}

    def overview(name: str) -> Overview:
        if name not in seen:
            seen[name] = read_overview(faces / name, probe(faces / name))
        return seen[name]

    reasons = []
    clips = drawn.sample(rows, min(len(rows), 40))  # each is read once
    while len(reasons) < count:
        one, two = drawn.sample(clips, 2)
        if one["group"] != two["group"]:
            reasons.append(align(overview(one["path"]), overview(two["path"])).reason)
    return reasons


def report(name: str, scores: np.ndarray, pairs: Pairs, which: np.ndarray) -> dict[str, object]:
    """Prints and returns the shares of pairs ordered rightly."""
    figures: dict[str, object] = {}
    every = np.arange(len(scores)) % 3
    kinds = {
        "as they are": every == 0,
        "real encoded anew": every == 1,
        "fake encoded anew": every == 2,
    }
    for kind, rows in kinds.items():
        held = np.flatnonzero(rows & which & ~np.isnan(scores))
        if not len(held):
            continue
        groups = [pairs.groups[row] for row in held.tolist()]
        share, low, high = share_right(scores[held], groups)
        print(f"{name:<46}{kind:<20}{len(held):>4} pairs  {share:.2f} ({low:.2f} to {high:.2f})")
        figures[f"{name}, {kind}"] = [round(share, 3), round(low, 3), round(high, 3), len(held)]
    return figures


def main() -> None:
    """Prints the shares and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, default=ROOT.parent / "shared" / "faces")
    parser.add_argument("--work", type=Path, default=ROOT / ".unmask" / "pair")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--copies", type=int, default=120)
    parser.add_argument("--unrelated", type=int, default=300)
    parser.add_argument("--backbone", default="resnet50-thin")
    arguments = parser.parse_args()
    faces, work = arguments.faces.resolve(), arguments.work.resolve()
    if not (faces / "labels.csv").is_file():
        sys.exit(f"{faces} has no labels.csv; name the folder by --faces")
    work.mkdir(parents=True, exist_ok=True)
    with (faces / "labels.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    figures: dict[str, object] = {}
    if arguments.unrelated:
        reasons = unrelated(rows, faces, arguments.unrelated)
        one_scene = sum(not reason for reason in reasons)
        print(f"unrelated clips called one scene: {one_scene} of {len(reasons)}")
        figures |= {"unrelated": len(reasons), "unrelated_one_scene": one_scene}
    if arguments.copies:
        figures |= report_copies(copies_called(rows, faces, arguments.copies))
    named = [*true_pairs(faces, rows), *made_pairs(faces, work)][:: arguments.every]
    pairs, left_out = learnt(named, work, describer(arguments.backbone))
    for line in left_out:
        print(f"left out: {line}")
    if pairs is not None:
        figures |= report_pairs(pairs)
    print(json.dumps(figures))


def report_copies(found: dict[str, list[tuple[str, float]]]) -> dict[str, object]:
    """Prints and returns what copies were called."""
    answers = [answer for one in found.values() for answer, _ in one]
    compared = [answer for answer in answers if answer in ("alike", "different", "other scene")]
    for kind, one in found.items():
        statistics = [value for _, value in one if not np.isnan(value)]
        highest = f", statistic at most {max(statistics):.2f}" if statistics else ""
        counts = {
            answer: sum(a == answer for a, _ in one) for answer in dict.fromkeys(a for a, _ in one)
        }
        print(f"copies, {kind}: {counts}{highest}")
    return {
        "copies": len(compared),
        "copies_different": compared.count("different"),
        "copies_other_scene": compared.count("other scene"),
        "copies_failed": len(answers) - len(compared),
        "copies_highest": round(max(v for one in found.values() for _, v in one if v == v), 3),
        "threshold": THRESHOLD,
    }


def report_pairs(pairs: Pairs) -> dict[str, object]:
    """Prints and returns the shares of pairs ordered rightly, and what ratios cost."""
    true = np.asarray([method != MADE for method in pairs.methods])
    people = other_people(pairs)
    both = held_out_scores(pairs)
    figures = report("true fakes, other people", people, pairs, true)
    figures |= report("true fakes, other people and methods", both, pairs, true)
    figures |= report("self-made, other people and methods", both, pairs, ~true)
    ratio = fit_ratio(both, pairs, seed=0)
    held = both[~np.isnan(both)]
    llrs = np.asarray([ratio.slope * one for one in held]).clip(ratio.lower, ratio.upper)
    cost = cllr(np.repeat([1, 0], len(llrs)), np.concatenate([llrs, -llrs]))
    print(
        f"likelihood ratio: slope {ratio.slope:.2f}, at most {10**ratio.upper:.1f}, Cllr {cost:.3f}"
    )
    return figures | {"cllr": round(cost, 4), "most_log10_lr": ratio.upper}


if __name__ == "__main__":
    main()
