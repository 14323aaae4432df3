"""The leak guard: asked first by every command, one rule in all, a mark where it is waived."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.datasets.manifest import Manifest, Video
from data.errors import LeakError
from features.store.feature_set import SEEN_IN_VALIDATION, Features, publish
from features.store.key import sequence_key
from features.store.shard import StoredSequence
from features.store.store import FeatureStore
from models.bundle import Bundle
from models.evaluation.evaluate import evaluate
from pipeline.cli.evaluations.output import show_robustness
from pipeline.evaluation.corruption_results import (
    ORIGINAL,
    CorruptionResult,
    CorruptionResults,
)
from pipeline.leakage import record_seen, refuse_seen_validation, seen_among
from pipeline.reporting.robustness_page import render_robustness
from tests.features.conftest import make_recipe
from tests.pipeline.cli.test_cli import one_line
from tests.pipeline.reporting.test_report import Page

QUICK = ("--set", "head.kind=mean", "--set", "train.epochs=2")


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def split_of(number: int) -> str:
    return "train" if number < 24 else "val" if number < 34 else "test"


def video(number: int, *, group: str = "", split: str = "") -> Video:
    name = f"v{number:02}"
    return Video(
        path=f"{name}.mp4", label=number % 2, group=group or f"p{number // 2:02}", method="swap",
        split=split or split_of(number), sha256=digest(name), size_bytes=1, codec="h264", width=1,
        height=1, fps=25.0, duration_seconds=1.0, bit_rate=1,
    )  # fmt: skip


VIDEOS = tuple(map(video, range(44)))


def knows(*numbers: int, people: tuple[str, ...] = (), part: str = "train") -> dict[str, Any]:
    """Provenance of a backbone that was fine-tuned on these videos and these people."""
    return {
        "trained_on": {
            "train": {"sha256s": [], "groups": []},
            "val": {"sha256s": [], "groups": []},
            part: {
                "sha256s": [digest(f"v{number:02}") for number in numbers],
                "groups": [*people, *sorted({VIDEOS[number].group for number in numbers})],
            },
        }
    }


@dataclass(frozen=True)
class Data:
    features: Path
    manifest: Path

    @property
    def arguments(self) -> tuple[object, ...]:
        return (self.features, "--manifest", self.manifest)


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Features and manifest of made-up videos; the backbone's provenance is to choose."""

    def made(provenance: dict[str, Any], videos: tuple[Video, ...] = VIDEOS) -> Data:
        folder = tmp_path_factory.mktemp("data")
        frames = {**make_recipe().frames, "size": 64}
        recipe = make_recipe(backbone="resnet50-thin", frames=frames)
        draw = np.random.default_rng(0)
        with FeatureStore(folder / "store", recipe, versions={}) as store:
            store.begin([sequence_key(one.sha256, recipe) for one in videos])
            for one in videos:
                features = draw.standard_normal((4, 8)) + one.label
                store.stage(
                    StoredSequence(
                        sha256=one.sha256, key=sequence_key(one.sha256, recipe), path=one.path,
                        features=features.astype(np.float16),
                        timestamps_seconds=np.arange(4.0), boxes=np.zeros((4, 4), np.float32),
                        face_found=np.ones(4, bool),
                    )
                )  # fmt: skip
            store.finish()
            shards = {shard.path: shard for shard in store.shards.values()}.values()
            publish(folder / "features", shards, recipe, dim=8, failures=[], provenance=provenance)
        Manifest(root=folder, videos=videos).write(folder / "manifest.csv")
        return Data(folder / "features", folder / "manifest.csv")

    return made


LEAKS = {
    "the very videos": (knows(2, 3, 24, 25, 26), "3 of the 10 validation videos", "2 people"),
    "the person alone": (
        knows(2, 3, people=("p12", "p13")), "2 people of the validation split", "p12 for one"
    ),
    "one video and other people": (
        knows(24, people=("p13", "p14")), "1 of the 10 validation videos", "3 people"
    ),
}  # fmt: skip


