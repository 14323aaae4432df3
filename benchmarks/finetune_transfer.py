"""Which ways of fine-tuning transfer to people and forgery programs that training never saw?

    python benchmarks/finetune_transfer.py --faces ../shared/faces [--only NAME ...] [--seed 0]

Three parts of the people and of the programs are held out in turn (`models.hold_out.folds`), those
of one family together. Each try tunes the backbone on the other clips for a fixed number of epochs,
so nothing is chosen on what is held out. Then the clips are embedded, the head that `train` makes
by default without its residual (`statistics`, learnt by people) is fitted on the clips that the
backbone was tuned on, and scores those held out. A row has the mean AUC over programs with
three clips or more, over all programs, the share of same-scene pairs ranked rightly, the first by
the tuned network's own frame scores, and the gain in it over the frozen backbone on crops of 160
px, each with a 95 % interval by groups of people. The last line is one JSON object. Crops are
kept in --work. `benchmarks/finetune_tries.py` lists the tries and has the losses of those that are
not settings of `finetune`.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.finetune_tries import TRIES, Try, TryNet, at_level, subset, train
from benchmarks.transfer_data import ROOT
from data.errors import VideoError
from data.faces.crops import read_frames
from data.faces.tracker import FaceFinder
from data.video.frames import FrameRecipe
from models.backbones.registry import load_backbone
from models.configs import HeadConfig
from models.evaluation.evaluate import Estimate
from models.evaluation.pairs import pair_rows
from models.finetuning.clips import Clips
from models.finetuning.forging import Forger
from models.heads.split_checks import video_weights
from models.hold_out.evaluate import HeldOutEvaluation, HeldOutScores, difference, evaluate_held_out
from models.hold_out.folds import Fold, make_folds
from models.linear.contrasts import contrasts
from models.linear.fit import fit_linear_model
from models.linear.statistics import statistics_of
from models.tf_runtime import keras, limit_threads, seed_everything

FRAMES, ROUNDS = 8, 1000
HEAD = HeadConfig(kind="statistics")
METRICS = ("auc_methods_several", "auc_methods", "pairs")
HEADINGS = (
    "AUC, 3+", "AUC, all", "pairs", "gain in AUC, 3+", "AUC, 3+, network", "training AUC",
    "CPU minutes",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Faces:
    """The clips of a folder at one size of crop."""

    clips: Clips  # `sha256s` are paths
    methods: NDArray[np.str_]  # (N,) of the fakes
    sides: NDArray[np.float64]  # (N,) of the crops in the source's pixels, the median
    pairs: NDArray[np.int64]  # (K, 2) rows of a fake and its original


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """Scores by the detectors of M folds; NaN for a clip that one did not test."""

    head: NDArray[np.float64]  # (M, N) logits of the head
    network: NDArray[np.float64]  # (M, N) mean frame logits of the tuned network
    learnt: tuple[float, ...]  # AUC of each fold's last training steps, augmented; () if frozen


def read_faces(folder: Path, work: Path, size: int) -> Faces:
    """Reads labels.csv and the crops, from `work` where they are there."""
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as handle:
        rows = sorted(csv.DictReader(handle), key=lambda row: row["path"])
    kept = work / f"{size}.npz"
    if not kept.is_file():
        finder = FaceFinder()
        recipe = FrameRecipe(count=FRAMES, size=size, minimum_frames=FRAMES)

        def read(path: str) -> tuple[NDArray[np.uint8], float] | None:
            try:
                found = read_frames(folder / path, recipe, faces=finder)
            except VideoError as error:
                print(f"{path} is left out: {error}", file=sys.stderr)
                return None
            return found.pixels, float(np.median(found.boxes[:, 2] - found.boxes[:, 0]))

        with ThreadPoolExecutor(2) as pool:
            read_all = list(pool.map(read, [row["path"] for row in rows]))
        there = [row["path"] for row, one in zip(rows, read_all, strict=True) if one is not None]
        work.mkdir(parents=True, exist_ok=True)
        np.savez(
            kept, paths=np.asarray(there),
            pixels=np.stack([one[0] for one in read_all if one is not None]),
            sides=np.asarray([one[1] for one in read_all if one is not None]),
        )  # fmt: skip
    with np.load(kept) as stored:
        paths, pixels, sides = (stored[name] for name in ("paths", "pixels", "sides"))
    of_path = {row["path"]: row for row in rows}
    chosen = [of_path[path] for path in paths.tolist()]
    labels = np.asarray([row["label"] == "fake" for row in chosen], np.int8)
    pairs = pair_rows(paths.tolist(), labels, [row["original"] for row in chosen])
    originals = np.full(len(paths), -1)
    originals[pairs[:, 0]] = pairs[:, 1]
    return Faces(
        clips=Clips(
            pixels=pixels, counts=np.full(len(paths), FRAMES), labels=labels,
            groups=tuple(row["group"] for row in chosen), sha256s=tuple(paths.tolist()),
            originals=originals, failures=(),
        ),
        methods=np.asarray([row["method"] for row in chosen]),
        sides=sides,
        pairs=pairs,
    )  # fmt: skip


def embed_frozen(base: Any, plain: Try, faces: Faces, kept: Path) -> NDArray[np.float32]:
    """(N, F, D) by the backbone as it is, from `kept` where it is there."""
    if not kept.is_file():
        np.save(kept, TryNet(base, plain)._embed_clips(faces.clips))
    return np.load(kept)


def head_scores(faces: Faces, embedded: NDArray[np.float32], fold: Fold) -> NDArray[np.float64]:
    """Logits (N,) of the head `statistics`, learnt by people on the fold's training clips."""
    mask = np.ones(embedded.shape[:2], bool)
    columns = statistics_of(embedded, mask, statistics=HEAD.statistics, frame_norm=HEAD.frame_norm)
    rows, clips = np.flatnonzero(fold.train), faces.clips
    groups = [clips.groups[row] for row in rows]
    fitted = fit_linear_model(
        columns[rows], clips.labels[rows], groups, faces.methods[rows].tolist(),
        differences=contrasts("people", clips.labels[rows], groups, [], []),
        weights=video_weights(clips.labels[rows], "balanced"), fitted=np.ones(len(rows), bool),
    )  # fmt: skip
    return fitted.logits(columns)


