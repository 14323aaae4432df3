"""dvc.yaml names the code that each stage runs: its deps against the import graph.

DVC does not follow imports, so a module that a stage runs and that is no dep leaves stale results
behind. A stage's command leads to a function of `pipeline/cli`, from there to the module of its use
case, and from there along the imports of whole modules, those inside functions too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml

from pipeline.config import Params

ROOT = Path(__file__).parents[3]
ROOMS = ("pipeline", "models", "features", "data")
COMMANDS = tuple(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "pipeline/cli").rglob("*.py"))
)
"""Modules with a function for each command: a stage reaches what its own function uses."""

EVERYWHERE = {
    **dict.fromkeys(COMMANDS, "parses; what it passes on stands in the stage's own command"),
    "pipeline.shell_commands": "the words of the next command, for people",
    "pipeline.publishing.hub": "downloads what an argument names; no stage names the Hub",
    "data.errors": "the words and exit codes of failures, nothing that a stage leaves",
}
"""Modules that no stage needs as a dep, though all import them."""

CONFIG = "reads params.yaml, whose values DVC compares; each section's defaults are in its room"
MACHINE = "counts the cores; and names versions, for the headers of shards"
EXCEPT = {
    "demo": {"pipeline.config": CONFIG, "pipeline.machine": MACHINE},
    "forge": {"pipeline.config": CONFIG, "pipeline.machine": MACHINE},
    "index": {"pipeline.config": CONFIG, "pipeline.machine": MACHINE},
    "backbone": {"pipeline.config": CONFIG},
    "finetune": {"pipeline.config": CONFIG, "pipeline.machine": MACHINE},
    "extract": {
        "pipeline.extraction.ray": "another engine, which the stage's command does not ask for"
    },
    "train": {
        "pipeline.config": CONFIG,
        "pipeline.extraction.feature_spec": "the name of a folder, CARRIED",
    },
}
"""Stage -> modules that it reaches and that are no deps of it, each with the reason."""

ELSEWHERE = {
    ("finetune", "backbone"): "--backbone is given",
    ("extract", "backbone"): "--backbone is given",
    ("extract", "seed"): "of random weights alone; --backbone is given",
    ("evaluate", "head"): "by --hold-out alone",
    ("evaluate", "train"): "by --hold-out alone",
    ("evaluate", "calibration"): "by --hold-out and --scores alone",
    ("evaluate", "hold_out"): "by --hold-out alone",
}
"""Sections of params.yaml that a stage's code reads, but not in the way that the stage calls it."""


@cache
def graph() -> grimp.ImportGraph:
    """Who imports whom, imports for type checkers left out."""
    return grimp.build_graph(*ROOMS, exclude_type_checking_imports=True, cache_dir=None)


@cache
def stages() -> dict[str, dict[str, Any]]:
    """The stages of dvc.yaml by name; of a `foreach` what it does."""
    found = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]
    return {name: stage.get("do", stage) for name, stage in found.items()}


def command(stage: str) -> str:
    """The command of unmask that a stage calls."""
    found = re.match(r"sh \.dvc/unmask (\w+) ", stages()[stage]["cmd"])
    assert found, f"{stage}: not through .dvc/unmask"
    return found[1]


def file_of(module: str) -> Path:
    """Where a module's code is."""
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def is_bare(module: str) -> bool:
    """Whether it is a package whose `__init__.py` holds a docstring alone."""
    return file_of(module).name == "__init__.py" and len(tree(module).body) == 1


@cache
def tree(module: str) -> ast.Module:
    """The syntax of a module."""
    return ast.parse(file_of(module).read_text("utf-8"))


def imported(node: ast.AST) -> dict[str, str]:
    """Name -> what an import binds it to, "module" or "module:attribute"; of the rooms alone."""
    bound = {}
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ROOMS:
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            target = whole if whole in graph().modules else f"{node.module}:{alias.name}"
            bound[alias.asname or alias.name] = target
    elif isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.split(".")[0] in ROOMS:
                bound[alias.asname or alias.name] = alias.name
    return bound


def definitions(module: str) -> dict[str, ast.stmt]:
    """Functions, classes and constants of a module by their names."""
    found: dict[str, ast.stmt] = {}
    for node in tree(module).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id: node for target in targets if isinstance(target, ast.Name)}
    return found


@cache
def used(module: str, name: str) -> tuple[set[str], set[str]]:
    """What a function of a module uses, by itself or through others of the module.

    Returns:
        What it imports, "module" or "module:attribute"; and the sections of the parameters that it
        reads, as `params.section`.
    """
    own = definitions(module)
    top: dict[str, str] = {}
    for node in tree(module).body:
        top |= imported(node)
    found, sections, done, todo = set(), set(), set(), [name]
    while todo:
        name = todo.pop()
        if name in done or name not in own:
            continue
        done.add(name)
        nodes = list(ast.walk(own[name]))
        known = dict(top)
        for node in nodes:
            known |= imported(node)
            found |= set(imported(node).values())
        local = {node.arg for node in nodes if isinstance(node, ast.arg)}
        for node in nodes:
            if isinstance(node, ast.Name) and node.id not in local:
                todo.append(node.id)
                found |= {known[node.id]} if node.id in known else set()
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                target = known.get(node.value.id, "")
                found |= {f"{target}:{node.attr}"} if target in graph().modules else set()
                sections |= {node.attr} if node.value.id == "params" else set()
    return found, sections


