"""Simulated results for every kind of page; each name in them is the same malicious one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from data.datasets.manifest import SplitCounts
from data.declared.model import clean
from data.faces.crops import Frames
from data.faces.multi_face import FacesFrames, Still
from data.video.corruptions import CORRUPTIONS
from features.sequences.dataset import Sequences
from features.store.feature_set import Failure
from models.evaluation.calibration import Calibration
from models.evaluation.evaluate import Estimate
from models.evaluation.likelihood_ratio import LikelihoodRatio
from models.evaluation.metrics import METRICS
from models.explanation.occlusion import CELLS, HeatMap, Part
from models.explanation.score_interval import ScoreInterval, Window
from models.hold_out.evaluate import HeldOutEvaluation, MethodResult
from models.training_summary import TrainingSummary
from pipeline.case.record import CaseRecord
from pipeline.datasets.audit import Audit
from pipeline.datasets.outside_pixels import OutsidePixels
from pipeline.evaluation.bundle_test_result import HeldOutResult
from pipeline.evaluation.corruption_results import ORIGINAL, CorruptionResult, CorruptionResults
from pipeline.evaluation.error_analysis import as_url
from pipeline.evaluation.matrix import Cell, Matrix
from pipeline.evaluation.results import BaselineResult, MisclassifiedVideo, Report
from pipeline.evaluation.similar_videos import count_tested
from pipeline.hold_out.result import HELD_OUT_SHOWN, Detector, HoldOutReport
from pipeline.inference.provenance import Provenance
from pipeline.inference.scan_journal import Row
from pipeline.inference.scan_result import Scan, Scored
from pipeline.inference.verdict import FaceVerdict, FileFacts, Judged, JudgedFace, Verdict
from pipeline.inference.weighing import Weighed
from pipeline.reporting.audit_page import render_audit
from pipeline.reporting.hold_out_page import render_held_out
from pipeline.reporting.matrix_page import render_matrix
from pipeline.reporting.report import render_page
from pipeline.reporting.robustness_page import render_robustness
from pipeline.reporting.scan_page import render_scan
from pipeline.reporting.sweep_page import render_sweep
from pipeline.reporting.verdict_page import render_verdict
from pipeline.search.ranking import Setting
from pipeline.search.sweep import SweepResult
from tests.pipeline.reporting.made_up_case import case_record
from tests.pipeline.reporting.test_report import made_up

HOSTILE = """'"><script>alert("x")</script><img src=x onerror='y'>{{ 7 * 7 }}&amp;\udcff.mp4"""
FRAMES = 8
RATIO = LikelihoodRatio(
    slope=0.4, intercept=0.1, lower=-1.2, upper=1.0, draws=((0.3, 0.0, -1.0, 0.9),), videos=40,
    groups=20, methods=3, cllr=0.7,
)  # fmt: skip
WEIGHED = Weighed(
    verdict="UNSURE", reason=HOSTILE, log10_lr=0.5, log10_lr_low=-0.2, log10_lr_high=0.9,
    novelty=0.8,
)  # fmt: skip
TESTED = count_tested(
    np.arange(40) % 2,
    np.array(["REAL", "FAKE", "UNSURE", "FAKE", "FAKE"] * 8),
    {
        "picture": np.repeat([360.0, 480.0, 1080.0, 2160.0], 10),
        "bits": np.geomspace(0.02, 0.5, 40),
        "face": np.linspace(90, 400, 40),
        "frames": np.full(40, 32.0),
    },
    np.arange(40) == 39,
)
RESULT = HeldOutResult(
    split="test",
    auc=Estimate(value=0.8, low=0.7, high=0.9),
    confidence=0.95,
    tested_on=TrainingSummary(
        videos=40, groups=20, reals=20, fakes=20, methods={HOSTILE: 20}, origins={"filmed": 20}
    ),
    tested=TESTED,
)
PROVENANCE = Provenance(line=HOSTILE, rendered_alone=True, result=RESULT)


