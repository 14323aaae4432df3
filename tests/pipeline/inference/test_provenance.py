"""A verdict says what it learnt from; of rendered people alone, before the verdict."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from data.datasets.layouts.listing import Entry, Listing
from data.datasets.manifest import Manifest, Video
from data.datasets.origins import with_origins
from data.errors import StoreError
from models.bundle import Bundle
from models.evaluation.evaluate import Estimate
from models.training_summary import TrainingSummary
from pipeline.cli.options import PARTLY_FAILED
from pipeline.evaluation.bundle_test_result import HeldOutResult, read_result, result_path
from pipeline.inference.provenance import HEADLINE, format_result, provenance_of
from pipeline.inference.scan_journal import Row
from pipeline.inference.scan_result import Scan
from pipeline.inference.verdict import FileFacts
from pipeline.reporting.scan_page import render_scan
from pipeline.reporting.verdict_page import render_verdict
from tests.pipeline.reporting.test_report import Page

REASONS = ("moov atom not found", "Invalid data", "HTML", "playlist")


def video(number: int, *, label: int = 0, method: str = "", origin: str = "", **more) -> Video:
    facts = {"path": f"{number}-{label}.mp4", "group": f"p{number}", "split": "train",
             "sha256": f"{2 * number + label:064x}", "size_bytes": 1, "codec": "h264", "width": 1,
             "height": 1, "fps": 1.0, "duration_seconds": 1.0, "bit_rate": 1}  # fmt: skip
    method = method or ("fake" if label else "real")
    return Video(**{**facts, **more}, label=label, method=method, origin=origin)


def people(numbers: range, *, method: str = "swap", origin: str = "") -> list[Video]:
    """One real and one fake video of each."""
    return [
        one
        for number in numbers
        for one in (
            video(number, origin=origin), video(number, label=1, method=method, origin=origin)
        )
    ]  # fmt: skip


def bundle_of(head: list[Video], tuned: list[Video] | None = None, **more):
    """What `provenance_of` reads of a bundle."""

    def who(videos):
        return {"train": {"sha256s": [one.sha256 for one in videos],
                          "groups": sorted({one.group for one in videos})}}  # fmt: skip

    provenance = {}
    if tuned is not None:
        summary = {"train": asdict(TrainingSummary.of(tuned))}
        provenance = {"trained_on": who(tuned), "training": [summary]}
    facts = {
        "training": {"train": TrainingSummary.of(head)}, "trained_on": who(head),
        "provenance": provenance, "recipe": {"backbone": "resnet50-thin"},
    }  # fmt: skip
    return SimpleNamespace(**{**facts, **more})


def test_a_summary_counts_people_forgeries_and_origins():
    videos = [
        *people(range(3), origin="rendered"), *people(range(3, 5), origin="filmed"),
        *people(range(5, 6)), video(4, label=1, method="reenactment", path="x.mp4"),
    ]  # fmt: skip
    found = TrainingSummary.of(videos)
    assert (found.videos, found.groups, found.reals, found.fakes) == (13, 6, 6, 7)
    assert found.methods == {"reenactment": 1, "swap": 6}
    assert found.origins == {"filmed": 2, "rendered": 3, "unknown": 1}
    assert not found.rendered_alone
    assert TrainingSummary.from_json(json.loads(json.dumps(asdict(found)))) == found


def test_a_manifest_of_an_earlier_demo_is_known_by_its_methods():
    assert TrainingSummary.of(people(range(3), method="rendered-swap")).rendered_alone
    # A user who says that the people were filmed is believed, whatever the forgery is called.
    filmed = people(range(3), method="rendered-mask", origin="filmed")
    assert TrainingSummary.of(filmed).origins == {"filmed": 3}
    assert not TrainingSummary.of([]).rendered_alone


def test_the_line_names_people_forgeries_backbone_and_test():
    found = provenance_of(bundle_of(people(range(4), origin="rendered", method="rendered-swap")))
    assert found.rendered_alone
    assert HEADLINE in str(found.warning)
    assert found.line == (
        "trained on 8 videos of 4 rendered people; forgeries: rendered-swap 4; backbone "
        "resnet50-thin, not fine-tuned; test result: none, not evaluated on held-out people"
    )
    real = provenance_of(bundle_of(people(range(4), origin="filmed")))
    assert real.warning is None
    assert "8 videos of 4 real people" in real.line
    unknown = provenance_of(bundle_of(people(range(1))))
    assert unknown.warning is None
    assert "1 person (real or rendered: not recorded)" in unknown.line
    mixed = people(range(2), origin="filmed") + people(range(2, 5), origin="rendered")
    assert "5 people (2 real, 3 rendered)" in provenance_of(bundle_of(mixed)).line


def test_the_backbones_people_count_too():
    rendered = people(range(4), origin="rendered")
    same = provenance_of(bundle_of(rendered, tuned=rendered))
    assert same.rendered_alone
    assert "fine-tuned on the same people" in same.line
    filmed = provenance_of(bundle_of(rendered, tuned=people(range(10, 13), origin="filmed")))
    assert not filmed.rendered_alone
    assert "fine-tuned on 3 real people" in filmed.line
    # Weights of an earlier version do not say; where they saw the same files, the head's do.
    old = bundle_of(rendered, tuned=rendered)
    del old.provenance["training"]
    assert provenance_of(old).rendered_alone
    others = bundle_of(rendered, tuned=people(range(10, 13)))
    del others.provenance["training"]
    assert not provenance_of(others).rendered_alone
    assert "unknown" in provenance_of(others).line


def test_a_backbone_carries_what_every_fine_tuning_learnt_from():
    from models.finetuning.finetune import _training

    videos = people(range(3), origin="filmed")
    read = SimpleNamespace(sha256s=[one.sha256 for one in videos[:4]])  # one person's failed
    base = SimpleNamespace(provenance={})
    (now,) = _training(base, {"train": (videos, read)})
    assert TrainingSummary.from_json(now["train"]).origins == {"filmed": 2}
    tuned = SimpleNamespace(provenance={"trained_on": {}, "training": [now]})
    assert _training(tuned, {"train": (videos, read)}) == [now, now]
    earlier = SimpleNamespace(provenance={"trained_on": {}})
    assert _training(earlier, {"train": (videos, read)}) == [None, now]


def test_a_bundle_of_an_earlier_version_says_so():
    found = provenance_of(bundle_of(people(range(4)), training={}))
    assert not found.rendered_alone
    assert "8 videos of 4 groups" in found.line
    assert "unknown (a bundle of an earlier version)" in found.line


def test_a_test_result_has_its_interval_level_and_people():
    told = format_result(
        HeldOutResult(split="test", auc=Estimate(value=0.9, low=0.8, high=0.95), confidence=0.9,
                      tested_on=TrainingSummary.of(people(range(3), origin="filmed")))
    )  # fmt: skip
    assert told == (
        "test result: AUC 0.900 (90 % interval 0.80 to 0.95) on 6 videos of 3 real people"
    )


def test_strangers_names_of_methods_stay_on_one_line_and_harm_no_page(judged_page):
    hostile = [video(9, label=1, method="<script>alert(1)</script>\x1b[31m")]
    many = [video(n, label=1, method=f"method {n}") for n in range(20)]
    found = provenance_of(bundle_of(hostile + many))
    assert "and 15 more" in found.line
    page = Page(judged_page(found))
    assert "script" not in page.tags
    scan = Scan(folder="x", videos=0, scored=(), failures=(), command="unmask", provenance=found)
    shown = render_scan(Bundle.load(judged_page.path), scan)
    assert "script" not in Page(shown).tags


@pytest.fixture(scope="module")
def judged_page(world, loaded):
    """Renders the page of one video with a provenance; its heat is left out."""
    from pipeline.inference.predict import judge

    bundle = Bundle.load(world.bundle)
    path = world.demo / "real" / "person_000.mp4"
    (judged,) = judge(bundle, [(str(path), path)], 1)

    class Render:
        path = world.bundle

        def __call__(self, provenance):
            return render_verdict(
                bundle,
                judged,
                heats={},
                file=FileFacts(card={}, quantities={}),
                provenance=provenance,
                command="unmask",
            )

    return Render()


def test_no_page_speaks_of_a_test_result_that_is_not_there(judged_page):
    untested = provenance_of(bundle_of(people(range(4), origin="filmed")))
    shown = " ".join(Page(judged_page(untested)).shown.split())
    assert "test result: none" in shown
    assert "The test result above" not in shown


def test_rendered_people_stand_before_the_verdict_and_in_its_size(judged_page):
    rendered = provenance_of(bundle_of(people(range(4), origin="rendered")))
    text = judged_page(rendered)
    verdict = re.search(r'<p class="verdict (REAL|FAKE|UNSURE)">', text)
    assert text.index(HEADLINE) < verdict.start()
    assert f'<p class="verdict caution">{HEADLINE}</p>' in text
    assert rendered.line in " ".join(Page(text).shown.split())
    real = provenance_of(bundle_of(people(range(4), origin="filmed")))
    assert HEADLINE not in judged_page(real)


def test_the_demo_tells_index_which_tells_train_which_tells_the_bundle(world):
    manifest = Manifest.read(world.manifest, root=world.demo)
    assert {one.origin for one in manifest.videos} == {"rendered"}
    bundle = Bundle.load(world.bundle)
    for split in ("train", "val"):
        assert bundle.training[split] == TrainingSummary.of(manifest.split(split))
        assert bundle.training[split].rendered_alone


def test_an_evaluation_is_kept_beside_the_bundle_and_only_for_it(world, run, tmp_path):
    before = {path.name: path.read_bytes() for path in world.bundle.iterdir()}
    run(
        "evaluate", world.bundle, world.features, "--manifest", world.manifest, "-o", tmp_path / "r"
    )
    found = read_result(world.bundle)
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    assert found is not None
    assert (found.auc.value, found.auc.low) == (metrics["lstm"]["auc"], metrics["lstm"]["auc_low"])
    assert (found.confidence, found.split) == (0.95, "test")
    assert found.tested_on.videos == metrics["lstm"]["videos"]
    assert found.tested is not None
    for parts in found.tested.parts.values():  # each counts every video once
        counts = [part.counts for part in parts]
        assert sum(one.fakes + one.reals for one in counts) == metrics["lstm"]["videos"]
        assert sum(one.unsure for one in counts) == round(
            metrics["lstm"]["unsure"] * metrics["lstm"]["videos"]
        )
    # Of a copy that is another bundle, or whose record is damaged, there is none.
    copy = tmp_path / "copy"
    shutil.copytree(world.bundle, copy)
    assert read_result(copy) is None
    shutil.copy(result_path(world.bundle), result_path(copy))
    assert read_result(copy) == found
    for text in ("", "{", "[]", '{"format": "unmask-evaluation", "version": 1}', "null", "\0"):
        result_path(copy).write_text(text)
        assert read_result(copy) is None
    # Not of what was seen in training.
    result_path(copy).unlink()
    evaluate = ("evaluate", copy, world.features, "--manifest", world.manifest)
    run(*evaluate, "--split", "train", "--allow-seen", "-o", tmp_path / "seen")
    assert not result_path(copy).exists()
    run(*evaluate, "--set", "evaluate.confidence=0.8", "-o", tmp_path / "fair")
    assert read_result(copy).confidence == 0.8
    facts = json.loads((copy / "bundle.json").read_text())
    (copy / "bundle.json").write_text(json.dumps({**facts, "command": "another training"}))
    assert read_result(copy) is None
    assert {path.name: path.read_bytes() for path in world.bundle.iterdir()} == before


def test_where_the_result_cannot_be_kept_the_report_is_written_all_the_same(world, run, tmp_path):
    bundle = tmp_path / "bundle"
    shutil.copytree(world.bundle, bundle)
    result_path(bundle).mkdir()  # a folder is in the way
    told = run("evaluate", bundle, world.features, "--manifest", world.manifest,
               "-o", tmp_path / "report")  # fmt: skip
    assert "will not name this result" in told.stderr
    assert (tmp_path / "report" / "metrics.json").is_file()
    assert "not evaluated" in provenance_of(Bundle.load(bundle), bundle).line


def test_predict_says_it_in_terminal_and_json(world, run, loaded, tmp_path):
    (tmp_path / "v").mkdir()
    shutil.copy(world.demo / "real" / "person_000.mp4", tmp_path / "v" / "good.mp4")
    (tmp_path / "v" / "bad.mp4").write_bytes(b"<!doctype html><title>not found</title>")
    told = run("predict", world.bundle, tmp_path / "v", code=PARTLY_FAILED).output
    lines = told.splitlines()
    assert lines[0].startswith(HEADLINE.upper())
    assert "rendered people" in lines[1]
    assert "forgeries: rendered-" in lines[1]
    assert "test result: AUC" in lines[1]
    assert all(".mp4: " in line for line in lines[2:4])
    (bad,) = [line for line in lines if "bad.mp4" in line]
    assert "no verdict: unreadable" in bad
    assert any(one in bad for one in REASONS)
    facts = json.loads(
        run("predict", world.bundle, tmp_path / "v", "--json", code=PARTLY_FAILED).output
    )
    for one in facts:
        assert HEADLINE in one["warning"]
        assert one["training"] == lines[1].partition(": ")[2]
        assert list(one).index("warning") < list(one).index("verdict")
    good, failed = sorted(facts, key=lambda one: one["verdict"] is None)
    (face,) = good["faces"]
    assert face["interval_level"] == 0.95
    assert 0 <= face["agreement"] <= 1
    assert any(one in failed["message"] for one in REASONS)


def test_a_scan_says_it_in_terminal_json_and_page(world, run, loaded, tmp_path):
    folder = tmp_path / "v"
    folder.mkdir()
    shutil.copy(world.demo / "real" / "person_000.mp4", folder / "good.mp4")
    for number in range(3):
        (folder / f"<b>bad{number}.mp4").write_bytes(b"#EXTM3U\n" + b"%d" % number)
    arguments = ("scan", world.bundle, folder, "-o", tmp_path / "scan", "--store", world.store)
    told = run(*arguments, code=PARTLY_FAILED).output
    lines = told.splitlines()
    assert lines[0].startswith(HEADLINE.upper())
    assert "rendered people" in lines[1]
    (reason,) = [line for line in lines if line.startswith("failed: ")]
    assert "3 x unreadable" in reason
    assert "<b>bad0.mp4 for one" in reason
    assert any(one in reason for one in REASONS)
    facts = json.loads(run(*arguments, "--json", code=PARTLY_FAILED).output)
    record = json.loads((tmp_path / "scan" / "scan.json").read_text())
    for one in (facts, record):
        assert one["training"] == lines[1].partition(": ")[2]
        assert HEADLINE in one["warning"]
    text = (tmp_path / "scan" / "scan.html").read_text("utf-8")
    assert text.index(HEADLINE) < text.index("are called FAKE")
    page = Page(text)
    assert "b" not in page.tags
    assert any(one in page.shown for one in REASONS)
    with (tmp_path / "scan" / "failures.csv").open() as handle:
        assert all(any(one in row["message"] for one in REASONS) for row in csv.DictReader(handle))


def test_reasons_are_summed_up_whatever_numbers_they_hold():
    rows = [
        Row(path=f"{n}.mp4", stamp=None, failure="decode_error", message=f"holds {n} of 20 frames")
        for n in range(5)
    ] + [Row(path="x.mp4", stamp=None, failure="no_face", message="no face")]
    learnt = provenance_of(bundle_of(people(range(1))))
    scan = Scan(folder="x", videos=6, scored=(), failures=rows, command="", provenance=learnt)
    assert [(one.count, one.path) for one in scan.reasons] == [(5, "0.mp4"), (1, "x.mp4")]
    assert scan.reasons[1].words == "x.mp4: no_face: no face"


def test_index_and_extract_tell_ffmpegs_reason(world, run, tmp_path):
    root = tmp_path / "v"
    shutil.copytree(world.demo / "real", root / "real")
    (root / "fake").mkdir()
    shutil.copy(world.demo / "fake" / "person_000.mp4", root / "fake")
    (root / "real" / "bad.mp4").write_bytes(b"<!doctype html><title>not found</title>")
    told = run("index", root, "-o", tmp_path / "m.csv").output
    (line,) = [one for one in told.splitlines() if one.startswith("failed: ")]
    assert any(one in line for one in REASONS)
    told = run("extract", root / "real" / "bad.mp4", "-o", tmp_path / "f", "--bundle",
               world.bundle, "--store", world.store, code=9).output  # fmt: skip
    (line,) = [one for one in told.splitlines() if one.startswith("failed: ")]
    assert any(one in line for one in REASONS)


def test_a_damaged_summary_is_a_damaged_bundle(world, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(world.bundle, copy)
    facts = json.loads((copy / "bundle.json").read_text())
    for training in ([1], {"train": 3}, {"train": {"videos": "many"}}, "x"):
        (copy / "bundle.json").write_text(json.dumps({**facts, "training": training}))
        with pytest.raises(StoreError):
            Bundle.load(copy)
    del facts["training"]
    (copy / "bundle.json").write_text(json.dumps(facts))
    opened = Bundle.load(copy)
    assert opened.training == {}
    assert "earlier version" in provenance_of(opened, copy).line
    opened.save(tmp_path / "again")
    assert Bundle.load(tmp_path / "again").training == {}


@pytest.mark.parametrize("labels", ["kept", "gone", "elsewhere"])
def test_a_demo_is_known_by_its_record_whatever_its_labels_say(world, run, tmp_path, labels):
    root = tmp_path / "v"
    shutil.copytree(world.demo, root / "demo")
    (root / "demo" / "labels.csv").unlink()
    start = root / "demo"
    if labels == "kept":
        start = world.demo
    if labels == "elsewhere":
        start = root / "mine.csv"
        rows = ["path,label", "demo/real/person_000.mp4,real", "demo/fake/person_000.mp4,fake"]
        start.write_text("\n".join(rows) + "\n")
    run("index", start, "-o", tmp_path / "m.csv")
    assert {one.origin for one in Manifest.read(tmp_path / "m.csv").videos} == {"rendered"}


def test_data_sets_of_the_field_are_filmed_and_a_users_own_are_not_told(tmp_path):
    listing = Listing(root=tmp_path, source="", entries=[Entry(path="a/b.mp4", label=0)])
    (told,) = with_origins("faceforensics", listing).entries
    assert told.origin == "filmed"
    (own,) = with_origins("folders", listing).entries
    assert own.origin == ""
    for text in ("", "{", "[]", '{"format": "another"}'):
        (tmp_path / "demo.json").write_text(text)
        assert with_origins("table", listing).entries == listing.entries


def test_a_table_may_say_what_its_people_are(world, run, tmp_path):
    root = tmp_path / "v"
    shutil.copytree(world.demo, root)
    (root / "demo.json").unlink()
    rows = ["path,label,origin", "real/person_000.mp4,real,Filmed", "fake/person_000.mp4,fake,x"]
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    run("index", root, "-o", tmp_path / "m.csv")
    videos = Manifest.read(tmp_path / "m.csv", root=root).videos
    assert {one.path: one.origin for one in videos} == {
        "real/person_000.mp4": "filmed", "fake/person_000.mp4": "",
    }  # fmt: skip
    plain = replace(Manifest.read(tmp_path / "m.csv"), videos=tuple(
        replace(one, origin="") for one in videos
    ))  # fmt: skip
    plain.write(tmp_path / "plain.csv")
    assert "origin" not in (tmp_path / "plain.csv").read_text()
    assert Manifest.read(Path(tmp_path / "plain.csv")).videos[0].origin == ""
