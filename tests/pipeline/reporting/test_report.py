"""The report: right numbers, hostile names, no network, the same bytes."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from data.datasets.manifest import Manifest, SplitCounts
from data.faces.crops import read_frames
from data.faces.tracker import FaceFinder
from data.video.frames import FrameRecipe
from features.sequences.dataset import load_sequences
from features.store.feature_set import Features
from models.bundle import Bundle
from models.evaluation.evaluate import Estimate, difference, evaluate
from pipeline.cli.evaluations.output import show_metrics
from pipeline.evaluation.compare import read_scores
from pipeline.evaluation.error_analysis import analyse_errors, as_url
from pipeline.evaluation.results import (
    SHOWN,
    SUMMARIZED,
    BaselineResult,
    MisclassifiedVideo,
    ModelResult,
    Prediction,
    Report,
    StoredReport,
)
from pipeline.reporting.folders import write_report
from pipeline.reporting.report import render_page
from tests.pipeline.browser import PHONE, load_page, marks, needs_chromium

HOSTILE = '<script>alert("x")</script>&.mp4'


def made_up(seed: int = 0, rendered: bool = True) -> Report:
    """A report on 40 made-up videos, one of them with a hostile name."""
    draw = np.random.default_rng(seed)
    labels = np.arange(40) % 2
    groups = tuple(f"g{n // 2}" for n in range(40))
    methods = tuple("rendered-swap" if label else "real" for label in labels)
    scores = {
        name: np.clip(labels * gap + draw.normal(0.3, 0.2, 40), 0, 1)
        for name, gap in (("lstm", 0.5), ("mean", 0.2))
    }
    history = [
        {"epoch": e, "loss": 1 / e, "auc": 0.6, "val_loss": 0.7, "val_auc": 0.5 + e / 20}
        for e in range(1, 6)
    ]
    models = {
        name: ModelResult(
            evaluation=evaluate(
                labels, values, groups, methods, threshold=0.5, rounds=100, confidence=0.95
            ),
            history=history,
            best_epoch=5,
            stop_reason="all epochs run",
        )
        for name, values in scores.items()
    }
    return Report(
        title="A test",
        models=models,
        gain=difference(models["lstm"].evaluation, models["mean"].evaluation),
        predictions=[
            Prediction(
                path=HOSTILE if n == 0 else f"video {n}.mp4",
                label=int(labels[n]),
                group=groups[n],
                method=methods[n],
                scores={name: float(values[n]) for name, values in scores.items()}
                if n
                else {"lstm": 0.99, "mean": 0.99},
            )
            for n in range(40)
        ],
        split="test",
        dataset=[SplitCounts.of("all", ())],
        failures=({"path": HOSTILE, "class": "no_face", "message": "no face"},),
        missing=(),
        model_card={"Features": {"backbone": "resnet50-thin"}},
        rendered=rendered,
    )


class Page(HTMLParser):
    """What a browser would fetch and show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.shown = ""
        self._silent = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._silent += tag in ("script", "style")
        for name, value in attrs:
            if name in ("src", "href", "action", "data"):
                self.fetched.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        self._silent -= tag in ("script", "style")

    def handle_data(self, data):
        if not self._silent:
            self.shown += data


def test_the_page_fetches_nothing_and_shows_names_as_they_are():
    page = Page(render_page(made_up()))
    assert all(link.startswith("#") for link in page.fetched)
    assert "script" not in page.tags  # the name made none
    assert HOSTILE in page.shown


def test_every_chart_has_its_place_and_data():
    report = made_up()
    text = render_page(report)
    drawn = marks(text)
    assert drawn.keys() >= {"roc", "scores", "reliability", "confusion-lstm", "confusion-mean",
                            "loss-lstm", "auc-lstm", "loss-mean", "auc-mean"}  # fmt: skip
    assert min(drawn.values()) > 0
    counts = re.findall(r"<title>P\(fake\) [\d. to]+, class (?:real|fake), videos (\d+)<", text)
    assert sum(map(int, counts)) == 40
    evaluation = report.models["lstm"].evaluation
    for accused, caught, at in zip(*evaluation.roc, strict=True):
        words = f"reals called fake {accused:.1%}, fakes caught {caught:.1%}"
        assert f"<title>model LSTM, threshold {at:.3f}, {words}</title>" in text