def report() -> Report:
    """Two models, all baselines, a mistake, failures."""
    plain = made_up()
    weaker = plain.models["mean"].evaluation
    first = plain.models["lstm"]
    frames = {name: weaker.metrics[name] for name in METRICS}
    first = replace(
        first,
        evaluation=replace(first.evaluation, frames=frames, frame_threshold=0.4),
        calibration=Calibration(unsure_low=0.45, unsure_high=0.55),
        likelihood_ratio=RATIO,
        linear_alone=True,
        stop_reason=HOSTILE,
    )
    mistake = MisclassifiedVideo(
        row=0, timestamps_seconds=(0.0, 0.5), frame_scores=(0.4, 0.6),
        so_far=((0.0, 0.4), (0.5, 0.7)), shown_seconds=(0.0, 0.5), reason="",
        strip=as_url(np.full((2, 112, 112, 3), 90, np.uint8)),
    )  # fmt: skip
    return replace(
        plain,
        title=HOSTILE,
        models={"lstm": first, "mean": plain.models["mean"]},
        predictions=[
            replace(
                one,
                path=HOSTILE,
                group=HOSTILE,
                log10_lrs={"lstm": number / 10 - 0.4},
                novel=number == 0,
            )
            for number, one in enumerate(plain.predictions)
        ],
        baselines=[BaselineResult(name=HOSTILE, evaluation=weaker, gain=estimate(0.1))],
        misclassified=[mistake, replace(mistake, row=99)],
        split=HOSTILE,
        dataset=(
            SplitCounts(split="all", reals=5, fakes=5, groups=2, minutes=0.5, methods={HOSTILE: 5}),
        ),
        failures=({"path": HOSTILE, "class": HOSTILE, "message": HOSTILE, "stderr": HOSTILE},),
        missing=(HOSTILE,),
        model_card={HOSTILE: {HOSTILE: HOSTILE}},
        seen=HOSTILE,
        training_leaks=(HOSTILE,),
    )


def estimate(value: float) -> Estimate:
    return Estimate(value=value, low=value - 0.05, high=value + 0.05)


def corruption_results() -> CorruptionResults:
    """Every corruption, the last one without an evaluation."""
    found = made_up().models["lstm"].evaluation
    steps = [CorruptionResult(corruption=ORIGINAL, evaluation=found, drop=None, failed=0)]
    steps += [
        CorruptionResult(corruption=one, evaluation=found, drop=estimate(0.1), failed=1)
        for one in CORRUPTIONS[:-1]
    ]
    steps.append(CorruptionResult(corruption=CORRUPTIONS[-1], evaluation=None, drop=None, failed=3))
    failure = Failure(path=HOSTILE, failure=HOSTILE, message=HOSTILE, stderr_tail=HOSTILE)
    return CorruptionResults(
        steps=steps, split=HOSTILE, kind=HOSTILE, failures=[(HOSTILE, failure)], seen=HOSTILE,
        rendered=True, facts={HOSTILE: HOSTILE}, training_leaks=(HOSTILE,),
    )  # fmt: skip


def matrix() -> Matrix:
    """Two bundles on two data sets."""
    found = made_up().models["lstm"].evaluation
    nothing = Sequences(
        features=np.zeros((0, 0, 0)), mask=np.zeros((0, 0), bool), labels=np.zeros(0, np.int8),
        groups=(), methods=(), paths=(), sha256s=(),
    )  # fmt: skip
    names = (HOSTILE, "plain")
    cells = {
        (bundle, name): Cell(
            bundle=bundle, dataset=name, evaluation=found, baseline=estimate(0.8),
            own=bundle == name, seen=HOSTILE, training_leaks=(HOSTILE,), failed=(HOSTILE,),
            sequences=nothing, scores=(),
        )
        for bundle in names
        for name in names
    }  # fmt: skip
    return Matrix(
        bundles=names, datasets=names, cells=cells, split=HOSTILE, rendered=True,
        facts={HOSTILE: HOSTILE},
    )  # fmt: skip


