"""Parameters: what fits becomes dataclasses, what does not is named with its place and remedy."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from data.errors import ConfigError, InputError
from pipeline.config import Params, as_options, is_given, load_params

PROJECT = Path(__file__).parents[2]


def write(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_no_file_gives_the_defaults_of_each_room() -> None:
    params = load_params(None)
    assert params == Params()
    assert params.head.dropout == 0.6
    assert params.train.class_weight == {"real": 1.15, "fake": 1.05}
    assert params.train.patience == 10


def test_the_recipe_is_a_preset() -> None:
    params = load_params(PROJECT / "presets" / "recipe.yaml")
    assert load_params(Path("recipe")) == params, "by its name, as from a wheel"
    assert params.finetune.learning_rate == 5e-6
    assert (params.finetune.flip, params.finetune.rotate_degrees, params.finetune.zoom) > (0, 0, 0)
    assert (params.finetune.forge, params.finetune.jpeg_quality, params.finetune.noise) == (0, 0, 0)
    assert params.finetune.class_weight == {"real": 1.15, "fake": 1.05}
    assert params.finetune.patience == params.train.patience == 10
    assert params.head.dropout == 0.6


def test_the_projects_own_parameters_are_read() -> None:
    params = load_params(PROJECT / "params.yaml")
    written = yaml.safe_load((PROJECT / "params.yaml").read_text())
    assert params.frames.count == written["frames"]["count"]
    assert params.videos == written["videos"]


def test_each_section_that_a_stage_depends_on_is_in_the_parameters() -> None:
    known = set(Params.model_fields)
    written = yaml.safe_load((PROJECT / "params.yaml").read_text())
    stages = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    for name, stage in stages.items():
        for key in stage.get("params", ()):
            section, _, rest = key.partition(".")
            assert section in known, name
            assert section in written, f"{name}: DVC fails where the file lacks {key}"
            assert not rest or rest in written[section], f"{name}: DVC fails without {key}"


@pytest.mark.parametrize("text", ["", "# nothing\n", "head:\n", "---\n"])
def test_an_empty_file_or_section_takes_the_defaults(tmp_path: Path, text: str) -> None:
    assert load_params(write(tmp_path, text)) == Params()


def test_the_file_is_applied_and_set_wins(tmp_path: Path) -> None:
    path = write(tmp_path, "seed: 3\nhead: {units: 64, dropout: 0}\n")
    params = load_params(path, ["head.units=32", "frames.crop=full", "seed=4"])
    assert (params.head.units, params.head.dropout, params.seed) == (32, 0.0, 4)
    assert params.frames.crop == "full"


def test_set_reaches_into_a_section_that_stands_empty(tmp_path: Path) -> None:
    assert load_params(write(tmp_path, "head:\n"), ["head.units=32"]).head.units == 32


@pytest.mark.parametrize("text", ["5e-6", "5.0e-6", "0.000005"])
def test_a_number_with_an_exponent_is_a_number(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, f"finetune:\n  learning_rate: {text}\n")
    assert load_params(path).finetune.learning_rate == pytest.approx(5e-6)
    assert load_params(None, [f"finetune.learning_rate={text}"]) == load_params(path)


@pytest.mark.parametrize(
    ("text", "weight"),
    [
        ("none", None),
        ("null", None),
        ("balanced", "balanced"),
        ("{real: 2, fake: 1}", {"real": 2.0, "fake": 1.0}),
    ],
)
def test_class_weights_take_each_of_their_forms(text: str, weight: object) -> None:
    assert load_params(None, [f"train.class_weight={text}"]).train.class_weight == weight


def test_a_choice_of_number_or_word_takes_both() -> None:
    assert load_params(None, ["finetune.unfreeze=3"]).finetune.unfreeze == 3
    assert load_params(None, ["finetune.unfreeze=all"]).finetune.unfreeze == "all"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frames: {cuont: 3}", "unknown key frames.cuont; did you mean frames.count?"),
        ("haed: {units: 3}", "unknown key haed; did you mean head?"),
        ("head: {qqqq: 3}", "unknown key head.qqqq; known: kind, units"),
        ("1: 2", "unknown key 1"),
        ("frames: {count: many}", "frames.count must be an integer, got 'many'"),
        ("frames: {count: 3.5}", "frames.count must be an integer, got 3.5"),
        ("frames: {count: true}", "frames.count must be an integer, got True"),
        ("frames: {count: [1]}", "frames.count must be an integer, got [1]"),
        ("frames: {margin: wide}", "frames.margin must be a number, got 'wide'"),
        ("frames: {margin: true}", "frames.margin must be a number, got True"),
        ("frames: {crop: nose}", "frames.crop must be face or full, got 'nose'"),
        ("frames: {crop: [face]}", "frames.crop must be face or full, got ['face']"),
        ("frames: 3", "frames must be a section of keys, got 3"),
        ("finetune: {flip: 1}", "finetune.flip must be true or false, got 1"),
        ("finetune: {unfreeze: 1.5}", "finetune.unfreeze must be an integer or all, got 1.5"),
        ("train: {class_weight: 5}", "train.class_weight must be"),
        ("train: {class_weight: {real: x, fake: 1}}", "train.class_weight.real must be a number"),
        ("backbone: {name: 5}", "backbone.name must be a text, got 5"),
        ("- a\n- b", "must hold sections of keys, got list"),
        ("seed: -1", "seed must be from 0"),
        ("head: {dropout: 1}", "head.dropout must be at least 0 and below 1, got 1.0"),
        ("train: {learning_rate: .nan}", "train.learning_rate must be"),
        ("extract: {dtype: float64}", "extract.dtype must be float16 or float32"),
        ("evaluate: {confidence: 95}", "evaluate.confidence must be"),
        ("index: {validation: 0.6, test: 0.5}", "index.validation and index.test must leave"),
    ],
)
def test_what_does_not_fit_is_named_with_its_file(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_params(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).count(str(path)) == 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["a: [", "seed: 1\nseed: 2", "head: {units: 1, units: 2}", "a: 2024-13-45", "? [1]\n: 2",
     "a: !!python/object/apply:os.getcwd []"],
)  # fmt: skip
def test_what_is_no_plain_yaml_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="is no YAML") as caught:
        load_params(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml do not exist"):
        load_params(tmp_path / "nowhere.yaml")
    with pytest.raises(InputError, match="is a folder, not a file"):
        load_params(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("videos: caf\xe9".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.yaml is not UTF-8"):
        load_params(tmp_path / "latin.yaml")


@pytest.mark.parametrize("text", ["head.units", "=3", ".units=3", "head..units=3", ""])
def test_set_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--set must be KEY=VALUE, as in head\.units=64"):
        load_params(None, [text])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("head.unit=3", "--set head.unit: unknown key head.unit; did you mean head.units?"),
        ("head.units=x", "--set head.units: head.units must be an integer, got 'x'"),
        ("head.units=", "--set head.units: head.units must be an integer, got None"),
        ("head=3", "--set head: head must be a section of keys, got 3"),
        ("seed.x=3", "--set seed.x: seed has no keys of its own"),
        ("head.units=[", "--set head.units: '[' is no value"),
        ("head.units=0", "--set head.units: head.units must be from 1 to 8192, got 0"),
    ],
)
def test_a_bad_option_is_blamed_on_the_option(tmp_path: Path, option: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_params(write(tmp_path, "seed: 1\n"), [option])
    assert str(caught.value) == message


def test_reading_parameters_loads_no_tensorflow() -> None:
    code = "import sys, pipeline.config; print({'tensorflow', 'keras'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_what_is_not_default_comes_back_as_options() -> None:
    given = [
        "seed=3",
        "head.kind=gru",
        "train.class_weight={real: 2.0, fake: 1.0}",
        "demo.people=9",
    ]
    params = load_params(None, given)
    options = as_options(params, ("seed", "head", "train"))
    assert not any("demo" in option for option in options)
    words = shlex.split(" ".join(options))
    assert words[::2] == ["--set"] * 3
    again = load_params(None, words[1::2])
    assert (again.seed, again.head, again.train) == (params.seed, params.head, params.train)
    assert as_options(load_params(None), ("seed", "head", "train")) == []


def test_a_file_goes_before_a_preset_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_given(Path("recipe"), [], "finetune.learning_rate")
    Path("recipe").write_text("seed: 7\n")
    assert load_params(Path("recipe")).seed == 7
    with pytest.raises(InputError, match=r"no-preset do(es)? not exist"):
        load_params(Path("no-preset"))