def test_the_answer_says_how_good_how_sure_and_on_what():
    report = made_up()
    page = Page(render_page(report))
    auc = report.models["lstm"].evaluation.metrics["auc"]
    assert f"{auc.value:.3f} ({0.95:.0%} interval {auc.low:.3f} to {auc.high:.3f})" in page.shown
    assert "20 real, 20 rendered forgeries, 20 groups" in page.shown
    assert "not deepfakes" in page.shown
    assert "not deepfakes" not in Page(render_page(made_up(rendered=False))).shown


def test_equal_reports_give_equal_bytes(tmp_path):
    for name in ("one", "two"):
        report = made_up()
        write_report(report, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_the_files_for_dvc_hold_what_was_measured(tmp_path):
    report = made_up()
    write_report(report, tmp_path / "r")
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    evaluation = report.models["lstm"].evaluation
    assert metrics["lstm"]["auc"] == evaluation.metrics["auc"].value
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert summary == {name: metrics["lstm"][name] for name in SUMMARIZED}
    assert set(summary) == {"auc", "eer", "balanced_accuracy", "recall_fake", "recall_real",
                            "log_loss"}  # fmt: skip
    with (tmp_path / "r" / "confusion.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 40
    with (tmp_path / "r" / "roc.csv").open() as handle:
        points = [(float(row["fpr"]), float(row["tpr"])) for row in csv.DictReader(handle)]
    assert points[0] == (0, 0)
    assert points[-1] == (1, 1)
    area = np.trapezoid([y for _, y in points], [x for x, _ in points])
    assert area == pytest.approx(evaluation.metrics["auc"].value)


def test_the_table_has_a_column_for_each_model(capsys, tmp_path):
    reports = [
        StoredReport(name=name, metrics=made_up(seed).metrics, page=tmp_path)
        for seed, name in enumerate(("frozen", "finetuned"))
    ]
    show_metrics(reports)
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["frozen", "LSTM", "frozen", "mean-pool", "finetuned", "LSTM",
                            "finetuned", "mean-pool"]  # fmt: skip
    assert rows[0].split()[0] == "AUC"
    assert rows.pop(1).split()[:7] == ["videos", "with", "a", "score", "40", "of", "41"]
    assert [row.count(" to ") for row in rows] == [4] * len(SHOWN)


def test_a_residual_that_was_left_out_is_called_the_linear_model(capsys, tmp_path):
    report = made_up(0)
    name, result = report.first
    alone = replace(report, models=report.models | {name: replace(result, linear_alone=True)})
    assert "linear_alone" not in report.metrics[name]
    assert alone.metrics[name]["linear_alone"] is True
    show_metrics([StoredReport(name="frozen", metrics=alone.metrics, page=tmp_path)])
    head = capsys.readouterr().out.splitlines()[0]
    assert "frozen linear model (LSTM left out)" in head
    assert "frozen mean-pool" in head
    write_report(alone, tmp_path / "report")
    named = read_scores(tmp_path / "report", None).name
    assert named == f"{tmp_path / 'report'}, linear model (LSTM left out)"
    assert read_scores(tmp_path / "report", "mean").name.endswith("mean-pool baseline")
    page = (tmp_path / "report" / "report.html").read_text()
    assert "linear model has a" in page or "of the linear model does not differ" in page


@pytest.fixture(scope="module")
def looked_into(world):
    """All test videos as mistakes, looked into: what the page shows of them."""
    bundle, stored = Bundle.load(world.bundle), Features(world.features)
    manifest = Manifest.read(world.manifest, root=world.demo)
    videos = manifest.split("test")
    sequences = load_sequences(stored, videos)
    wrong = 1.0 - sequences.labels

    def look(root=world.demo) -> list[MisclassifiedVideo]:
        frames = np.full(sequences.mask.shape, 0.25)
        rows = replace(manifest, root=root)
        return analyse_errors(bundle, stored, rows, sequences, videos, wrong, frames)

    return SimpleNamespace(look=look, bundle=bundle, sequences=sequences, videos=videos)


def test_mistakes_show_the_faces_that_were_scored(world, looked_into):
    found = looked_into.look()
    assert len(found) == min(len(looked_into.videos), 12)
    scores = looked_into.bundle.score(looked_into.sequences)
    for one in found:
        assert one.so_far[-1][1] == pytest.approx(scores[one.row], abs=1e-6)
        assert one.so_far[-1][0] == one.timestamps_seconds[-1]
    one = found[0]
    strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(one.strip.partition(",")[2]))))
    recipe = FrameRecipe(**looked_into.bundle.recipe["frames"])
    path = world.demo / looked_into.videos[one.row].path
    seen = read_frames(path, recipe, faces=FaceFinder())
    assert strip.shape == (112, 112 * len(one.shown_seconds), 3)
    for number, at in enumerate(one.shown_seconds):
        place = seen.timestamps_seconds.tolist().index(at)
        face = np.asarray(Image.fromarray(seen.pixels[place]).resize((112, 112)), float)
        shown = strip[:, number * 112 : number * 112 + 112].astype(float)
        assert np.abs(shown - face).mean() < 8