@pytest.mark.parametrize("leak", LEAKS)
def test_train_and_sweep_refuse_before_they_do_anything(
    leak: str, make: Any, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provenance, many, who = LEAKS[leak]
    data = make(provenance)

    def worked(*_: object, **__: object) -> None:
        raise AssertionError("it was asked too late")

    monkeypatch.setattr("pipeline.training.train.load_splits", worked)
    monkeypatch.setattr("pipeline.search.sweep.load_data", worked)
    for command in ("train", "sweep"):
        shown = one_line(run(command, *data.arguments, "-o", tmp_path / "out", code=10))
        for words in (many, who, "trained the backbone", "--allow-seen", "fine-tune"):
            assert words in shown, command
    assert not (tmp_path / "out").exists()


def test_what_is_no_leak_is_let_through() -> None:
    manifest = Manifest(root=Path(), videos=VIDEOS)
    fine = [
        {},  # a public backbone
        knows(0, 1, 2, 3),  # the same split
        knows(24, 25, part="val"),  # it was validated on them, as the head is
        knows(0, 1, part="val"),  # and may be trained on whom the backbone was validated on
    ]
    for provenance in fine:
        assert refuse_seen_validation(provenance, manifest, allow_seen=False) == ""
    # A published split may have a person on two sides: nothing has changed sides since.
    straddling = knows(24, part="val")
    straddling["trained_on"]["train"]["groups"] = ["p12"]
    only = replace(manifest, videos=(VIDEOS[0], VIDEOS[24]))
    assert refuse_seen_validation(straddling, only, allow_seen=False) == ""
    with pytest.raises(LeakError, match=r"1 person of the validation split .* p12 for one"):
        refuse_seen_validation(straddling, manifest, allow_seen=False)  # video 25 is new there


def test_people_are_counted_once_and_by_digest_under_other_names() -> None:
    renamed = [replace(one, group="ann") for one in VIDEOS[24:28]]
    seen = seen_among(renamed, knows(24, 25)["trained_on"].values())
    assert (seen.of, seen.paths, seen.people) == (4, ("v24.mp4", "v25.mp4"), ("ann",))
    assert not seen_among(renamed, knows(0)["trained_on"].values())


def test_a_test_split_that_the_backbone_knows_is_told_in_time(
    make: Any, run: Any, tmp_path: Path
) -> None:
    data = make(knows(0, 34, 35))
    result = run("train", *data.arguments, "-o", tmp_path / "bundle", *QUICK)
    assert "warning: 2 of the 10 test videos trained the backbone, v34.mp4 for one" in result.stderr
    assert "`unmask evaluate` will refuse" in result.stderr
    shown = run("evaluate", tmp_path / "bundle", *data.arguments, "-o", tmp_path / "r", code=10)
    assert "2 of these videos were seen in training" in one_line(shown)
    assert "of 1 person" in one_line(shown)
    assert Bundle.load(tmp_path / "bundle").seen_in_validation == ""
    assert SEEN_IN_VALIDATION not in json.loads((tmp_path / "bundle" / "bundle.json").read_text())


@pytest.fixture(scope="module")
def leaky(make: Any) -> Data:
    return make(knows(0, 1, 24, 25))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def bundle(leaky: Data, run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("marked") / "bundle"
    result = run("train", *leaky.arguments, "-o", out, *QUICK, "--allow-seen")
    assert "warning: 2 of the 10 validation videos trained the backbone" in result.stderr
    return out


SEEN = "2 of the 10 validation videos trained the backbone, v24.mp4 for one, of 1 person"


def test_the_mark_travels_into_every_report(
    leaky: Data, bundle: Path, run: Any, tmp_path: Path
) -> None:
    opened = Bundle.load(bundle)
    assert opened.seen_in_validation == SEEN
    assert "--allow-seen" in shlex.split(opened.command)
    shown = run("evaluate", bundle, *leaky.arguments, "-o", tmp_path / "r",
               "--set", "evaluate.rounds=20").output  # fmt: skip
    assert f"warning: trained with --allow-seen: {SEEN}" in shown
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    assert metrics["seen_in_training"] == ""  # the test itself is fair
    assert SEEN in metrics[SEEN_IN_VALIDATION]
    page = Page((tmp_path / "r" / "report.html").read_text()).shown
    assert f"Trained with --allow-seen: {SEEN}" in page
    assert page.count(SEEN) > 1  # on the card, too
    on = ("--on", f"home={leaky.features}:{leaky.manifest}")
    shown = run("evaluate", bundle, *on, "-o", tmp_path / "m", "--set", "evaluate.rounds=20").output
    assert f"warning: bundle: trained with --allow-seen: {SEEN}" in shown
    assert (
        SEEN
        in json.loads((tmp_path / "m" / "matrix.json").read_text())["matrix"]["bundle"]["home"][
            SEEN_IN_VALIDATION
        ]
    )
    assert SEEN in Page((tmp_path / "m" / "report.html").read_text()).shown
    assert f"warning: r: trained with --allow-seen: {SEEN}" in run("results", tmp_path / "r").output
    shown = run("compare", tmp_path / "r", tmp_path / "r").output
    assert f"warning: A: trained with --allow-seen: {SEEN}" in shown
    shown = run("compare", bundle, bundle, *on).output
    assert f"warning: B: trained with --allow-seen: {SEEN}" in shown


def test_a_sweep_marks_its_ranking_and_tells_a_command_that_runs(
    leaky: Data, run: Any, tmp_path: Path
) -> None:
    command = ("sweep", *leaky.arguments, "-o", tmp_path / "sweep", *QUICK, "--seeds", 1,
               "--workers", 1, "--allow-seen")  # fmt: skip
    result = run(*command)
    assert f"warning: {SEEN}" in result.stderr
    assert (
        f"Not a fair choice: {SEEN}" in Page((tmp_path / "sweep" / "sweep.html").read_text()).shown
    )
    facts = json.loads(run(*command, "--json").stdout)
    assert facts[SEEN_IN_VALIDATION] == SEEN
    typed = re.sub(" -o bundle$", "", facts["next"]).removeprefix("unmask ")
    run(*shlex.split(typed), "-o", tmp_path / "bundle")
    assert Bundle.load(tmp_path / "bundle").seen_in_validation == SEEN


def test_predict_and_scan_say_so(world: Any, loaded: None, run: Any, tmp_path: Path) -> None:
    marked_bundle = replace(Bundle.load(world.bundle), seen_in_validation=SEEN)
    marked_bundle.save(tmp_path / "bundle")
    path = world.demo / "real" / "person_000.mp4"
    page = tmp_path / "page.html"
    result = run("predict", tmp_path / "bundle", path, "--json", "--report", page)
    assert f"warning: this bundle: trained with --allow-seen: {SEEN}" in result.stderr
    json.loads(result.stdout)
    assert f"This bundle: trained with --allow-seen: {SEEN}" in Page(page.read_text()).shown
    scan = tmp_path / "scan"
    result = run("scan", tmp_path / "bundle", path.parent, "-o", scan, "--store", world.store)
    assert SEEN in result.stderr
    assert SEEN in Page((scan / "scan.html").read_text()).shown
    assert SEEN in json.loads((scan / "scan.json").read_text())[SEEN_IN_VALIDATION]
    assert "allow-seen" not in run("predict", world.bundle, path).stderr


def test_robustness_shows_the_mark(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    labels = np.array([0, 1, 0, 1])
    found = evaluate(
        labels,
        labels * 0.5,
        ("a", "b", "c", "d"),
        ("",) * 4,
        threshold=0.4,
        rounds=9,
        confidence=0.95,
    )
    step = CorruptionResult(corruption=ORIGINAL, evaluation=found, drop=None, failed=0)
    results = CorruptionResults(
        steps=[step], split="test", kind="lstm", failures=(), seen="", rendered=False, facts={},
        training_leaks=[SEEN],
    )  # fmt: skip
    assert results.to_json()[SEEN_IN_VALIDATION] == SEEN
    show_robustness(results, tmp_path)
    assert f"warning: {SEEN}" in capsys.readouterr().out
    assert f"{SEEN}." in Page(render_robustness(results)).shown
    sound = replace(results, training_leaks=())
    assert SEEN_IN_VALIDATION not in sound.to_json()
    assert '<p class="warning">' not in render_robustness(sound)


def test_weights_carry_their_mark_through_features_into_bundles(
    make: Any, run: Any, tmp_path: Path
) -> None:
    first = record_seen({}, "2 of 4")
    assert first == {SEEN_IN_VALIDATION: "2 of 4"}
    assert record_seen(first, "") == first
    assert record_seen(first, "1 of 3") == {SEEN_IN_VALIDATION: "2 of 4; 1 of 3"}
    assert record_seen({}, "") == {}
    data = make({**knows(0, 1), **first})
    run("train", *data.arguments, "-o", tmp_path / "bundle", *QUICK)
    shown = run("evaluate", tmp_path / "bundle", *data.arguments, "-o", tmp_path / "r",
               "--set", "evaluate.rounds=20").output  # fmt: skip
    assert "warning: backbone fine-tuned with --allow-seen: 2 of 4" in shown
    assert "2 of 4" in run("store", "inspect", data.features).output
    assert Features(data.features).provenance[SEEN_IN_VALIDATION] == "2 of 4"


def test_fine_tuning_goes_on_from_weights_that_know_its_validation_only_when_told(
    world: Any, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.backbones.registry import load_backbone, save_backbone

    rows = Manifest.read(world.manifest)
    val = rows.split("val")
    thin = load_backbone("resnet50-thin", size=64)
    trained = {"train": {"sha256s": [val[0].sha256], "groups": [val[0].group]}}
    save_backbone(replace(thin, name="tuned", provenance={"trained_on": trained}), tmp_path / "w")
    asked: list[dict[str, Any]] = []

    class Asked(Exception):
        pass

    def finetune(*_: object, **more: Any) -> None:
        asked.append(more)
        raise Asked

    monkeypatch.setattr("models.finetuning.finetune.finetune", finetune)
    command = ("finetune", world.manifest, "--root", world.demo, "-o", tmp_path / "out",
               "--backbone", tmp_path / "w", "--set", "frames.size=64",
               "--set", "frames.count=8", "--store", tmp_path / "store")  # fmt: skip
    shown = one_line(run(*command, code=10))
    assert f"1 of the {len(val)} validation videos trained the backbone" in shown
    assert "marks the weights" in shown
    assert not asked
    with pytest.raises(Asked):
        run(*command, "--allow-seen")
    assert asked[0]["more_provenance"][SEEN_IN_VALIDATION].startswith("1 of the")


def test_nothing_is_said_of_a_sound_training(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("pipeline.leakage.log.warning", said.append)
    manifest = Manifest(root=Path(), videos=VIDEOS)
    assert refuse_seen_validation(knows(0, 1), manifest, allow_seen=False) == ""
    assert said == []
    refuse_seen_validation(knows(0, 24, 34), manifest, allow_seen=True)
    assert [line.partition(" trained")[0] for line in said] == [
        "1 of the 10 validation videos",
        "1 of the 10 test videos",
    ]