def held_out() -> HoldOutReport:
    """Two detectors on one method."""
    one = Estimate(value=0.7, low=0.6, high=0.8)
    evaluation = HeldOutEvaluation(
        metrics=dict.fromkeys(HELD_OUT_SHOWN, one),
        methods={HOSTILE: MethodResult(videos=3, groups=2, auc=one, recall=one)},
        confidence=0.95,
        samples={},
    )
    first = Detector(name=HOSTILE, evaluation=evaluation, gain={}, part_gains=(0.0,))
    video = cast(Any, SimpleNamespace(label=1, path=HOSTILE, group=HOSTILE, method=HOSTILE))
    return HoldOutReport(
        detectors=(first, replace(first, name="mean", gain={"auc": one})), videos=(video,),
        scores=np.array([0.5]), folds=(), trained_only=0, pairs=1, missing=(HOSTILE,) * 101,
        seen=HOSTILE, rendered=False, facts={HOSTILE: HOSTILE},
    )  # fmt: skip


def sweep() -> SweepResult:
    """Settings of which one diverged and one was pruned, with every chart of a search."""
    good = Setting(
        values={HOSTILE: HOSTILE, "train.learning_rate": 1e-2}, aucs=(0.8, 0.9), mean=0.85,
        spread=0.07, loss=0.4, failed=0, seconds=1.5,
    )  # fmt: skip
    bad = replace(good, aucs=(), mean=0.0, spread=0.0, loss=None, failed=2)
    lower = [
        replace(good, values={HOSTILE: HOSTILE, "train.learning_rate": 10.0**-power}, mean=0.7)
        for power in (3, 4, 5)
    ]
    return SweepResult(
        out=Path(HOSTILE.replace("/", "")),
        runs=8,
        trained_now=8,
        workers=1,
        seeds=2,
        ranking=(good, *lower, replace(bad, failed=0, pruned=1), bad),
        history=(0.7, None, 0.7, 0.85, 0.7, 0.0),
        importances={HOSTILE: 0.25, "train.learning_rate": 0.75},
        next=HOSTILE,
        seen_in_validation=HOSTILE,
    )


def audit() -> Audit:
    """Something of everything that an audit finds."""
    return Audit(
        videos=2,
        groups=1,
        balance=[{"split": HOSTILE, "label": "fake", "method": HOSTILE, "videos": 2, "groups": 1}],
        straddling=[
            {"what": HOSTILE, "name": HOSTILE, "splits": [HOSTILE, "b"], "a": HOSTILE, "b": HOSTILE}
        ],
        lookalikes=[{"a": HOSTILE, "b": HOSTILE, "differs": 0.04}],
        unhashed=0,
        metadata=[{"what": HOSTILE, "auc": 0.7, "low": 0.6, "high": 0.8}],
        outside=OutsidePixels(
            pairs=20,
            unread=(HOSTILE,),
            aucs=({"what": HOSTILE, "auc": 0.7, "low": 0.6, "high": 0.8},),
        ),
        level=0.95,
        warnings=[HOSTILE],
    )


def bundle() -> Any:
    """What pages read of a bundle."""
    calibration = Calibration(unsure_low=0.45, unsure_high=0.55, rule=HOSTILE)
    head = SimpleNamespace(
        threshold=0.5,
        calibration=calibration,
        config=SimpleNamespace(kind=HOSTILE, units=16, is_average=False),
        likelihood_ratio=RATIO,
    )
    return SimpleNamespace(
        head=head,
        recipe={"backbone": HOSTILE, "backbone_digest": HOSTILE, "frames": {"count": HOSTILE}},
        versions={"unmask": HOSTILE},
        trained_on={"train": {"sha256s": ["0" * 64], "groups": [HOSTILE]}},
        provenance={},
        pixels_note=HOSTILE,
        seen_in_validation=HOSTILE,
        novelty=SimpleNamespace(share=0.05, people=28),
    )


def scan() -> Scan:
    """A scored video and two that failed alike."""
    scored = Row(path=HOSTILE, stamp=(1, 2), probability_fake=0.7, frames_used=8, faces_found=8,
                 resized=True)  # fmt: skip
    failed = Row(path=HOSTILE, stamp=(1, 2), failure=HOSTILE, message=HOSTILE)
    return Scan(
        folder=HOSTILE, videos=4, scored=[Scored(row=scored, weighed=WEIGHED)],
        failures=[failed, failed], command=HOSTILE, provenance=PROVENANCE,
    )  # fmt: skip