def test_where_a_video_is_missing_or_another_the_page_says_so(world, looked_into, tmp_path):
    first = looked_into.look(tmp_path)[0]
    assert first.strip == ""
    assert "--root" in first.reason
    path = tmp_path / looked_into.videos[first.row].path
    path.parent.mkdir()
    path.write_bytes(b"another video")
    assert "not the one" in looked_into.look(tmp_path)[0].reason
    report = world.report / "report.html"  # evaluated without --root, and it may have no mistake
    text = report.read_text()
    assert ("the video is not there" in text) == ('class="mistake"' in text)


def test_the_answer_says_whether_order_matters():
    report = made_up()
    better, worse = (report.models[name].evaluation for name in ("lstm", "mean"))
    for gain, words in (
        (Estimate(value=0.2, low=0.1, high=0.3), "order of the frames matters to it"),
        (Estimate(value=0.0, low=-0.1, high=0.1), "is not shown to matter"),
    ):
        baseline = BaselineResult(name="LSTM, shuffled frames", evaluation=worse, gain=gain)
        assert words in Page(render_page(replace(report, baselines=[baseline]))).shown
    assert better.metrics["auc"].value > worse.metrics["auc"].value


@needs_chromium
def test_a_browser_draws_it_without_errors(tmp_path):
    report = made_up()
    rows = [n for n, row in enumerate(report.predictions)
            if (row.scores["lstm"] >= 0.5) != bool(row.label)]  # fmt: skip
    mistakes = [
        MisclassifiedVideo(row=row, timestamps_seconds=(0.0, 0.5), frame_scores=(0.4, 0.6),
                so_far=((0.0, 0.4), (0.5, 0.7)), shown_seconds=(0.0, 0.5), reason="",
                strip=as_url(np.full((2, 112, 112, 3), 90, np.uint8)))
        for row in rows[:2]
    ]  # fmt: skip
    path = tmp_path / "report.html"
    path.write_text(render_page(replace(report, misclassified=mistakes)), encoding="utf-8")
    dom, errors = load_page(path, PHONE)
    assert errors == []
    plots = marks(dom)
    assert {"roc", "scores", "reliability", "confusion-lstm", "loss-lstm"} <= {*plots}
    assert {f"mistake-{row}" for row in rows[:2]} <= {*plots}
    assert min(plots.values()) > 0
    assert len(re.findall(r'<img class="strip"[^>]*src="data:image/jpeg', dom)) == 2
    links = re.findall(r'href="#([^"]+)"', dom)
    assert len(links) > 5
    for link in links:
        assert dom.count(f'id="{link}"') == 1


def test_a_head_that_was_left_out_is_said_to_be_a_linear_model() -> None:
    told = "is a linear model of statistics of each clip"
    assert told not in render_page(made_up())
    results = made_up()
    first, result = results.first
    models = results.models | {first: replace(result, linear_alone=True)}
    assert told in render_page(replace(results, models=models))