def attempt(
    tried: Try, faces: Faces, frozen: NDArray[np.float32], folds: list[Fold],
    forger: Forger, base: Any, *, seed: int,
) -> Outcome:  # fmt: skip
    """Tunes and scores in each of M folds."""
    by_head, by_network = (
        np.full((len(folds), len(faces.clips.sha256s)), np.nan) for _ in range(2)
    )
    learnt, levelled = [], frozen
    if tried.level:
        levelled = TryNet(base, tried)._embed_clips(at_level(faces.clips, tried.level))
    kept = base.model.get_weights()
    for number, fold in enumerate(folds):
        embedded, network = levelled, None
        if not tried.frozen:
            base.model.set_weights(kept)
            base.model.trainable = False
            seed_everything(seed)
            net = TryNet(base, tried)
            rows = np.flatnonzero(fold.train)
            place = {int(row): at for at, row in enumerate(rows) if row in forger.points}
            mine = subset(faces.clips, rows)
            own = forger.renumbered(mine.pixels, place) if tried.settings().forge else None
            auc = train(
                net, mine, embedded=frozen[rows], methods=faces.methods[rows],
                sides=faces.sides[rows], forger=own, seed=seed,
            )  # fmt: skip
            learnt.append(auc)
            used = np.flatnonzero(fold.train | fold.test)
            embedded = frozen.copy()
            embedded[used] = net._embed_clips(subset(faces.clips, used))
            kernel, bias = net._dense.get_weights()
            flat = embedded.reshape(-1, embedded.shape[-1])
            logits = np.asarray(net.on_sphere(flat)) @ kernel[:, 0] + bias
            network = logits.reshape(embedded.shape[:2]).mean(1)
        by_head[number, fold.test] = head_scores(faces, embedded, fold)[fold.test]
        if network is not None:
            by_network[number, fold.test] = network[fold.test]
        keras.backend.clear_session()
    base.model.set_weights(kept)
    return Outcome(head=by_head, network=by_network, learnt=tuple(learnt))


def measure(faces: Faces, scores: NDArray[np.float64]) -> HeldOutEvaluation:
    """The metrics of all tested clips."""
    rows = np.flatnonzero((~np.isnan(scores)).any(0))
    place = {int(row): at for at, row in enumerate(rows)}
    pairs = [[place[a], place[b]] for a, b in faces.pairs.tolist() if a in place and b in place]
    said = scores[:, rows]
    there = ~np.isnan(said)
    return evaluate_held_out(
        faces.clips.labels[rows], np.asarray(faces.clips.groups)[rows], faces.methods[rows],
        np.asarray(pairs, np.int64).reshape(-1, 2),
        HeldOutScores(
            scores=said, llrs=np.where(there, said, np.nan), called_fake=there & (said > 0),
            decided=there,
        ),
        rounds=ROUNDS, confidence=0.95, seed=0,
    )  # fmt: skip


