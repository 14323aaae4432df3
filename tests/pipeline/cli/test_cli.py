"""The commands as people use them: answers, exit codes, and one clear line for each bad input."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command

from data import errors
from data.io.interrupts import INTERRUPTED
from models.evaluation.calibration import Calibration
from pipeline.cli.app import app
from pipeline.cli.cases.commands import CHANGED
from pipeline.cli.options import PARTLY_FAILED
from pipeline.cli.pairs import OTHER_SCENE
from tests import footage
from tests.pipeline.conftest import SMALL

ROOT = Path(__file__).parents[3]


def commands() -> dict[str, object]:
    """Every command with its full name."""
    found = {}
    for name, command in get_command(app).commands.items():
        inner = getattr(command, "commands", None)
        if inner:
            found |= {f"{name} {sub}": one for sub, one in inner.items()}
        else:
            found[name] = command
    return found


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_has_help_with_an_example_and_stands_in_the_readme(name, run):
    shown = run(*name.split(), "--help").output
    assert re.search(r"Examples?\s+• unmask", shown)
    assert f"unmask {name}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_lists_every_exit_code():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| (\d+) \| (.+?) \|$", readme, flags=re.MULTILINE))
    classes = [
        one for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.UnmaskError)
    ]  # fmt: skip
    codes = {one.exit_code for one in classes} | {
        0, INTERRUPTED, PARTLY_FAILED, OTHER_SCENE, CHANGED,
    }  # fmt: skip
    assert {int(code) for code in table} == codes


def test_help_answers_at_once_and_loads_no_tensorflow():
    script = (
        "import sys; sys.argv = ['unmask', '--help']\n"
        "from pipeline.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
    )
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, capture_output=True)
    assert time.monotonic() - begun < 3  # under one second on an idle machine


def test_index_loads_no_tensorflow(world, tmp_path):
    script = (
        "import sys\nfrom pipeline.cli.app import app\n"
        f"app(['index', {str(world.demo)!r}, '-o', {str(tmp_path / 'm.csv')!r}], "
        "standalone_mode=False)\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, capture_output=True)


def test_the_second_extraction_makes_nothing_again(world, run):
    again = run("extract", world.manifest, "--root", world.demo, "-o", world.features,
                "--store", world.store, *SMALL)  # fmt: skip
    assert "0 videos done, 24 reused, 0 failed" in again.output


def test_training_twice_gives_the_same_bytes(world, run, tmp_path):
    for name in ("one", "two"):
        run("train", world.features, "--manifest", world.manifest, "-o", tmp_path / name, *SMALL)
    for file in ("head.keras", "baseline.keras", "bundle.json"):
        one, two = ((tmp_path / name / file).read_bytes() for name in ("one", "two"))
        assert one == two


def test_evaluating_twice_gives_the_same_bytes(world, run, tmp_path):
    evaluate = ("evaluate", world.bundle, world.features, "--manifest", world.manifest)
    run(*evaluate, "-o", tmp_path / "again" / "report")
    for path in world.report.iterdir():
        assert (tmp_path / "again" / "report" / path.name).read_bytes() == path.read_bytes()


def test_evaluate_prints_its_metrics_as_json(world, run, tmp_path):
    evaluate = ("evaluate", world.bundle, world.features, "--manifest", world.manifest)
    told = json.loads(run(*evaluate, "-o", tmp_path / "report", "--json").output)
    for model in ("lstm", "mean"):
        assert told[model]["auc_low"] <= told[model]["auc"] <= told[model]["auc_high"]
        assert {"recall_fake", "recall_real", "eer", "balanced_accuracy"} <= told[model].keys()


def test_the_controls_are_in_the_report(world):
    metrics = json.loads((world.report / "metrics.json").read_text())
    assert set(metrics["controls"]) == {
        "majority class", "metadata only", "logistic regression", "LSTM, shuffled frames",
        "LSTM, one frame",
    }  # fmt: skip
    assert metrics["controls"]["majority class"]["auc"] == 0.5
    gain = metrics["controls"]["LSTM, shuffled frames"]
    assert gain["auc_gain"] == pytest.approx(metrics["lstm"]["auc"] - gain["auc"])
    assert "frame_auc" in metrics["lstm"]
    page = (world.report / "report.html").read_text()
    assert re.search(r"(LSTM|linear model) (has a (higher|lower) AUC|does not differ)", page)


def test_the_report_says_how_its_bundle_was_trained(world):
    bundle = json.loads((world.bundle / "bundle.json").read_text())
    start = f"unmask train {world.features} --manifest {world.manifest} -o BUNDLE --set "
    assert bundle["command"].startswith(start)
    page = html.unescape((world.report / "report.html").read_text())
    assert bundle["command"] in page


def test_compare_two_models_of_reports(world, run):
    told = run("compare", world.report, world.report).output
    assert "p = 1" in told
    assert "no difference is shown" in told
    facts = json.loads(run("compare", world.report, world.report, "--other", "mean",
                           "--json").output)  # fmt: skip
    metrics = json.loads((world.report / "metrics.json").read_text())
    assert facts["delong"]["auc_a"] == pytest.approx(metrics["lstm"]["auc"])
    assert facts["bootstrap"]["auc"] == pytest.approx(metrics["auc_gain"])
    assert "no model 'x'" in one_line(run("compare", world.report, world.report, "--model", "x",
                                          code=3))  # fmt: skip
    run("compare", world.report, world.folder / "nowhere", code=3)
    told = run("compare", world.report, world.report, "--allow-seen", code=2)
    assert "--on FEATURES:MANIFEST" in one_line(told)


def test_compare_two_bundles_on_features(world, run):
    on = ("--on", f"{world.features}:{world.manifest}")
    facts = json.loads(run("compare", world.bundle, world.bundle, *on, "--other", "mean",
                           "--json").output)  # fmt: skip
    reported = json.loads(run("compare", world.report, world.report, "--other", "mean",
                              "--json").output)  # fmt: skip
    assert facts["seen_in_training"] == ["", ""]
    # Scores of a report are rounded to nine digits.
    assert facts["delong"] == pytest.approx(reported["delong"], rel=1e-6)
    for name, measured in facts["bootstrap"].items():
        # Differences of scores that were computed twice, in float32.
        assert measured == pytest.approx(reported["bootstrap"][name], rel=1e-6, abs=1e-8)
    told = run("compare", world.bundle, world.bundle, *on, "--split", "train", code=10)
    assert "were seen in training" in one_line(told)
    told = run("compare", world.bundle, world.bundle, *on, "--split", "train", "--allow-seen")
    assert "not a fair test of A" in told.output
    told = run("compare", world.bundle, world.bundle, *on, "--model", "x", code=3)
    assert "no model 'x'" in one_line(told)
    other = ("--on", f"b={world.features}:{world.manifest}")
    assert "one data set" in one_line(run("compare", world.bundle, world.bundle, *on, *other,
                                          code=2))  # fmt: skip


def test_results_show_every_report(world, run):
    shown = run("results", world.folder).output
    assert "report linear model (LSTM left out)" in shown
    assert "fakes caught" in shown
    assert str(world.report / "report.html") in shown
    assert "report" in json.loads(run("results", world.folder, "--json").output)


def test_predict_agrees_with_evaluate(world, run):
    rows = (world.report / "predictions.csv").read_text().splitlines()[1:]
    name, *_, lstm, _ = rows[0].split(",")
    told = json.loads(run("predict", world.bundle, world.demo / name, "--json").output)
    assert told[0]["probability_fake"] == pytest.approx(float(lstm), abs=2e-6)
    head = json.loads((world.bundle / "bundle.json").read_text())["head"]
    band = Calibration.from_json(head["calibration"])
    assert told[0]["verdict"] == band.verdict(float(lstm), told[0]["threshold"])
    assert told[0]["frames_used"] == 8
    assert told[0]["faces_found"] >= 7


def test_predict_goes_on_after_a_bad_video(world, run, tmp_path):
    shutil.copy(world.demo / "real" / "person_000.mp4", tmp_path / "good.mp4")
    (tmp_path / "bad.mp4").write_bytes(b"no video at all")
    told = run("predict", world.bundle, tmp_path, code=PARTLY_FAILED).output
    assert re.search(r"good\.mp4: (REAL|FAKE|UNSURE)  P\(fake\) 0\.\d+", told)
    assert "bad.mp4: no verdict: unreadable" in told


def test_extract_like_a_bundle_from_a_folder(world, run, tmp_path):
    out = tmp_path / "features"
    told = run("extract", world.demo, "-o", out, "--bundle", world.bundle,
               "--store", world.store).output  # fmt: skip
    assert "24 reused" in told  # the same bytes, whatever they are called
    evaluate = ("evaluate", world.bundle, out, "--manifest", world.manifest)
    run(*evaluate, "-o", tmp_path / "report")


def test_features_of_a_part_show_that_part_alone(world, run, tmp_path):
    run("extract", world.demo / "real", "-o", tmp_path / "features", "--bundle", world.bundle,
        "--store", world.store)  # fmt: skip
    told = run("evaluate", world.bundle, tmp_path / "features", "--manifest", world.manifest,
               "-o", tmp_path / "report", code=4)  # fmt: skip
    assert "no fake video" in told.stderr


def test_inspect_and_verify(world, run):
    facts = json.loads(run("store", "inspect", world.features, "--json").output)
    assert facts["videos"] == 24
    assert facts["dim"] == 1024
    assert facts["frames recipe"]["count"] == 8
    assert "no damage" in run("store", "verify", world.features).output
    assert "no damage" in run("store", "verify", world.store).output


def damaged(world, tmp_path) -> Path:
    """A copy of the features with one byte of the data flipped."""
    copy = tmp_path / "damaged"
    shutil.copytree(world.features, copy)
    shard = next(copy.glob("*.h5"))
    shard.chmod(0o644)
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    return copy


def test_a_flipped_byte_is_found(world, run, tmp_path):
    result = run("store", "verify", damaged(world, tmp_path), code=5)
    assert "changed" in result.output
    assert "unmask store repair" in " ".join(result.stderr.split())


def one_line(result) -> str:
    """What stderr says: one line, no traceback."""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("  ")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("unmask: ")
    assert "Traceback" not in result.stderr
    return lines[0]


def test_a_missing_path_is_named(run, tmp_path, world):
    for arguments in (
        ("index", tmp_path / "nowhere"),
        ("extract", tmp_path / "nowhere", "-o", tmp_path / "out"),
        ("extract", tmp_path / "nowhere.csv", "-o", tmp_path / "out"),
        ("train", tmp_path / "nowhere", "--manifest", world.manifest, "-o", tmp_path / "out"),
        ("evaluate", tmp_path / "nowhere", world.features, "--manifest", world.manifest,
         "-o", tmp_path / "out"),
        ("predict", tmp_path / "nowhere", world.demo),
        ("predict", world.bundle, tmp_path / "nowhere.mp4"),
        ("finetune", tmp_path / "nowhere.csv", "-o", tmp_path / "out"),
        ("results", tmp_path / "nowhere"),
        ("store", "inspect", tmp_path / "nowhere"),
        ("store", "verify", tmp_path / "nowhere"),
        ("index", world.demo, "--params", tmp_path / "nowhere.yaml"),
    ):  # fmt: skip
        assert "nowhere" in one_line(run(*arguments, code=3))
    assert not (tmp_path / "out").exists()


def test_an_empty_folder(run, tmp_path):
    for arguments in (("index", tmp_path), ("extract", tmp_path, "-o", tmp_path / "out")):
        assert "no video" in one_line(run(*arguments, code=3))


def test_an_unknown_parameter_names_its_neighbour(run, tmp_path, world):
    result = run("index", world.demo, "-o", tmp_path / "m.csv", "--set", "index.validaton=0.1",
                 code=2)  # fmt: skip
    assert "index.validaton" in one_line(result)
    assert "did you mean index.validation?" in result.stderr


def test_one_class_only(run, tmp_path, world):
    shutil.copytree(world.demo / "real", tmp_path / "videos" / "real")
    told = run("index", tmp_path / "videos", "-o", tmp_path / "m.csv").output
    assert re.search(r"^warning: .*no fake", told, flags=re.MULTILINE)
    run("extract", tmp_path / "m.csv", "--root", tmp_path / "videos", "-o", tmp_path / "f",
        "--store", world.store, *SMALL)  # fmt: skip
    result = run("train", tmp_path / "f", "--manifest", tmp_path / "m.csv", "-o", tmp_path / "b",
                 code=4)  # fmt: skip
    assert "fake" in one_line(result)
    assert not (tmp_path / "b").exists()


def test_three_videos_are_too_few_to_train(run, tmp_path, world):
    for name in ("real/person_000.mp4", "fake/person_000.mp4", "real/person_001.mp4"):
        (tmp_path / "v" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(world.demo / name, tmp_path / "v" / name)
    run("index", tmp_path / "v", "-o", tmp_path / "m.csv")
    run("extract", tmp_path / "m.csv", "--root", tmp_path / "v", "-o", tmp_path / "f",
        "--store", world.store, *SMALL)  # fmt: skip
    arguments = ("train", tmp_path / "f", "--manifest", tmp_path / "m.csv", "-o", tmp_path / "b")
    one_line(run(*arguments, code=4))


def test_a_damaged_shard_stops_training_and_costs_nothing(run, tmp_path, world):
    copy = damaged(world, tmp_path)
    shard = next(copy.glob("*.h5"))
    shard.write_bytes(shard.read_bytes()[:5000])
    result = run("train", copy, "--manifest", world.manifest, "-o", tmp_path / "b", code=5)
    assert shard.name in one_line(result)


def test_features_of_another_backbone_are_refused_naming_both(run, tmp_path, world):
    out = tmp_path / "random"
    run("extract", world.manifest, "--root", world.demo, "-o", out, "--store", world.store,
        "--backbone", "resnet50-random", *SMALL)  # fmt: skip
    result = run("evaluate", world.bundle, out, "--manifest", world.manifest,
                 "-o", tmp_path / "r", code=6)  # fmt: skip
    line = one_line(result)
    assert "resnet50-thin" in line
    assert "resnet50-random" in line
    assert not (tmp_path / "r").exists()


def test_features_of_other_frames_are_refused_naming_both(run, tmp_path, world):
    out = tmp_path / "wider"
    run("extract", world.manifest, "--root", world.demo, "-o", out, "--store", world.store,
        *SMALL, "--set", "frames.margin=1.6")  # fmt: skip
    result = run("evaluate", world.bundle, out, "--manifest", world.manifest,
                 "-o", tmp_path / "r", code=6)  # fmt: skip
    assert "frames.margin (bundle 1.3, features 1.6)" in one_line(result)


def test_training_people_are_not_evaluated(run, tmp_path, world):
    arguments = ("evaluate", world.bundle, world.features, "--manifest", world.manifest,
                 "-o", tmp_path / "r", "--split", "all")  # fmt: skip
    assert "seen in training" in one_line(run(*arguments, code=10))
    run(*arguments, "--allow-seen")
    assert "Not a fair test" in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")


def test_too_many_failures_keep_what_succeeded(run, tmp_path, world):
    for name in ("person_000.mp4", "person_001.mp4"):
        shutil.copy(world.demo / "real" / name, tmp_path / name)
    (tmp_path / "bad.mp4").write_bytes(b"not a video")
    result = run("extract", tmp_path, "-o", tmp_path / "out", "--store", world.store, *SMALL,
                 code=9)  # fmt: skip
    assert "1 of 3 videos failed" in one_line(result)
    assert "2 reused" in result.output
    assert "bad.mp4,unreadable" in (tmp_path / "out" / "failures.csv").read_text()
    run("extract", tmp_path, "-o", tmp_path / "out", "--store", world.store, *SMALL,
        "--max-failures", "0.5")  # fmt: skip


def test_a_file_changed_since_it_was_indexed_is_not_used(run, tmp_path, world):
    shutil.copytree(world.demo, tmp_path / "v")
    shutil.copy(world.demo / "real" / "person_001.mp4", tmp_path / "v" / "real" / "person_000.mp4")
    told = run("extract", world.manifest, "--root", tmp_path / "v", "-o", tmp_path / "f",
               "--store", world.store, *SMALL).output  # fmt: skip
    assert "real/person_000.mp4: unreadable: the file changed" in told


def test_an_out_that_holds_other_files_is_left_alone(run, tmp_path, world):
    (tmp_path / "thesis.txt").write_text("years of work")
    arguments = ("train", world.features, "--manifest", world.manifest, "-o", tmp_path, *SMALL)
    one_line(run(*arguments, code=8))
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.usefixtures("mountable")
def test_a_full_disk_is_one_clear_line_and_loses_nothing(run, tmp_path, world):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=True)
    try:
        arguments = ("extract", world.demo / "real", "-o", disk / "features",
                     "--store", disk / "store", *SMALL)  # fmt: skip
        line = one_line(run(*arguments, code=8))
        assert "space" in line
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        told = run(*arguments).output
        reused = int(re.search(r"(\d+) reused", told).group(1))
        assert reused > 0
        assert "0 failed" in told
        assert "no damage" in run("store", "verify", disk / "features").output
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.usefixtures("mountable")
def test_a_read_only_out_is_one_clear_line(run, tmp_path, world):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(disk)], check=True)
    try:
        out = disk / "out"
        for arguments in (
            ("index", world.demo, "-o", out / "manifest.csv"),
            ("extract", world.manifest, "--root", world.demo, "-o", out, "--store", world.store),
            ("train", world.features, "--manifest", world.manifest, "-o", out),
            ("evaluate", world.bundle, world.features, "--manifest", world.manifest, "-o", out),
            ("demo", out),
            ("backbone", "resnet50-thin", "-o", out),
        ):
            settings = () if arguments[0] == "demo" else SMALL
            assert "ead-only" in one_line(run(*arguments, *settings, code=8))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_real_clips_are_extracted(run, tmp_path, world):
    arguments = ("extract", footage.clips(), "-o", tmp_path / "f", "--store", world.store)
    told = run(*arguments, *SMALL).output
    assert "7 videos done, 0 reused, 0 failed" in told
    facts = json.loads(run("store", "inspect", tmp_path / "f", "--json").output)
    assert facts["videos"] == 7
    assert np.isfinite(facts["mean"])


@pytest.mark.parametrize("own", ["", "3"])
def test_matrix_products_of_numpy_have_one_thread_unless_the_user_says_other(own):
    code = (
        "import os\nfrom pipeline.entry import main\n"
        "try:\n    main()\nexcept SystemExit:\n    print(os.environ['OPENBLAS_NUM_THREADS'])"
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": own}
    if not own:
        del environment["OPENBLAS_NUM_THREADS"]
    told = subprocess.run(
        [sys.executable, "-c", code, "--version"],
        cwd=ROOT, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert told.stdout.splitlines()[-1] == (own or "1")


def test_few_searches_for_cycles_and_none_at_the_end():
    code = (
        "import gc\nfrom pipeline.entry import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    print(gc.get_threshold()[0], gc.get_freeze_count())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, "--version"], cwd=ROOT, capture_output=True, text=True
    )
    threshold, frozen = map(int, told.stdout.splitlines()[-1].split())
    assert threshold > 5000
    assert frozen > 5000


def test_the_other_ways_to_start_it():
    module = subprocess.run(
        [sys.executable, "-m", "pipeline", "--version"], cwd=ROOT, capture_output=True, text=True
    )
    assert module.stdout.startswith("unmask ")
    typed = subprocess.run(
        [str(Path(sys.executable).with_name("typer")), "pipeline.cli.app", "run", "extract",
         "--help"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert "• unmask extract" in typed.stdout
