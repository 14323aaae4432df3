"""`unmask push` and `hub:owner/name`, against a server on this machine; never the real Hub."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from data.errors import ConfigError, InputError, StoreError, ToolError
from models.backbones.registry import load_backbone, save_backbone
from models.bundle import Bundle
from models.evaluation.evaluate import Estimate
from models.training_summary import TrainingSummary
from pipeline.bundle_card import bundle_card
from pipeline.cli.options import from_hub, load_params
from pipeline.evaluation.bundle_test_result import HeldOutResult
from pipeline.publishing import hub as module
from pipeline.publishing.hub import fetch, fetch_backbone
from pipeline.publishing.repository import HubName
from tests import requirements
from tests.models.conftest import SIZE
from tests.models.export.bundles import bundle_of, head_of
from tests.pipeline.conftest import Run
from tests.pipeline.publishing.fake_hub import Hub, serving


@pytest.fixture(autouse=True)
def _needed() -> None:
    requirements.module("huggingface_hub")


@pytest.fixture(scope="module")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that was not trained."""
    frames = np.random.default_rng(0).normal(1, 0.3, (200, 1024))
    head = replace(
        head_of("residual lstm", frames),
        history=({"epoch": 1, "loss": 0.5, "auc": 0.9, "val_loss": 0.5, "val_auc": 0.875},),
    )
    folder = tmp_path_factory.mktemp("made") / "bundle"
    bundle = bundle_of(head, 1024)
    bundle.save(folder, card=bundle_card(bundle))
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The server, which alone is asked, and an empty cache."""
    with serving() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        monkeypatch.setenv("HF_TOKEN", "hf_made_up")
        yield running


def published(hub: Hub, folder: Path, name: str = "jane/faces") -> str:
    """A folder's files as a repository."""
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return hub.commit(name, files)


def test_a_bundle_there_and_back(bundle_folder: Path, hub: Hub, run: Run) -> None:
    said = run("push", bundle_folder, "jane/faces").stdout
    commit = hub.commit_of("jane/faces", "main")
    assert f"hub:jane/faces@{commit}" in said
    assert "names the" in said
    assert hub.private["jane/faces"]
    for name in ("hub:jane/faces", f"hub:jane/faces@{commit}"):
        folder = fetch(name)
        for path in bundle_folder.rglob("*"):
            if path.is_file() and path.name != "README.md":
                assert (folder / path.relative_to(bundle_folder)).read_bytes() == path.read_bytes()
    card = (fetch("hub:jane/faces") / "README.md").read_text()
    assert "unmask predict hub:jane/faces video.mp4" in card
    assert hub.cards == [card]
    run("push", bundle_folder, "jane/open", "--public")
    assert not hub.private["jane/open"]


