"""Does `unmask pair` tell which of two versions is forged, and leave copies alone?

    python benchmarks/pair.py [--faces ../shared/faces] [--work .unmask/pair] [--every 1]
        [--copies 120] [--unrelated 300] [--write models/pairs/built_in.json]

Pairs are the fakes of ../shared/faces with their `original`, and self-made forgeries (`forge`) of
its reals. Each pair is taken as it is, with its real encoded anew, and with its fake encoded anew.
Which side is forged says the detail that it lacks, of which nothing was learnt; likelihood ratios
of it are fitted to other people and forgery methods, and to the other kind of pairs (Cllr; 1 is
what always saying "about as likely" has). Copies are encoded at CRF 18 to 40, halved, cropped,
mirrored and cut; unrelated clips are of other groups. The share of pairs ordered rightly has a 95 %
interval by group. --every takes one pair of so many; finished pairs are kept in --work. --write
fits the ratio that comes with unmask, to pairs of clips whose licence allows it. The last line is
one JSON object.
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
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from scipy.special import expit

from data.alignment.align import align
from data.alignment.align_files import align_files
from data.alignment.difference import THRESHOLD
from data.alignment.overview import Overview, read_overview
from data.errors import VideoError
from data.images.identity import source_sha256
from data.video.ffmpeg import find_tools
from data.video.probe import probe
from models.evaluation.bootstrap import group_weights
from models.evaluation.likelihood_ratio_fit import cllr
from models.pairs.fit import Losses, fit_ratio, held_out_ratios
from models.pairs.model import UNIT, built_in
from pipeline.pairs.compare import LEAST_NAMED, compare_videos
from pipeline.pairs.fit import NotAPairError, fit_model, losses_of

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


ALLOWED = ("MIT", "Apache-2.0", "CC0-1.0", "CC-BY-4.0", "GPL-3.0")
"""Licences of the clips to which what is shipped may be fitted."""


class Named(NamedTuple):
    """One pair."""

    name: str
    real: Path
    fake: Path
    group: str
    method: str
    licensed: bool  # whether what is shipped may be fitted to it


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """Losses of detail of pairs."""

    pairs: list[Named]  # N
    lost: np.ndarray  # (N, 3) as they are, the real encoded anew, the fake encoded anew

    def rows(self, which: list[bool]) -> Measured:
        """Those of some pairs."""
        kept = [number for number, one in enumerate(which) if one]
        return Measured(pairs=[self.pairs[row] for row in kept], lost=self.lost[kept])

    @property
    def losses(self) -> Losses:
        """All N * 3."""
        return Losses(
            lost=self.lost.ravel(),
            groups=tuple(one.group for one in self.pairs for _ in range(3)),
            methods=tuple(one.method for one in self.pairs for _ in range(3)),
        )


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
    licences = {row["path"]: row["licence"] for row in rows}
    found = []
    for row in rows:
        if real := row["original"]:
            licensed = {row["licence"], licences[real]} <= set(ALLOWED)
            paths = faces / real, faces / row["path"]
            found.append(Named(row["path"], *paths, row["group"], row["method"], licensed))
    return found


def made_pairs(faces: Path, work: Path, rows: list[dict[str, str]]) -> list[Named]:
    """Self-made forgeries of the reals, one each; made here unless they are in the folder."""
    out = work / "forged"
    if not (out / "labels.csv").is_file():
        command = [sys.executable, "-m", "pipeline", "forge", faces, out, "-q"]
        subprocess.run([*command, "--set", "forge.copies=1", "--set", "forge.seconds=3"],
                       check=True, cwd=work,
                       env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    licences = {row["path"]: row["licence"] for row in rows}
    with (out / "forgeries.csv").open(encoding="utf-8") as handle:
        used = {row["path"]: {row["video"], row["donor"]} - {""} for row in csv.DictReader(handle)}
    with (out / "labels.csv").open(encoding="utf-8") as handle:
        listed = list(csv.DictReader(handle))
    found = []
    for row in listed:
        if row["label"] == "fake" and row.get("original"):
            licensed = {licences[name] for name in used[row["path"]]} <= set(ALLOWED)
            paths = out / row["original"], out / row["path"]
            name = f"{MADE}/{row['path']}"
            found.append(Named(name, *paths, row["group"], row["method"], licensed))
    return found


def measured(named: list[Named], work: Path) -> tuple[Measured, list[str]]:
    """Losses of all pairs, and why others are left out."""
    kept = work / "losses"
    kept.mkdir(parents=True, exist_ok=True)
    pairs, rows, left_out = [], [], []
    for number, one in enumerate(named):
        file = kept / f"{one.name.replace('/', '_')}.npy"
        try:
            if not file.exists():
                with tempfile.TemporaryDirectory() as folder:
                    found = losses_of(align_files(one.real, one.fake), number, Path(folder))
                np.save(file, found)
        except (NotAPairError, VideoError) as error:
            left_out.append(f"{one.name}: {error}")
            continue
        rows.append(np.load(file))
        pairs.append(one)
    return Measured(pairs=pairs, lost=np.asarray(rows).reshape(len(rows), 3)), left_out


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
) -> dict[str, list[tuple[str, float, float]]]:
    """Answer, statistic and log10 LR of clips and their copies, by kind."""
    found: dict[str, list[tuple[str, float, float]]] = {kind: [] for kind in COPIES}
    chosen = random.Random(0).sample(rows, min(count, len(rows)))
    for row, kind in zip(chosen, itertools.cycle(COPIES), strict=False):
        with tempfile.TemporaryDirectory() as folder:
            try:
                copy = make_copy(faces / row["path"], Path(folder) / "copy.mp4", kind)
                result = compare_videos(faces / row["path"], copy, judge=None).result
            except VideoError as error:
                found[kind].append((error.failure, np.nan, 0.0))
                continue
        statistic = result.faces[0].statistic if result.faces else np.nan
        found[kind].append((result.answer, statistic, result.log10_lr or 0.0))
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


def report(name: str, found: Measured) -> dict[str, object]:
    """Prints and returns the shares of pairs ordered rightly."""
    figures: dict[str, object] = {}
    groups = [one.group for one in found.pairs]
    for column, kind in enumerate(("as they are", "real encoded anew", "fake encoded anew")):
        share, low, high = share_right(found.lost[:, column], groups)
        middle = np.median(found.lost[:, column])
        print(
            f"{name:<34}{kind:<20}{len(groups):>4} pairs  {share:.2f} ({low:.2f} to {high:.2f}), "
            f"median loss {middle:.3f}"
        )
        figures[f"{name}, {kind}"] = [round(share, 3), round(low, 3), round(high, 3), len(groups)]
    return figures


def main() -> None:
    """Prints the shares and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, default=ROOT.parent / "shared" / "faces")
    parser.add_argument("--work", type=Path, default=ROOT / ".unmask" / "pair")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--copies", type=int, default=120)
    parser.add_argument("--unrelated", type=int, default=300)
    parser.add_argument("--write", type=Path)
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
    named = [*true_pairs(faces, rows), *made_pairs(faces, work, rows)][:: arguments.every]
    found, left_out = measured(named, work)
    for line in left_out:
        print(f"left out: {line}")
    figures |= report_pairs(found)
    if arguments.write is not None:
        write_built_in(found.rows([one.licensed for one in found.pairs]), arguments.write)
    print(json.dumps(figures))


