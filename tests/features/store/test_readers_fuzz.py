"""Every reader of a file, and every damage: it is read, or one line names the file and the remedy.

Those that need TensorFlow are in `tests/models/test_readers_fuzz.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.datasets.digests import DigestCache
from data.datasets.layouts import LAYOUTS, metadata, read_layout
from data.datasets.manifest import Manifest
from data.demo.dataset import _claim as claim_demo
from data.demo.take import DemoConfig, plan
from data.errors import StoreError, UnmaskError
from data.io import reading
from data.io.reading import read_json
from data.self_blending.dataset import forge_dataset
from data.self_blending.dataset.sources import find_sources
from data.self_blending.dataset.survey import DAMAGE, Facts, Survey, _save, load_survey
from data.self_blending.dataset.work import is_made
from features.store.adopt import adopt_feature_set
from features.store.feature_set import Features
from features.store.layout import find_feature_sets
from features.store.shard import Shard
from features.store.store import FeatureStore
from features.store.verify import verify
from features.upkeep.gc import references_of
from features.upkeep.repair import _examine, repair
from models.backbones.fingerprint import (
    BackboneFingerprint,
    cache_fingerprint,
    copy_backbone,
    find_fingerprint,
)
from models.configs import HeadConfig, TrainConfig
from models.finetuning import checkpoint as finetune_checkpoint
from models.finetuning.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from pipeline.cli.evaluations.output import show_metrics
from pipeline.config import load_params, parse_yaml
from pipeline.evaluation.results import read_reports
from pipeline.inference.scan_journal import FORMAT, VERSION, Journal, Row
from pipeline.search.plan import Run
from pipeline.search.results import RunResult, begin, read_run, write_run
from tests.data.damages import ODD, check, check_all, check_forms
from tests.data.datasets.test_manifest import ANN, FAKE_ANN
from tests.features.conftest import make_recipe
from tests.features.stores import fill_store, publish_to

Make = Callable[[Path], Path]
Read = Callable[[Path], Any]


def written(text: str, name: str, *videos: str) -> Make:
    """Writes a text, and the videos that it names."""

    def make(folder: Path) -> Path:
        for video in videos:
            (folder / video).parent.mkdir(parents=True, exist_ok=True)
            (folder / video).write_bytes(video.encode())
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        return folder / name

    return make


def listed(layout: str, *, levels: int = 1) -> Read:
    """Reads a data set by its layout, and lets `auto` choose first."""

    def read(path: Path) -> Any:
        root = path.parents[levels - 1]
        with suppress(UnmaskError):  # it may look like another data set now
            read_layout(root)
        return LAYOUTS[layout].read(root)

    return read


@pytest.fixture(autouse=True)
def _lower_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a file of 2 MiB is too large."""
    for module in (reading, metadata):
        monkeypatch.setattr(module, "MAX_BYTES", 1 << 20)