def use_case(stage: str) -> tuple[set[str], set[str]]:
    """Modules that the stage's functions of `pipeline` use at first hand, and sections."""
    left_out = EVERYWHERE.keys() | EXCEPT.get(stage, {}).keys()
    modules, sections, done = set(), set(), set()
    todo = [f"{one}:{command(stage)}" for one in COMMANDS if command(stage) in definitions(one)]
    assert len(todo) == 1, f"{command(stage)} is a command of {todo}"
    while todo:
        one = todo.pop()
        module, _, name = one.partition(":")
        modules.add(module)
        if one in done or not name or not module.startswith("pipeline."):
            continue
        if module in left_out and module not in COMMANDS:
            continue
        done.add(one)
        found, more = used(module, name)
        todo += found
        sections |= more
    return modules, sections


def reach(stage: str) -> set[str]:
    """Every module that the stage may run, without those that are no deps by the tables above."""
    left_out = EVERYWHERE.keys() | EXCEPT.get(stage, {}).keys()
    found: set[str] = set()
    todo = list(use_case(stage)[0])
    while todo:
        module = todo.pop()
        if module in found or module in left_out:
            continue
        found.add(module)
        package = module.rpartition(".")[0]
        if package not in (*ROOMS, ""):
            todo.append(package)  # its __init__ is run too
        if module not in COMMANDS:
            todo += graph().find_modules_directly_imported_by(module)
    return {module for module in found if not is_bare(module)}


def deps(stage: str) -> list[Path]:
    """The files and folders of code among the stage's deps."""
    named = [str(one) for one in stages()[stage]["deps"] if "$" not in str(one)]
    return [ROOT / one for one in named if not one.startswith("artifacts/")]


def lacking(reached: Iterable[str], covered: list[Path]) -> list[str]:
    """Files of these modules that neither are among these paths nor lie below one."""
    files = sorted(file_of(module) for module in reached)
    return [
        path.relative_to(ROOT).as_posix()
        for path in files
        if not any(path.is_relative_to(one) for one in covered)
    ]


@pytest.mark.parametrize("stage", stages())
def test_a_stage_depends_on_the_code_that_it_runs(stage: str) -> None:
    files = lacking(reach(stage), deps(stage))
    lines = "".join(f"\n      - {path}" for path in files)
    assert not files, f"to be added to the deps of {stage} in dvc.yaml, each or its folder:{lines}"


@pytest.mark.parametrize("stage", stages())
def test_a_stage_depends_on_nothing_else(stage: str) -> None:
    gone = [path for path in deps(stage) if not path.exists()]
    assert not gone, f"take these out of the deps of {stage}"
    files = {file_of(module) for module in reach(stage)}
    for path in deps(stage):
        assert any(one.is_relative_to(path) for one in files), f"{stage} never runs {path}"


@pytest.mark.parametrize("stage", stages())
def test_a_stage_depends_on_the_parameters_that_it_reads(stage: str) -> None:
    named = {key.partition(".")[0] for key in stages()[stage]["params"]}
    unread = {section for name, section in ELSEWHERE if name == stage}
    assert (use_case(stage)[1] & set(Params.model_fields)) - named == unread


@pytest.mark.parametrize("stage", EXCEPT)
def test_no_exception_has_outlived_its_reason(stage: str) -> None:
    kept = EXCEPT.pop(stage)
    try:
        assert kept.keys() <= reach(stage)
    finally:
        EXCEPT[stage] = kept


def test_imports_are_followed_through_functions_of_this_stage_alone() -> None:
    assert {"data.demo.compositing", "data.video.ffmpeg"} <= reach("demo")
    assert "models.finetuning.finetune" not in reach("demo")
    assert {
        "models.finetuning.forging",
        "data.self_blending.clip.forge_clip",
        "pipeline.extraction.crop_cache",
    } <= reach("finetune")
    assert {
        "models.backbones.encoder",
        "data.faces.tracker",
        "features.extraction.engine",
    } <= reach("extract")
    assert {
        "models.evaluation.calibration",
        "models.evaluation.baselines",
        "data.datasets.manifest",
    } <= reach("train")
    assert {
        "pipeline.reporting.report",
        "pipeline.evaluation.error_analysis",
        "data.faces.thumbnails",
    } <= reach("evaluate")
    assert "pipeline.reporting.verdict_page" not in reach("extract") | reach("finetune") | reach(
        "train"
    )


def test_a_module_that_no_dep_covers_is_named() -> None:
    modules = {"data.demo.compositing", "models.finetuning.clips", "models.heads.architectures"}
    assert lacking(modules, [ROOT / "data", ROOT / "models" / "heads"]) == [
        "models/finetuning/clips.py"
    ]


def test_no_module_is_imported_by_a_name_made_at_run_time() -> None:
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            assert not re.search(r"import_module|__import__|runpy", path.read_text("utf-8")), path