def report_copies(found: dict[str, list[tuple[str, float, float]]]) -> dict[str, object]:
    """Prints and returns what copies were called."""
    answers = [answer for one in found.values() for answer, *_ in one]
    compared = [answer for answer in answers if answer in ("alike", "different", "other scene")]
    for kind, one in found.items():
        statistics = [value for _, value, _ in one if not np.isnan(value)]
        highest = f", statistic at most {max(statistics):.2f}" if statistics else ""
        counts = {
            answer: sum(a == answer for a, *_ in one)
            for answer in dict.fromkeys(a for a, *_ in one)
        }
        print(f"copies, {kind}: {counts}{highest}")
    return {
        "copies": len(compared),
        "copies_different": compared.count("different"),
        "copies_other_scene": compared.count("other scene"),
        "copies_failed": len(answers) - len(compared),
        "copies_highest": round(max(v for one in found.values() for _, v, _ in one if v == v), 3),
        "copies_named": sum(abs(lr) >= LEAST_NAMED for one in found.values() for *_, lr in one),
        "threshold": THRESHOLD,
    }


def report_pairs(found: Measured) -> dict[str, object]:
    """Prints and returns the shares of pairs ordered rightly, and what ratios cost."""
    true = [one.name.split("/")[0] != MADE for one in found.pairs]
    figures = report("published fakes", found.rows(true))
    figures |= report("self-made forgeries", found.rows([not one for one in true]))
    for method in sorted({one.method for one in found.pairs}):
        figures |= report(method, found.rows([one.method == method for one in found.pairs]))
    told = held_out_ratios(found.losses).reshape(found.lost.shape)
    for name, which in (("published fakes", true), ("self-made", [not one for one in true])):
        figures |= report_ratios(name, told[which])
    figures |= report_ratios("all", told)
    for name, which in (("published fakes", true), ("self-made", [not one for one in true])):
        figures |= report_transfer(name, found, np.asarray(which))
    for name, which in (("published fakes", true), ("self-made", [not one for one in true])):
        figures |= report_built_in(name, found.rows(which).lost)
    return figures