DFDC = {
    "a.mp4": {"label": "FAKE", "split": "train", "original": "b.mp4"},
    "b.mp4": {"label": "REAL", "split": "train", "original": None},
}
PREVIEW = {
    "method_A/1/1_2_a.mp4": {"label": "fake", "set": "train", "target_id": "1", "swapped_id": "2"},
    "original_videos/1/1_a.mp4": {"label": "real", "set": "test", "target_id": "1"},
}
BENCH = {
    "FaceForensics++": {
        "FF-DF": {
            "train": {
                "c23": {
                    "071_054": {
                        "label": "FF-DF",
                        "frames": ["x/manipulated_sequences/Deepfakes/c23/frames/071_054/0.png"],
                    }
                }
            }
        }
    }
}
YOUTUBE = "original_sequences/youtube/c23/videos"
DEEPFAKES = "manipulated_sequences/Deepfakes/c23/videos"
DATASETS: dict[str, tuple[Make, Read]] = {
    "table": (
        written("path,label,group\na.mp4,real,x\nb.mp4,fake,x\n", "labels.csv", "a.mp4", "b.mp4"),
        listed("table"),
    ),
    "dfdc": (
        written(json.dumps(DFDC), "dfdc_train_part_0/metadata.json",
                "dfdc_train_part_0/a.mp4", "dfdc_train_part_0/b.mp4"),
        listed("dfdc", levels=2),
    ),
    "dfdc test": (
        written("filename,label\na.mp4,1\nb.mp4,0\n", "test/labels.csv", "test/a.mp4",
                "test/b.mp4"),
        listed("dfdc", levels=2),
    ),
    "dfdc preview": (
        written(json.dumps(PREVIEW), "dataset.json", *PREVIEW), listed("dfdc-preview"),
    ),
    "faceforensics": (
        written('[["071", "054"]]', "splits/train.json", f"{YOUTUBE}/071.mp4",
                f"{DEEPFAKES}/071_054.mp4"),
        listed("faceforensics", levels=2),
    ),
    "celebdf": (
        written("1 YouTube-real/00170.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n",
                "List_of_testing_videos.txt", "YouTube-real/00170.mp4", "Celeb-real/id0_0000.mp4",
                "Celeb-synthesis/id0_id1_0000.mp4"),
        listed("celebdf"),
    ),
    "deeperforensics": (
        written("000_M101.mp4\n", "lists/splits/train.txt",
                "manipulated_videos/end_to_end/000_M101.mp4"),
        listed("deeperforensics", levels=3),
    ),
    "deepfakebench": (
        written(json.dumps(BENCH), "FaceForensics++.json", f"{DEEPFAKES}/071_054.mp4"),
        lambda path: LAYOUTS["deepfakebench"].read(path),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DATASETS)
def test_lists_of_data_sets(tmp_path: Path, name: str) -> None:
    make, read = DATASETS[name]
    told = check_all(make, read, tmp_path)
    assert told["a mark"] == ""
    assert told["UTF-16"] == ""  # with its mark, as Windows writes it


@pytest.mark.parametrize("name", ["dfdc", "dfdc preview", "faceforensics", "deepfakebench"])
def test_values_of_lists(tmp_path: Path, name: str) -> None:
    make, read = DATASETS[name]
    path = make(tmp_path)
    check_forms(lambda: read(path), path)


def manifest(folder: Path) -> Path:
    Manifest(root=folder, videos=(ANN, FAKE_ANN)).write(folder / "manifest.csv")
    return folder / "manifest.csv"


def test_manifest(tmp_path: Path) -> None:
    told = check_all(manifest, Manifest.read, tmp_path)
    assert [told[case] for case in ("a mark", "UTF-16", "CR alone")] == ["", "", ""]
    assert "is not UTF-8" in told["Latin-1"]
    assert "does not exist" in told["gone"]


CELLS = ("", " ", "x", "-1", "1,5", "1e999", "9" * 400, "nan", "/etc/passwd", "../x", "C:\\x",
         "~/x", "\0", "\\udcff", '"', "\n", "=1+1", "real", "0x1", "٣")  # fmt: skip


def test_cells_of_a_manifest(tmp_path: Path) -> None:
    path = manifest(tmp_path)
    lines = path.read_text("utf-8").splitlines()
    for place, name in enumerate(lines[0].split(",")):
        for value in CELLS:
            cells = lines[1].split(",")
            cells[place] = '"' + value.replace('"', '""') + '"'
            path.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n", "utf-8")
            told = check(lambda: Manifest.read(path), path, f"{name} = {value!r:.20}")
            assert not told or "line " in told, (name, value, told)


def test_forge_reads_manifests_and_tables(tmp_path: Path) -> None:
    def read(path: Path) -> Any:
        return find_sources(path, root=None, out=path.parent / "out")

    table = written("path,label\nreal/ann.mp4,real\n", "labels.csv", "real/ann.mp4")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    check_all(manifest, read, tmp_path / "a")
    check_all(table, read, tmp_path / "b")


def test_params(tmp_path: Path) -> None:
    text = (
        "seed: 3\nhead:\n  units: 64\nreals: {a: b}\ntrain:\n  class_weight: {real: 1, fake: 2}\n"
    )
    told = check_all(written(text, "params.yaml"), load_params, tmp_path)
    assert told["a mark"] == told["UTF-16"] == told["nothing"] == told["empty"] == ""


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
YAML = (
    "!!int ''", "!!bool x", "!!float ''", "!!timestamp x", "!!binary x", "!!set {[a]: }",
    "&a [*a]", "&a {x: *a}", "<<: {a: 1}", "? [a]\n: b", "0x" + "f" * 5000, "9" * 5000, ".inf",
    ".nan", "[" * 9000, "{a: " * 9000, "2024-13-01", "0001-01-01T00:00:00+23:59",
    "!!python/object:os.system x", '"\\ud800"', '"\\0"', "'", "%", "@", "*a", "1:60", "=", "~",
    "- x", "--- 1\n--- 2", "!!omap [a]", "\t", "\x85",
)  # fmt: skip


def test_values_of_params(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    for value in YAML:
        for text in (value, f"seed: {value}", f"reals: {value}", f"reals: {{a: {value}}}",
                     f"head: {value}", f"train: {{class_weight: {value}}}",
                     f"backbone: {{name: {value}}}", f"{value}: 1", f"head:\n  {value}: 1",
                     f"train: {{learning_rate: {value}}}"):  # fmt: skip
            path.write_text(text, "utf-8")
            check(lambda: load_params(path), path, text[:40])
        for key in ("seed", "head.units", "head", "reals", "reals.x", "train.class_weight"):
            name = Path(f"--set {key}")
            check(lambda: load_params(None, [f"{key}={value}"]), name, f"{key}={value:.30}")  # noqa: B023
    path.write_text(BOMB + "seed: *a11\n", "utf-8")
    assert "unknown key a0" in check(lambda: load_params(path), path, "bomb")
    path.write_text(BOMB.replace("a0:", "reals:\n  a0:", 1).replace("\na", "\n  a") + "seed: 1\n")
    assert "must be a text" in check(lambda: load_params(path), path, "bomb in a section")
    with pytest.raises(ValueError, match="nested too deep"):
        parse_yaml("[" * 5000)


def features(folder: Path) -> Path:
    recipe = make_recipe()
    return publish_to(folder / "features", fill_store(folder / "store", recipe), recipe)


def test_features(tmp_path: Path) -> None:
    told = check_all(
        lambda folder: features(folder) / "features.json",
        lambda path: Features(path.parent),
        tmp_path,
    )
    assert "is it the right folder" in told["gone"]


OTHERS: dict[str, Callable[[Path], Any]] = {
    "references": lambda folder: references_of([folder]),
    "repair": repair,
    "inspect": lambda folder: Features(folder).failures(),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_readers_of_an_index(tmp_path: Path, name: str) -> None:
    read = OTHERS[name]
    check_all(index_of_features, lambda path: read(path.parent), tmp_path)


def index_of_features(folder: Path) -> Path:
    return features(folder) / "features.json"


def test_indexes_that_lie_about(tmp_path: Path) -> None:
    check_all(
        index_of_features,
        lambda path: list(find_feature_sets(path.parent.parent)),
        tmp_path,
        silent=True,
    )


def test_a_store_adopts_what_it_can_read(tmp_path: Path) -> None:
    def read(path: Path) -> None:
        with FeatureStore(path.parents[1] / "new", make_recipe(), versions={}) as store:
            adopt_feature_set(path.parent, store)

    check_all(lambda folder: features(folder) / "features.json", read, tmp_path, silent=True)


def test_failures(tmp_path: Path) -> None:
    told = check_all(
        lambda folder: features(folder) / "failures.csv",
        lambda path: Features(path.parent).failures(),
        tmp_path,
    )
    assert told["gone"] == ""


def first_shard(folder: Path) -> Path:
    features(folder)
    return min((folder / "store").glob("*/shards/*.h5"))


def test_shard(tmp_path: Path) -> None:
    check_all(first_shard, lambda path: Shard(path).damaged(), tmp_path)


def test_what_may_not_be_read_is_not_damaged(tmp_path: Path) -> None:
    """Nothing that is only forbidden is embedded anew, swept away, or called damaged."""
    from tests.data.damages import refused

    shard = first_shard(tmp_path)
    part = shard.parents[1]
    with refused(shard):
        for read in (
            lambda: FeatureStore(part.parent, make_recipe(), versions={}),
            lambda: verify(part),
            lambda: Shard(shard),
        ):
            with pytest.raises(UnmaskError, match="ermission") as caught:
                read()
            assert not isinstance(caught.value, StoreError)
    with refused(shard):
        for staged in (False, True):
            examined = _examine(shard, part.name, staged=staged)
            assert examined.action == "left"
            assert "ermission" in examined.message
    assert shard.is_file()
    with refused(linked := tmp_path / "features" / shard.name):
        for read in (lambda: references_of([linked.parent]), lambda: Features(linked.parent)):
            with pytest.raises(UnmaskError, match="ermission"):
                read()


METRICS = {
    "lstm": {
        "videos": 4, "groups": 2, "threshold": 0.5, "auc": 0.9, "auc_low": 0.8, "auc_high": 1.0,
        "brier": 0.1, "brier_low": 0.05, "brier_high": 0.2,
    },
    "split": "test",
    "failed_videos": 0,
}  # fmt: skip


def test_metrics(tmp_path: Path) -> None:
    make = written(json.dumps(METRICS), "report/metrics.json")
    check_all(make, lambda path: show_metrics(read_reports(path.parents[1])), tmp_path)
    path = make(tmp_path)
    check_forms(lambda: show_metrics(read_reports(tmp_path)), path)


ROW = Row(path="a.mp4", stamp=(3, 4), sha256="ab" * 32, probability_fake=0.5)


def journal(folder: Path) -> Path:
    with Journal(folder / "scan", {"folder": "x"}) as opened:
        opened.add([ROW, Row(path="b.mp4", stamp=(1, 1), failure="no_face", message="none")])
    return folder / "scan" / "journal.jsonl"


def read_journal(path: Path) -> None:
    with Journal(path.parent, {"folder": "x"}) as opened:
        assert all(isinstance(row.path, str) for row in opened.rows.values())


def test_scan(tmp_path: Path) -> None:
    # As outputs of the scan, what is no file is refused where outputs are: tests of outputs.
    odd = ("a folder", "a full folder", "a pipe", "a device", "nothing", "a loop")
    check_all(
        lambda folder: journal(folder).with_name("scan.json"), read_journal, tmp_path, but=odd
    )
    path = journal(tmp_path).with_name("scan.json")
    assert json.loads(path.read_text())["format"] == FORMAT
    assert json.loads(path.read_text())["version"] == VERSION
    for case in ODD:
        path.write_text(json.dumps({"format": FORMAT, "version": case, "folder": "x"}))
        check(lambda: read_journal(path), path, f"version {case!r:.20}")


def test_journal(tmp_path: Path) -> None:
    from tests.data.damages import BYTES, refused

    path = journal(tmp_path)
    whole = path.read_bytes()
    for case, damage in BYTES.items():
        path.write_bytes(whole)
        damage(path)
        assert check(lambda: read_journal(path), path, case) == ""  # looked at again
    path.write_bytes(whole)
    with refused(path):
        assert "permission" in check(lambda: read_journal(path), path, "refused").casefold()
    facts = json.loads(whole.splitlines()[0])
    for key in facts:
        for value in ODD:
            path.write_text(json.dumps(facts | {key: value}) + "\n")
            with Journal(path.parent, {"folder": "x"}) as opened:
                for row in opened.rows.values():
                    assert isinstance(row.path, str)
                    assert f"{row.probability_fake or 0.0:.9g} {(row.stamp or (0,))[0] + 1}"


def test_sweep(tmp_path: Path) -> None:
    run = Run(head=HeadConfig(), train=TrainConfig(), seed=0, key="ab")

    def marker(folder: Path) -> Path:
        begin(folder / "sweep")
        return folder / "sweep" / "sweep.json"

    def one(folder: Path) -> Path:
        begin(folder)
        result = RunResult(val_auc=0.5, val_loss=0.5, best_epoch=1, epochs=2, seconds=1.0)
        write_run(folder, run, result)
        return folder / "runs" / "ab.json"

    told = check_all(marker, lambda path: begin(path.parent), tmp_path, but={"a loop"})
    assert told["gone"] == ""
    (tmp_path / "runs").mkdir(exist_ok=True)
    (tmp_path / "run").mkdir()
    check_all(one, lambda path: read_run(path.parents[1], run), tmp_path / "run", silent=True)
    path = one(tmp_path)
    found = read_run(tmp_path, run)
    assert found is not None
    assert found.val_auc == 0.5
    check_forms(lambda: read_run(tmp_path, run), path, silent=True)


def digests(folder: Path) -> Path:
    (folder / "a.mp4").write_bytes(b"a")
    import os

    os.utime(folder / "a.mp4", (0, 0))
    cache = DigestCache(folder / "digests.json")
    cache.sha256(folder / "a.mp4")
    cache.save()
    return folder / "digests.json"


def test_digest_cache(tmp_path: Path) -> None:
    def read(path: Path) -> None:
        DigestCache(path).sha256(path.parent / "a.mp4")

    check_all(digests, read, tmp_path, silent=True)


def test_memory_of_backbones(tmp_path: Path) -> None:
    name = "resnet50-random"

    def make(folder: Path) -> Path:
        known = BackboneFingerprint(name=name, digest="ab" * 32, dim=5)
        cache_fingerprint(known, name, size=32, seed=0, cache=folder / "backbones.json")
        return folder / "backbones.json"

    def read(path: Path) -> None:
        known = find_fingerprint(name, size=32, seed=0, cache=path)
        assert known is None or (isinstance(known.name, str) and isinstance(known.digest, str))

    check_all(make, read, tmp_path, silent=True)
    path = make(tmp_path)
    check_forms(lambda: read(path), path, silent=True)


def backbone(folder: Path) -> Path:
    (folder / "backbone").mkdir()
    (folder / "backbone" / "backbone.weights.h5").write_bytes(b"weights")
    facts = {"format": "unmask-backbone", "version": 1, "name": "x", "architecture": "resnet50",
             "digest": "ab" * 32, "dim": 5, "size": 32, "provenance": {"trained_on": {}},
             "file": "backbone.weights.h5",
             "sha256": "9a4e2d7d8d3b1e7f"}  # fmt: skip
    path = folder / "backbone" / "backbone.json"
    path.write_text(json.dumps(facts))
    return path


def test_record_of_a_backbone(tmp_path: Path) -> None:
    def read(path: Path) -> None:
        find_fingerprint(path.parent, size=32, seed=0, cache=path.parent / "none")
        import shutil

        shutil.rmtree(path.parent / "copy", ignore_errors=True)
        copy_backbone(path.parent, path.parent / "copy")

    check_all(backbone, read, tmp_path)
    (tmp_path / "forms").mkdir()
    path = backbone(tmp_path / "forms")
    check_forms(lambda: read(path), path)


def test_records_of_forge_and_demo(tmp_path: Path) -> None:
    config = DemoConfig()
    takes = plan(config)

    def forged(folder: Path) -> Path:
        forge_dataset._claim(folder / "forged")
        return folder / "forged" / "forge.json"

    def demo(folder: Path) -> Path:
        (folder / "demo").mkdir()
        claim_demo(folder / "demo", config, takes)
        return folder / "demo" / "demo.json"

    def read_demo(path: Path) -> None:
        claim_demo(path.parent, config, takes)

    for name in ("forge", "demo"):
        (tmp_path / name).mkdir()
    wrong = {}
    for name, make, read in (
        ("forge", forged, lambda path: forge_dataset._claim(path.parent)),
        ("demo", demo, read_demo),
    ):
        model = tmp_path / name / "model"
        model.mkdir()
        path = make(model)
        assert check(lambda: read(path), path, "whole") == ""  # noqa: B023
        from tests.data.damages import BYTES, refused

        whole = path.read_bytes()
        for case, damage in BYTES.items():
            path.write_bytes(whole)
            damage(path)
            # The folder is named: it is what the user must choose anew.
            wrong[case] = check(lambda: read(path), path.parent, f"{name}, {case}")  # noqa: B023
        path.write_bytes(whole)
        with refused(path):
            assert "permission" in check(lambda: read(path), path, "refused").casefold()  # noqa: B023
    assert wrong["empty"]


def test_surveys_and_notes_of_forge(tmp_path: Path) -> None:
    def make(folder: Path) -> Path:
        facts = Facts(fps=25.0, frames=3, width=64, height=48, face_size=30.0,
                      skin=(1.0, 2.0, 3.0), poses=((0.0, 1.0), (1.0, 2.0)))  # fmt: skip
        points = np.zeros((3, 468, 2), np.float32)
        _save(folder / "a.npz", Survey(facts=facts, points=points, times=np.arange(3.0)))
        return folder / "a.npz"

    def read(path: Path) -> None:
        with suppress(*DAMAGE):  # as `survey` does: it is made again
            load_survey(path)

    check_all(make, read, tmp_path, silent=True)
    note = written("ab" * 32, ".forge/fake/a.mp4.key")
    (tmp_path / "notes").mkdir()
    check_all(
        note,
        lambda path: is_made(path.parents[2], "fake/a.mp4", "ab" * 32),
        tmp_path / "notes",
        silent=True,
    )


def test_checkpoint(tmp_path: Path) -> None:
    def make(folder: Path) -> Path:
        state = [np.arange(3.0)]
        saved = Checkpoint(history=[{"epoch": 1.0}], state=state, best={1: state})
        save_checkpoint(folder / ".b.epoch.npz", "key", saved)
        return folder / ".b.epoch.npz"

    check_all(make, lambda path: load_checkpoint(path, "key"), tmp_path, silent=True)
    assert finetune_checkpoint.VERSION == 2


def test_a_file_is_read_up_to_a_bound(tmp_path: Path) -> None:
    with (tmp_path / "x.json").open("wb") as handle:
        handle.truncate((1 << 20) + 1)
    with pytest.raises(UnmaskError, match=r"x\.json has more than 1 MiB"):
        read_json(tmp_path / "x.json", remedy="try again")


SHARED = [HealthCheck.function_scoped_fixture]  # the folder may be used again
KEYS = ["label", "split", "set", "original", "frames", "train", "c23", "a.mp4", "FF-DF"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(value=JSON, name=st.sampled_from(["dfdc", "dfdc preview", "faceforensics", "deepfakebench"]))
def test_any_json_is_no_trouble(tmp_path: Path, value: Any, name: str) -> None:
    make, read = DATASETS[name]
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    path = make(folder)
    path.write_text(json.dumps(value), "utf-8")
    check(lambda: read(path), path, repr(value))


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    text=st.text("pathlbe,;\t|\"'\r\n\\/.~ 01é", max_size=80),
    head=st.sampled_from(["", "path,label\n", "path;label;\r\n", "sep=\t\r\npath\tlabel\r\n"]),
)
def test_any_table_is_no_trouble(tmp_path: Path, text: str, head: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(head + text, "utf-8", newline="")
    check(lambda: LAYOUTS["table"].read(tmp_path), path, repr(text))