def shown(one: Estimate | None, sign: str = "") -> str:
    """A value and its interval."""
    if one is None:
        return "-"
    low, high = (f"{value:{sign}.2f}" for value in (one.low, one.high))
    return f"{one.value:{sign}.2f} ({low} to {high})"


def row_of(
    by_head: HeldOutEvaluation, by_network: HeldOutEvaluation | None,
    frozen: HeldOutEvaluation, *, learnt: float | None, minutes: float,
) -> tuple[list[str], dict[str, Any]]:  # fmt: skip
    """Cells of a try's row, and its figures: value, low and high of each."""
    estimates = {one: by_head.metrics[one] for one in METRICS}
    estimates |= {f"gain_{one}": difference(by_head, frozen, one) for one in METRICS}
    if by_network is not None:
        estimates |= {f"network_{one}": by_network.metrics[one] for one in METRICS}
    gain, network = (estimates.get(f"{one}_{METRICS[0]}") for one in ("gain", "network"))
    cells = [
        *(shown(estimates[one]) for one in METRICS), shown(gain, "+"), shown(network),
        "-" if learnt is None else f"{learnt:.2f}", f"{minutes:.1f}",
    ]  # fmt: skip
    figures: dict[str, Any] = {
        name: [round(value, 4) for value in (one.value, one.low, one.high)]
        for name, one in estimates.items()
    }
    programs = {name: round(one.auc.value, 3) for name, one in by_head.methods.items()}
    figures |= {"by_program": programs, "learnt": learnt, "cpu_minutes": round(minutes, 2)}
    return cells, figures


def main() -> None:
    """Prints the table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, default=ROOT.parent / "shared" / "faces")
    parser.add_argument("--work", type=Path, default=ROOT / ".unmask" / "finetune-transfer")
    parser.add_argument("--backbone", default="resnet50-thin")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="some tries")
    parser.add_argument("--folds", type=int, default=3, help="of people and programs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="of TensorFlow; 0 for all cores")
    arguments = parser.parse_args()
    if not (arguments.faces / "labels.csv").is_file():
        sys.exit(f"{arguments.faces} has no labels.csv; name the folder by --faces")
    names = [one.name for one in TRIES]
    if unknown := set(arguments.only) - set(names):
        sys.exit(f"no try is named {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if arguments.threads:
        limit_threads(arguments.threads)
    begun, figures = time.monotonic(), {}
    chosen = [one for one in TRIES if one.name in (arguments.only or names)]
    print(f"{'':<34}" + "".join(f"{one:>24}" for one in HEADINGS))
    frozen: HeldOutEvaluation | None = None
    paths: tuple[str, ...] = ()
    for size in sorted({Try(name="").size, *(one.size for one in chosen)}):
        faces = read_faces(arguments.faces, arguments.work, size)
        families = [re.split(r"[^0-9A-Za-z]", one)[0] for one in faces.methods.tolist()]
        folds = make_folds(faces.clips.labels, faces.clips.groups, families, count=arguments.folds)
        base = load_backbone(arguments.backbone, size=size, seed=0)
        forger = Forger(faces.clips, workers=2)
        plain = Try(name="frozen", frozen=True, size=size)
        kept = arguments.work / f"{size}-{base.digest[:16]}.npy"
        embedded = embed_frozen(base, plain, faces, kept)
        run = partial(attempt, faces=faces, frozen=embedded, folds=folds, forger=forger, base=base)
        if frozen is None:
            frozen, paths = measure(faces, run(plain, seed=0).head), faces.clips.sha256s
        elif faces.clips.sha256s != paths:
            sys.exit(f"other clips can be read at {size} px than at {Try(name='').size}")
        for tried in (one for one in chosen if one.size == size):
            started = time.process_time()
            found = run(tried, seed=arguments.seed)
            cells, figures[tried.name] = row_of(
                measure(faces, found.head),
                measure(faces, found.network) if found.learnt else None, frozen,
                learnt=round(float(np.mean(found.learnt)), 3) if found.learnt else None,
                minutes=(time.process_time() - started) / 60,
            )  # fmt: skip
            print(f"{tried.name:<34}" + "".join(f"{cell:>24}" for cell in cells), flush=True)
    figures["seconds"] = round(time.monotonic() - begun, 1)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
