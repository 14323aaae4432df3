"""Another detector's report: scikit-learn's numbers, what is left out, leaks, comparisons."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn import metrics
from typer.testing import CliRunner

from data.datasets.manifest import Manifest, Video
from data.errors import ConfigError, DatasetError, InputError, LeakError
from models.evaluation.likelihood_ratio_fit import cllr
from pipeline.cli.app import app
from pipeline.config import Params, load_params
from pipeline.evaluation.compare import compare_reports
from pipeline.evaluation.results import Report
from pipeline.external_detectors.evaluate import evaluate_scores
from pipeline.external_detectors.options import ScoreOptions
from pipeline.reporting.folders import write_report
from pipeline.reporting.report import render_page
from tests.pipeline.printed_json import check
from tests.pipeline.score_files.made_up import (
    made_up_scores,
    made_up_videos,
    sigmoid,
    write_csv,
    write_deepfakebench,
    write_manifest,
    write_workbench,
)

ROOT = Path(__file__).parents[3]
VIDEOS = made_up_videos()
TEST = [row for row, video in enumerate(VIDEOS) if video.split == "test"]
VAL = [row for row, video in enumerate(VIDEOS) if video.split == "val"]
LABELS = np.asarray([video.label for video in VIDEOS])
FEW = load_params(None, ["evaluate.rounds=100"])


def report_of(folder: Path, *files: Path, split: str = "test", allow_seen: bool = False,
              params: Params = FEW, features: Path | None = None, **options) -> Report:  # fmt: skip
    manifest = folder / "manifest.csv"
    if not manifest.exists():
        write_manifest(folder)
    return evaluate_scores(
        files, manifest=manifest, options=ScoreOptions.of(**options), split=split,
        allow_seen=allow_seen, params=params, features=features,
    )  # fmt: skip


def plain(folder: Path, scores: np.ndarray, rows: list[int] | None = None) -> Path:
    rows = list(range(len(VIDEOS))) if rows is None else rows
    return write_csv(folder / "xception.csv", [VIDEOS[row] for row in rows], scores[rows].tolist())


def evaluation_of(report: Report):
    return report.first[1].evaluation


def values(report: Report) -> dict[str, float]:
    return {name: one.value for name, one in evaluation_of(report).metrics.items()}


# numbers


@pytest.mark.parametrize("scale", [1, 1000.0, 1e-3])
@pytest.mark.parametrize("higher", ["fake", "real"])
def test_metrics_are_those_of_scikit_learn(tmp_path: Path, scale: float, higher: str) -> None:
    scores = made_up_scores(VIDEOS) * scale
    turn = 1 if higher == "fake" else -1
    found = report_of(tmp_path, plain(tmp_path, turn * scores), higher=higher)
    truth, own = LABELS[TEST], scores[TEST]
    evaluation, values_ = evaluation_of(found), values(found)
    called = own >= evaluation.threshold
    assert values_["auc"] == metrics.roc_auc_score(truth, own)
    assert values_["ap"] == metrics.average_precision_score(truth, own)
    assert values_["accuracy"] == metrics.accuracy_score(truth, called)
    assert values_["balanced_accuracy"] == metrics.balanced_accuracy_score(truth, called)
    assert values_["recall_fake"] == metrics.recall_score(truth, called)
    p_fake = found.probabilities_of("xception")
    assert values_["log_loss"] == metrics.log_loss(truth, p_fake)
    assert values_["brier"] == metrics.brier_score_loss(truth, p_fake)
    false, true, thresholds = metrics.roc_curve(truth, own, drop_intermediate=False)
    assert evaluation.roc[0] == false.tolist()
    assert evaluation.roc[1] == true.tolist()
    assert evaluation.roc[2][1:] == thresholds[1:].tolist()
    assert evaluation.roc[2][0] > own.max()
    assert np.array_equal(found.scores_of("xception"), own)
    for method, part in evaluation.slices["method"].items():
        held = [row for row in TEST if VIDEOS[row].method in (method, "real")]
        assert part.auc.value == metrics.roc_auc_score(LABELS[held], scores[held])


def test_p_fake_keeps_the_order_and_is_calibrated_on_validation_alone(tmp_path: Path) -> None:
    scores = made_up_scores(VIDEOS)
    one = report_of(tmp_path, plain(tmp_path, scores))
    p_fake = one.probabilities_of("xception")
    order = np.argsort(scores[TEST])
    assert (np.diff(p_fake[order]) >= 0).all()
    # as scikit-learn's, which has next to no penalty here
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=1e6).fit(scores[VAL, None], LABELS[VAL])
    np.testing.assert_allclose(p_fake, fitted.predict_proba(scores[TEST, None])[:, 1], atol=0.01)
    assert one.external.probabilities == "by Platt's sigmoid, fitted on 60 validation videos"
    assert "60 validation videos" in one.external.threshold_rule
    # other labels of the measured videos change neither
    flipped = tuple(
        Video(**vars(video) | {"label": 1 - video.label}) if video.split == "test" else video
        for video in VIDEOS
    )
    write_manifest(tmp_path, flipped)
    other = report_of(tmp_path, tmp_path / "xception.csv")
    assert np.array_equal(other.probabilities_of("xception"), p_fake)
    assert evaluation_of(other).threshold == evaluation_of(one).threshold


def test_likelihood_ratios_are_told_as_for_a_bundle(tmp_path: Path) -> None:
    found = report_of(tmp_path, plain(tmp_path, made_up_scores(VIDEOS, gap=3)))
    llrs = np.asarray([row.log10_lrs["xception"] for row in found.predictions])
    assert values(found)["cllr"] == cllr(LABELS[TEST], llrs)
    assert values(found)["cllr"] < 1
    assert found.metrics["xception"]["cllr_novel_included"] == values(found)["cllr"]
    without = report_of(
        tmp_path, tmp_path / "xception.csv", params=load_params(None, ["calibration.folds=0"])
    )
    assert without.first[1].likelihood_ratio is None


@pytest.mark.parametrize("method", ["isotonic", "none"])
def test_other_calibrations(tmp_path: Path, method: str) -> None:
    params = load_params(None, [f"calibration.method={method}", "evaluate.rounds=50"])
    found = report_of(tmp_path, plain(tmp_path, made_up_scores(VIDEOS)), params=params)
    assert (found.probabilities_of("xception") is None) is (method == "none")
    assert method in found.external.probabilities
    render_page(found)


def test_scores_that_fall_with_the_label_give_no_probability(tmp_path: Path) -> None:
    found = report_of(tmp_path, plain(tmp_path, -made_up_scores(VIDEOS, gap=3)))
    assert found.probabilities_of("xception") is None
    assert "--higher-is real" in found.external.probabilities
    assert "pass --higher-is real" in render_page(found)


# threshold


def test_a_given_threshold_is_on_the_scale_of_the_file(tmp_path: Path) -> None:
    scores = sigmoid(made_up_scores(VIDEOS))
    found = report_of(tmp_path, plain(tmp_path, scores), threshold=0.6)
    truth = LABELS[TEST] == 1
    caught = float(np.mean(scores[TEST][truth] >= 0.6))
    assert values(found)["recall_fake"] == caught
    assert found.external.threshold_rule == "given"
    turned = report_of(tmp_path, plain(tmp_path, 1 - scores), threshold=0.4, higher="real")
    assert values(turned)["recall_fake"] == pytest.approx(caught)
    negated = report_of(tmp_path, plain(tmp_path, -9 * scores), threshold=-5.4, higher="real")
    assert values(negated)["recall_fake"] == pytest.approx(caught)


def test_without_validation_the_threshold_is_optimistic_and_nothing_is_calibrated(
    tmp_path: Path,
) -> None:
    scores = made_up_scores(VIDEOS)
    found = report_of(tmp_path, plain(tmp_path, scores, TEST))
    held = values(found)
    false = 1 - held["recall_real"]
    assert abs(false - (1 - held["recall_fake"])) <= 1 / 30 + 1e-12
    assert not {"log_loss", "brier", "ece", "cllr"} & held.keys()
    assert {"auc", "eer", "cllr_min"} <= held.keys()
    assert found.external.optimistic
    assert any("optimistic" in line for line in found.external.warnings)
    page = render_page(found)
    assert "none, since no video of the validation split has a score" in page
    assert 'id="tippett"' not in page
    assert 'id="reliability"' not in page
    given = report_of(tmp_path, tmp_path / "xception.csv", threshold=0.1)
    assert not given.external.optimistic


def test_a_second_file_brings_the_validation_split(tmp_path: Path) -> None:
    scores = made_up_scores(VIDEOS)
    whole = report_of(tmp_path, plain(tmp_path, scores))
    val = write_csv(tmp_path / "val.csv", [VIDEOS[row] for row in VAL], scores[VAL].tolist())
    parts = report_of(tmp_path, plain(tmp_path, scores, TEST), val)
    assert values(parts) == values(whole)


@pytest.mark.parametrize("split", ["val", "all"])
def test_nothing_is_chosen_on_measured_videos_unsaid(tmp_path: Path, split: str) -> None:
    found = report_of(tmp_path, plain(tmp_path, made_up_scores(VIDEOS)), split=split)
    assert found.external.optimistic
    assert "holds the validation videos" in found.external.probabilities


# videos without a score


def sparse(scores: np.ndarray) -> np.ndarray:
    found = scores.copy()
    found[TEST[::7]] = np.nan
    return found


@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("policy", ["excluded", "real", "fake", "chance"])
def test_missing_scores_count_as_they_are_said_to(tmp_path: Path, policy: str, unit: bool) -> None:
    scores = made_up_scores(VIDEOS)
    scores = sparse(sigmoid(scores) if unit else scores)
    found = report_of(tmp_path, plain(tmp_path, scores), missing=policy)
    own, truth = scores[TEST], LABELS[TEST]
    lacking = np.isnan(own)
    assert (found.coverage.scored, found.coverage.videos) == (int((~lacking).sum()), len(TEST))
    assert len(found.missing) == lacking.sum()
    facts = found.metrics["xception"]
    assert (facts["scored"], facts["expected"]) == (int((~lacking).sum()), len(TEST))
    assert facts["coverage"] == np.mean(~lacking)
    if policy == "excluded":
        assert facts["auc"] == metrics.roc_auc_score(truth[~lacking], own[~lacking])
        assert len(found.predictions) == (~lacking).sum()
        return
    written = found.scores_of("xception")
    assert facts["auc"] == metrics.roc_auc_score(truth, written)
    low, high = (0, 1) if unit else (np.nanmin(own), np.nanmax(own))
    called = written[lacking] >= facts["threshold"]
    if policy in ("real", "fake"):
        assert set(written[lacking]) == {low if policy == "real" else high}
        assert called.all() if policy == "fake" else not called.any()
        return
    for label in (0, 1):
        right = called[truth[lacking] == label] == (label == 1)
        assert right.sum() == len(right) // 2
    p_fake = found.probabilities_of("xception")
    assert set(p_fake[lacking]) == {0.5}
    assert {row.log10_lrs["xception"] for row in np.asarray(found.predictions)[lacking]} == {0}


def test_at_chance_a_perfect_detector_gains_nothing_from_what_it_skips(tmp_path: Path) -> None:
    scores = LABELS.astype(np.float64)
    scores[[row for row in TEST if row % 4 < 2]] = np.nan  # half of the videos
    found = report_of(tmp_path, plain(tmp_path, scores), missing="chance", threshold=0.5)
    lacking = np.isnan(scores[TEST])
    share = [np.mean(lacking[LABELS[TEST] == label]) for label in (0, 1)]
    # a pair with a missing video is ranked rightly by chance
    fair = (1 - share[0]) * (1 - share[1]) + 0.5 * (1 - (1 - share[0]) * (1 - share[1]))
    assert values(found)["auc"] == pytest.approx(fair, abs=0.03)


def test_coverage_stands_beside_the_auc(tmp_path: Path) -> None:
    found = report_of(tmp_path, plain(tmp_path, sparse(made_up_scores(VIDEOS))))
    words = str(found.coverage)
    assert words == f"102 of 120 videos ({102 / 120:.1%})"
    page = render_page(found)
    rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td>", page)
    names = [name for name, _ in rows]
    assert names[names.index("AUC") + 1] == "videos with a score"
    assert dict(rows)["videos with a score"] == words
    assert f"with a score for <strong>{words}</strong>; those without are left out" in page
    assert page.count(found.missing[0]) == 1


def test_nothing_or_one_class_to_measure(tmp_path: Path) -> None:
    scores = made_up_scores(VIDEOS)
    with pytest.raises(DatasetError, match="no video of the test split"):
        report_of(tmp_path, plain(tmp_path, scores, VAL))
    fakes = [row for row in TEST if LABELS[row]]
    with pytest.raises(DatasetError, match="no real video"):
        report_of(tmp_path, plain(tmp_path, scores, fakes))
    few = [*fakes, *(row for row in VAL if LABELS[row])]
    reals = [row for row in TEST if not LABELS[row]]
    one_class = report_of(tmp_path, plain(tmp_path, scores, [*few, *reals]))
    assert "one class only" in one_class.external.probabilities


# peers


def test_deepfakebench_has_frames_of_its_own(tmp_path: Path) -> None:
    videos = [video for video in VIDEOS if video.split != "train"]
    scores = sigmoid(
        made_up_scores(videos)[:, None] + np.random.default_rng(3).normal(0, 1, (180, 6))
    )
    found = report_of(tmp_path, write_deepfakebench(tmp_path / "Celeb.json", videos, scores))
    rows = [row for row, video in enumerate(videos) if video.split == "test"]
    truth = np.asarray([videos[row].label for row in rows])
    evaluation = evaluation_of(found)
    assert evaluation.metrics["auc"].value == pytest.approx(
        metrics.roc_auc_score(truth, scores[rows].mean(1)), abs=1e-12
    )
    assert evaluation.frames["auc"].value == pytest.approx(
        metrics.roc_auc_score(np.repeat(truth, 6), scores[rows].ravel()), abs=1e-12
    )
    assert evaluation.frames["recall_fake"].value == np.mean(
        scores[rows][truth == 1] >= evaluation.frame_threshold
    )
    assert "log_loss" not in evaluation.frames
    assert found.external.aggregation == "the mean of 6 scores of a video"
    assert "frame of the file" in render_page(found)


def test_workbench_and_its_meta(tmp_path: Path) -> None:
    videos = [VIDEOS[row] for row in TEST]
    scores = sparse(sigmoid(made_up_scores(VIDEOS)))[TEST]
    found = report_of(tmp_path, write_workbench(tmp_path, videos, scores.tolist()))
    known = ~np.isnan(scores)
    assert values(found)["auc"] == metrics.roc_auc_score(LABELS[TEST][known], scores[known])
    assert found.model_card["Detector"]["detector, name"] == "tiny-cnn"
    assert found.external.kinds == ("score file of deepfake-workbench",)


# leaks


def listed(folder: Path, text: str) -> Path:
    path = folder / "training.csv"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("row", ["group\ng002\n", f"path\n/data/{VIDEOS[TEST[0]].path}\n",
                                 f"sha256\n{VIDEOS[TEST[0]].sha256}\n"])  # fmt: skip
def test_measured_videos_and_people_in_the_training_list(tmp_path: Path, row: str) -> None:
    scores, training = plain(tmp_path, made_up_scores(VIDEOS)), listed(tmp_path, row)
    with pytest.raises(LeakError, match="seen in training"):
        report_of(tmp_path, scores, trained_on=training)
    found = report_of(tmp_path, scores, trained_on=training, allow_seen=True)
    assert found.seen.startswith("Not a fair test: ")
    page = render_page(found).replace("&#39;", "'")
    assert found.seen in page
    assert "people of whom it had seen some before" in page
    assert found.metrics["seen_in_training"] == found.seen


def test_a_manifest_is_a_training_list(tmp_path: Path) -> None:
    scores = plain(tmp_path, made_up_scores(VIDEOS))
    report_of(tmp_path, scores)  # writes the manifest
    found = report_of(tmp_path, scores, trained_on=tmp_path / "manifest.csv")
    assert not found.seen
    assert "checked against the 120 rows of manifest.csv" in found.external.trained_on
    assert "people whom it knows" in found.training_leaks[0]  # validation is in it, too
    page = render_page(found)
    assert "is not known to unmask" not in page
    assert "people that it had never seen" in page


def test_without_a_list_the_page_says_that_nothing_is_known(tmp_path: Path) -> None:
    found = report_of(tmp_path, plain(tmp_path, made_up_scores(VIDEOS)))
    page = render_page(found)
    assert "What this detector was trained on is not known to unmask" in page
    assert "people that it had never seen" not in page
    assert "is not known to unmask" in found.external.warnings[0]


def test_a_list_that_cannot_be_meant(tmp_path: Path) -> None:
    scores = plain(tmp_path, made_up_scores(VIDEOS))
    for text, words in {
        "name\nx\n": "none of the columns path, sha256, group",
        "group\n": "lists no video",
        "path,group,name\n,,x\n": "line 2: path and group are empty",
    }.items():
        with pytest.raises(InputError, match=words):
            report_of(tmp_path, scores, trained_on=listed(tmp_path, text))
    found = report_of(tmp_path, scores, trained_on=listed(tmp_path, "path\nelsewhere/a.mp4\n"))
    assert "1 of them name no video of the manifest" in found.external.trained_on


# files, comparison, command line


def test_files_are_the_same_twice_and_read_back(tmp_path: Path) -> None:
    scores = made_up_scores(VIDEOS)
    for name in ("a", "b"):
        write_report(report_of(tmp_path, plain(tmp_path, scores)), tmp_path / name)
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    with open(tmp_path / "a" / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["xception"]) for row in rows] == scores[TEST].tolist()


def test_two_reports_are_compared_draw_by_draw(tmp_path: Path) -> None:
    good, bad = made_up_scores(VIDEOS, gap=3), made_up_scores(VIDEOS, seed=1, gap=0.3)
    write_report(report_of(tmp_path, plain(tmp_path, good)), tmp_path / "a")
    write_report(report_of(tmp_path, plain(tmp_path, sparse(bad) * 50), name="other"),
                 tmp_path / "b")  # fmt: skip
    found = compare_reports(tmp_path / "a", tmp_path / "b", model=None, other=None, params=FEW)
    both = [row for row in TEST if not np.isnan(sparse(bad)[row])]
    expected = (metrics.roc_auc_score(LABELS[both], good[both])
                - metrics.roc_auc_score(LABELS[both], bad[both]))  # fmt: skip
    assert found.delong.difference == pytest.approx(expected, abs=1e-12)
    assert found.bootstrap["auc"].value == pytest.approx(expected, abs=1e-12)
    assert found.bootstrap["auc"].low > 0
    assert {"log_loss", "brier"} <= found.bootstrap.keys()
    assert found.b.coverage == "102 of 120 videos (85.0%)"
    # P(fake) is unknown to one of them
    write_report(report_of(tmp_path, plain(tmp_path, bad, TEST)), tmp_path / "c")
    found = compare_reports(tmp_path / "a", tmp_path / "c", model=None, other=None, params=FEW)
    assert found.bootstrap.keys() == {"auc", "ap", "balanced_accuracy"}


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    hostile = '<script>alert("x")</script>'
    videos = tuple(
        Video(
            **vars(video) | {"path": f"{hostile}/{video.path}", "group": f"{hostile}{video.group}"}
        )
        for video in VIDEOS
    )
    write_manifest(tmp_path, videos)
    scores = write_csv(tmp_path / "a.csv", VIDEOS, sparse(made_up_scores(VIDEOS)).tolist())
    with open(scores, "a") as file:
        file.write(f"{hostile},1\n")
    page = render_page(report_of(tmp_path, scores))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"higher": "up"}, "--higher-is must be fake or real, got 'up'"),
        ({"missing": "zero"}, "--missing must be excluded or real or fake or chance"),
        ({"aggregate": "sum"}, "--aggregate must be"),
        ({"match": "stem"}, "--match must be path or name"),
        ({"threshold": float("nan")}, "--threshold must be a finite number"),
        ({"name": "lstm"}, "--name must be"),
        ({"name": "Xception"}, "--name must be"),
        ({"name": "path"}, "--name must be"),
    ],
)
def test_options_that_cannot_be_meant(options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ScoreOptions.of(**options)


@pytest.mark.parametrize(("file", "name"), [
    ("Xception.scores.csv", "xception"), ("scores.csv", "detector-scores"), ("ü.csv", "detector-"),
    ("a b+c.csv", "a-b-c"), ("lstm.json", "detector-lstm"),
])  # fmt: skip
def test_a_detector_is_called_as_its_file(file: str, name: str) -> None:
    assert ScoreOptions().name_of(Path(file)) == name


def run(*words: object) -> SimpleNamespace:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return SimpleNamespace(code=done.exit_code, out=done.output)


def test_the_command_line(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    scores = plain(tmp_path, sparse(made_up_scores(VIDEOS)))
    base = ("evaluate", "--scores", scores, "--manifest", manifest, "--set", "evaluate.rounds=50")
    done = run(*base, "-o", tmp_path / "r", "--missing", "fake")
    assert done.code == 0, done.out
    lines = done.out.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("AUC"))
    assert lines[at + 1].split("  ")[0] == "videos with a score"
    assert "102 of 120 videos (85.0%)" in lines[at + 1]
    assert "videos without a score: counted as the surest fakes" in done.out
    facts = json.loads((tmp_path / "r" / "metrics.json").read_text())
    assert facts["xception"]["coverage"] == 0.85
    again = facts and run("results", tmp_path / "r")
    assert "102 of 120 videos (85.0%)" in again.out
    assert check("evaluate", run(*base, "-o", tmp_path / "r", "--json").out)["scores"]["missing"]
    for words, code in (
        (("--on", "a:b"), 2),
        (("--threshold", "nan"), 2),
        (("--trained-on", tmp_path / "none.csv"), 3),
        (("--split", "tset"), 2),
    ):
        done = run(*base, "-o", tmp_path / "x", *words)
        assert (done.code, "Traceback" in done.out) == (code, False), done.out
    assert (
        run("evaluate", "b", "f", "--manifest", manifest, "-o", "x", "--missing", "real").code == 2
    )
    assert run("evaluate", "--scores", scores, "-o", tmp_path / "x").code == 2
    assert run("evaluate", "-o", tmp_path / "x").code == 2


def test_the_command_of_the_card_makes_the_same_report(tmp_path: Path) -> None:
    import shlex

    manifest = write_manifest(tmp_path)
    scores = plain(tmp_path, -sparse(made_up_scores(VIDEOS)))
    training = listed(tmp_path, "group\nsomebody\n")
    done = run("evaluate", "--scores", scores, "--manifest", manifest, "-o", tmp_path / "a",
               "--higher-is", "real", "--missing", "chance", "--threshold", "-0.5",
               "--columns", "path=path,score=score", "--name", "mine", "--match", "name",
               "--trained-on", training, "--set", "evaluate.rounds=20")  # fmt: skip
    assert done.code == 0, done.out
    page = (tmp_path / "a" / "report.html").read_text("utf-8")
    card = re.search(r"<dt>this report</dt><dd>(.*?)</dd>", page)[1].replace("&#39;", "'")
    words = shlex.split(card)[1:]
    words[words.index("REPORT")] = str(tmp_path / "b")
    assert run(*words).code == 0
    assert (tmp_path / "b" / "report.html").read_text("utf-8") == page


# the documentation


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "detectors.md").read_text("utf-8")
    example = re.search(r"```\n(path,score\n.*?)```", text, re.DOTALL)[1]
    (tmp_path / "scores.csv").write_text(example, "utf-8")
    videos = tuple(
        Video(**vars(VIDEOS[0]) | {"path": path, "label": label, "split": "test"})
        for path, label in (("real/person_000.mp4", 0), ("fake/person_000.mp4", 1),
                            ("real/person_001.mp4", 0))
    )  # fmt: skip
    write_manifest(tmp_path, videos)
    found = report_of(tmp_path, tmp_path / "scores.csv")
    assert (found.coverage.scored, values(found)["auc"]) == (2, 1)


def test_the_lines_for_deepfakebench(tmp_path: Path, monkeypatch) -> None:
    text = (ROOT / "docs" / "detectors.md").read_text("utf-8")
    lines = re.search(r"```python\n(import json\n.*?)```", text, re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    videos = [VIDEOS[row] for row in TEST]
    scores = sigmoid(made_up_scores(videos))[:, None] * np.ones(3)
    facts = json.loads(write_deepfakebench(tmp_path / "x.json", videos, scores).read_text())
    exec(lines, {  # noqa: S102 - the lines of the documentation
        "key": "FF-DF",
        "data_dict": {"image": tuple(facts["image"]), "label": tuple(facts["label"])},
        "predictions_nps": np.asarray(facts["pred"], np.float32)[:, None],
        "label_nps": np.asarray(facts["label"]),
    })  # fmt: skip
    found = report_of(tmp_path, tmp_path / "FF-DF.json")
    assert values(found)["auc"] == metrics.roc_auc_score(LABELS[TEST], scores[:, 0])


# with a bundle of unmask's


def test_a_report_is_compared_with_a_bundle_on_the_same_videos(world, tmp_path: Path) -> None:
    videos = Manifest.read(world.manifest).videos
    scores = write_csv(tmp_path / "s.csv", videos, made_up_scores(videos, gap=0.5).tolist())
    base = ("evaluate", world.features, "--scores", scores, "--manifest", world.manifest)
    few = ("--set", "evaluate.rounds=50")
    out = tmp_path / "report"
    done = run(*base, "--root", world.demo, "-o", out, *few)
    assert done.code == 0, done.out
    page = (out / "report.html").read_text("utf-8")
    wrong = re.search(r"<p>(\d+) of (\d+) videos are on the wrong side", page)
    assert page.count('class="strip"') == (int(wrong[1]) if wrong else 0)
    on = ("--on", f"{world.features}:{world.manifest}", *few)
    forward = json.loads(run("compare", out, world.bundle, *on, "--json").out)
    back = json.loads(run("compare", world.bundle, out, *on, "--json").out)
    assert forward["delong"]["difference"] == -back["delong"]["difference"]
    report = json.loads((out / "metrics.json").read_text())["s"]
    assert forward["delong"]["auc_a"] == pytest.approx(report["auc"], abs=1e-12)
    assert forward["coverage"][0].startswith(f"{report['scored']} of {report['expected']} videos")
    assert forward["coverage"][1] == forward["coverage"][0]
    assert forward["videos"] == report["videos"]
    shown = run("compare", out, world.bundle, *on)
    assert "unrecorded" not in shown.out
    both = run("compare", out, out, *on)
    assert (both.code, "leave --on out" in both.out) == (2, True)
    # with a report of ours, too
    assert run("compare", out, world.report, *few).code == 0