def report_transfer(name: str, found: Measured, tested: np.ndarray) -> dict[str, object]:
    """The same of a ratio that was fitted to the other kind of pairs, by version."""
    ratio = fit_ratio(found.rows((~tested).tolist()).losses)
    told = ratio.told(expit(found.rows(tested.tolist()).lost / UNIT))
    cost = cllr(np.repeat([1, 0], told.size), np.concatenate([told.ravel(), -told.ravel()]))
    named = report_named(f"ratio fitted to the other kind, {name}: Cllr {cost:.3f};", told)
    return {f"{name}, other kind": [round(cost, 4), *named]}


def report_built_in(name: str, lost: np.ndarray) -> dict[str, object]:
    """Prints and returns how many pairs (N, 3) the built-in ratio names a side of, by version."""
    model = built_in()
    told = np.asarray([[model.log10_lr(one)[0] for one in row] for row in lost]).reshape(-1, 3)
    named = report_named(f"built-in ratio, fitted to most of these pairs, {name}:", told)
    return {f"{name}, built in": named}


def report_named(words: str, told: np.ndarray) -> list[float]:
    """Prints and returns how often ratios (N, 3) name the forged and the real side, by version."""
    said, wrong = (told >= LEAST_NAMED).mean(0), (told <= -LEAST_NAMED).mean(0)
    print(
        f"{words} names the forged side in {said.round(2).tolist()} (as they are, real anew, fake "
        f"anew), the real one in {wrong.round(2).tolist()}"
    )
    return [*said.round(4).tolist(), *wrong.round(4).tolist()]


def report_ratios(name: str, told: np.ndarray) -> dict[str, object]:
    """Prints and returns what the told ratios of held-out pairs (N, 3) cost and say."""
    held = told[~np.isnan(told)]
    if not len(held):
        return {}
    cost = cllr(np.repeat([1, 0], len(held)), np.concatenate([held, -held]))
    said, wrong = (abs(held) >= LEAST_NAMED).mean(), (held <= -LEAST_NAMED).mean()
    print(
        f"ratios told, other people and methods, {name}: {len(held)}, Cllr {cost:.3f}, up to "
        f"{10 ** np.abs(held).max():.1f}; {said:.0%} name a side, {wrong:.1%} the wrong one"
    )
    return {
        f"{name}, cllr": round(cost, 4),
        f"{name}, told": [len(held), round(float(said), 4), round(float(wrong), 4)],
    }


def write_built_in(found: Measured, path: Path) -> None:
    """Fits the ratio that comes with unmask, and writes it."""
    files = {file for one in found.pairs for file in (one.real, one.fake)}
    model = fit_model(
        found.lost,
        [one.group for one in found.pairs],
        [one.method for one in found.pairs],
        [source_sha256(file) for file in sorted(files)],
    )
    model.save(path)
    print(f"{path}: {model.origin}")


if __name__ == "__main__":
    main()