def test_a_command_reads_it_from_there(
    bundle_folder: Path, hub: Hub, run: Run, tmp_path: Path
) -> None:
    published(hub, bundle_folder)
    run("export", "hub:jane/faces", "-o", tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").is_file()


def test_the_card_is_what_the_hub_reads(bundle_folder: Path) -> None:
    result = HeldOutResult(
        split="test",
        auc=Estimate(value=0.75, low=0.5, high=1.0),
        confidence=0.95,
        tested_on=TrainingSummary(
            videos=4, groups=2, reals=2, fakes=2, methods={}, origins={"filmed": 2}
        ),
    )
    text = bundle_card(Bundle.load(bundle_folder), result=result, name="hub:jane/faces")
    facts: dict[str, Any] = yaml.safe_load(text.split("---\n", 2)[1])
    results = facts["model-index"][0]["results"]
    found = {one["dataset"]["split"]: one["metrics"][0]["value"] for one in results}
    assert found == {"validation": 0.875, "test": 0.75}
    assert "0.750 (0.500 to 1.000, 95%)" in text
    from huggingface_hub import ModelCard

    card = ModelCard(text)
    assert {one.metric_type for one in card.data.eval_results} == {"roc_auc"}


def test_text_of_a_record_is_no_markup(bundle_folder: Path) -> None:
    bundle = Bundle.load(bundle_folder)
    hostile = bundle.recipe | {"backbone": "x|y\n---\n<script>[a](http://b)"}
    text = bundle_card(replace(bundle, recipe=hostile))
    assert "<script>" not in text.split("---\n", 2)[2]
    row = next(line for line in text.splitlines() if line.startswith("| backbone"))
    assert r"x\|y --- &lt;script>\[a\](http://b)" in row
    assert text.count("\n---\n") == 1


def test_a_backbone_of_the_hub(hub: Hub, tmp_path: Path, bundle_folder: Path) -> None:
    own = load_backbone("resnet50-thin", size=SIZE)
    own.model.weights[-1].assign_add(own.model.weights[-1] + 1.0)
    own.model.save_weights(tmp_path / "own.weights.h5")
    own = load_backbone(tmp_path / "own.weights.h5", size=SIZE)
    save_backbone(own, tmp_path / "weights")
    published(hub, tmp_path / "weights", "jane/backbone")
    name = from_hub("hub:jane/backbone")
    assert load_backbone(name, size=SIZE).digest == own.digest
    params = load_params(None, ["backbone.name=hub:jane/backbone"])
    assert load_backbone(params.backbone.name, size=SIZE).digest == own.digest
    bundle = Bundle.load(bundle_folder)
    published(hub, bundle_folder)
    assert fetch_backbone("hub:jane/faces") == "resnet50-thin"
    recipe = bundle.recipe | {"backbone": own.name, "backbone_digest": own.digest}
    replace(bundle, recipe=recipe, backbone=tmp_path / "weights").save(tmp_path / "carrying")
    published(hub, tmp_path / "carrying", "jane/carrying")
    assert load_backbone(fetch_backbone("hub:jane/carrying"), size=SIZE).digest == own.digest
    loaded = Bundle.load(fetch("hub:jane/carrying")).load_backbone()
    np.testing.assert_array_equal(
        loaded.model.weights[-1].value.numpy(), own.model.weights[-1].value.numpy()
    )


def test_files_that_are_not_unmasks_stay_there(bundle_folder: Path, hub: Hub) -> None:
    published(hub, bundle_folder)
    hub.commit("jane/faces", {"model.pkl": b"cos\nsystem\n", "backbone/run.py": b"import os"})
    folder = fetch("hub:jane/faces")
    assert not (folder / "model.pkl").exists()
    assert not (folder / "backbone").exists()
    assert not any("model.pkl" in one for one in hub.requests)


@pytest.mark.parametrize("path", ["bundle.json", "head.safetensors"])
def test_a_file_that_is_not_the_one_listed_is_refused(
    bundle_folder: Path, hub: Hub, path: str
) -> None:
    published(hub, bundle_folder)
    hub.broken.add(path)
    with pytest.raises(InputError, match=f"{path} is not the file that the Hub lists"):
        fetch("hub:jane/faces")


def test_a_file_that_is_not_the_bundles_is_refused(bundle_folder: Path, hub: Hub) -> None:
    published(hub, bundle_folder)
    other = bytearray((bundle_folder / "head.safetensors").read_bytes())
    other[-1] ^= 1
    hub.commit("jane/faces", {"head.safetensors": bytes(other)})
    with pytest.raises(StoreError, match="damaged"):
        Bundle.load(fetch("hub:jane/faces"))


def test_a_file_that_is_too_large_is_not_downloaded(bundle_folder: Path, hub: Hub) -> None:
    published(hub, bundle_folder)
    hub.sizes["head.safetensors"] = 2**40
    with pytest.raises(InputError, match=r"head\.safetensors .* has 1,099,511,627,776 bytes"):
        fetch("hub:jane/faces")
    assert not any("resolve" in one for one in hub.requests)


def test_what_is_not_there(bundle_folder: Path, hub: Hub, run: Run) -> None:
    published(hub, bundle_folder)
    hub.commit("jane/other", {"model.bin": b"1"})
    with pytest.raises(InputError, match="not on the Hub, or you may not read it"):
        fetch("hub:jane/nothing")
    with pytest.raises(InputError, match="no such revision"):
        fetch("hub:jane/faces@v9")
    with pytest.raises(InputError, match="holds neither a bundle"):
        fetch("hub:jane/other")
    done = run("predict", "hub:jane/nothing", "video.mp4", code=InputError.exit_code)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "text", ["hub:faces", "hub:a/b/c", "hub:../x", "hub:a/b@", "hub:a/b@-x", "hub:a/b c", "hub:"]
)
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="owner/name"):
        HubName.parse(text)
    assert str(HubName.parse("hub:a/b@v1")) == "hub:a/b@v1"


def test_without_a_network_what_was_downloaded_is_taken(
    bundle_folder: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = published(hub, bundle_folder)
    folder = fetch("hub:jane/faces")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert fetch("hub:jane/faces") == folder
    assert fetch(f"hub:jane/faces@{commit}") == folder
    with pytest.raises(ToolError, match="the Hub failed at hub:jane/other"):
        fetch("hub:jane/other")


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(ToolError, match=r"pip install 'unmask\[hub\]'"):
        fetch("hub:jane/faces")