def judged(faces: int = 1) -> Judged:
    """A video of 8 frames in full HD, each crop 224 pixels wide and with a camera's noise."""
    draw = np.random.default_rng(0)

    def pixels(*shape: int) -> np.ndarray:
        height, width = shape[-3:-1]
        light = np.add.outer(np.linspace(0, 90, height), np.linspace(40, 130, width))
        return np.clip(light[..., None] + draw.normal(0, 4, shape), 0, 255).astype(np.uint8)

    times = np.arange(FRAMES) / 2
    frames = {
        "timestamps_seconds": times,
        "boxes": np.tile(np.float32([400, 200, 900, 700]), (FRAMES, 1)),
        "face_found": np.arange(FRAMES) > 5,
    }
    crops = Frames(pixels=pixels(FRAMES, 224, 224, 3), **frames)
    windows = tuple(
        Window(start_seconds=at, end_seconds=at + 1.5, probability_fake=0.3 + at / 5)
        for at in times[:5]
    )
    score = ScoreInterval(
        probability_fake=0.6, low=0.4, high=0.8, agreement=0.9, windows=windows
    )  # fmt: skip
    one = FaceVerdict(
        face=1, verdict="FAKE", probability_fake=0.6, probability_low=0.4, probability_high=0.8,
        interval_level=0.95, agreement=0.9, frames_used=FRAMES, faces_found=2, start_seconds=0.0,
        end_seconds=3.5, jumps=1, box=(400.0, 200.0, 900.0, 700.0), reason=HOSTILE,
        log10_lr=0.5, log10_lr_low=0.2, log10_lr_high=0.9, likelihood=HOSTILE, novelty=0.8,
    )  # fmt: skip
    found = [replace(one, face=number) for number in range(1, faces + 1)]
    return Judged(
        verdict=Verdict(
            video=HOSTILE, verdict="FAKE", probability_fake=0.6, threshold=0.5, frames_used=FRAMES,
            faces_found=2, sha256="0" * 64, faces=tuple(found), pixels_note=HOSTILE,
            picture_note=HOSTILE, reason=HOSTILE, log10_lr=0.5, log10_lr_low=0.2,
            log10_lr_high=0.9, likelihood=HOSTILE, novelty=0.8, prior=0.01, posterior_fake=0.03,
        ),
        path=Path(HOSTILE),
        frames=FacesFrames(
            pixels=crops.pixels,
            **frames,
            faces=(crops,),
            still=Still(pixels=pixels(540, 960, 3), scale=0.5, timestamp_seconds=1.0),
        ),
        faces=tuple(
            JudgedFace(verdict=one, score=score, frames=crops, features=np.zeros((FRAMES, 4)))
            for one in found
        ),
    )  # fmt: skip


def heat() -> HeatMap:
    """A map whose upper left speaks for fake and lower right for real."""
    slope = np.add.outer(np.linspace(1, 0, CELLS), np.linspace(0, -1, CELLS))
    return HeatMap(
        whole=slope,
        frames=np.tile(slope / 5, (FRAMES, 1, 1)),
        frame_numbers=np.arange(FRAMES),
        probability_fake=0.6,
        hottest=Part(top=0, left=0, effect=1.0, probability_fake=0.3),
        coldest=Part(top=5, left=5, effect=-1.0, probability_fake=0.8),
    )


def verdict_page(faces: int = 1, case: CaseRecord | None = None) -> str:
    """The page of that video, with the heat of every face."""
    one = judged(faces)
    return render_verdict(
        bundle(),
        one,
        heats={face.verdict.face: heat() for face in one.faces},
        file=FileFacts(
            card={HOSTILE: HOSTILE}, quantities={"picture": 720.0, "bits": 0.01, "face": 210.0}
        ),
        provenance=PROVENANCE,
        command=HOSTILE,
        case=case,
    )


PAGES = {
    "report": lambda: render_page(report()),
    "robustness": lambda: render_robustness(corruption_results()),
    "matrix": lambda: render_matrix(matrix()),
    "hold_out": lambda: render_held_out(held_out()),
    "sweep": lambda: render_sweep(sweep()),
    "audit": lambda: render_audit(audit(), HOSTILE),
    "scan": lambda: render_scan(bundle(), scan()),
    "verdict": verdict_page,
    "case": lambda: verdict_page(case=case_record(judged(), clean(HOSTILE))),
}
"""Name -> what renders it."""
