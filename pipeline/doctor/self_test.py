"""The self-test: a rendered clip and a recorded one go through every step up to embeddings.

It runs in a child process, so that a library that crashes on this processor is a finding, too.
"""

from __future__ import annotations

import pkgutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as TooSlow
from concurrent.futures.process import BrokenProcessPool
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, TypeVar

from data.io.processes import process_pool
from pipeline.doctor.result import Finding, Findings, one_line

IMPORT_SECONDS = 120
"""For all packages together; 4 s on an idle machine, TensorFlow the most of it."""
TEST_SECONDS = 120
"""For the steps below; 5 s on an idle machine."""
GREY_LEVELS = 0.5
RELATIVE = 1e-3
"""How far crops and embeddings may be from the recorded ones: as in tests/golden/golden.py, which
gives the reasons."""
BACKBONE = "resnet50-thin"
"""Its weights come with the installation."""
GOLDEN, CLIP = "golden.npz", "person.mp4"
"""Beside this module; `python -m tests.golden.record` writes them."""
REPORT = "install unmask anew; if it stays so, report it with the output of `unmask doctor --json`"

R = TypeVar("R")


def import_errors(modules: Sequence[str]) -> dict[str, str]:
    """Imports modules in a child; returns why some cannot be.

    A crash takes the others of the same child with it, so then each has a child of its own.
    """
    try:
        return _in_child(_import, list(modules), seconds=IMPORT_SECONDS)
    except (BrokenProcessPool, TooSlow) as error:
        if len(modules) == 1:
            return {modules[0]: _ended(error, IMPORT_SECONDS)}
        found: dict[str, str] = {}
        for module in modules:
            found |= import_errors([module])
        return found


def run_self_test() -> Findings:
    """Runs every step; those after one that failed are not run."""
    try:
        yield from _in_child(_steps, seconds=TEST_SECONDS)
    except (BrokenProcessPool, TooSlow) as error:
        yield Finding(
            group="self-test",
            name="process",
            status="problem",
            found=_ended(error, TEST_SECONDS),
            remedy="see the packages above; " + REPORT,
        )


def _in_child(function: Callable[..., R], *arguments: Any, seconds: float) -> R:
    """Calls a function in a child process.

    Raises:
        BrokenProcessPool: the child crashed.
        TimeoutError: it took too long, and was ended.
    """
    pool = process_pool(1)
    try:
        found: R = pool.submit(function, *arguments).result(timeout=seconds)
        return found
    finally:
        pool.end()


def _ended(error: Exception, seconds: float) -> str:
    if isinstance(error, TooSlow):
        return f"took more than {seconds:.0f} s"
    return "its native code crashed on this machine"


def _import(modules: Sequence[str]) -> dict[str, str]:
    """In the child: imports modules one after the other."""
    from data.io.native_stderr import silenced_native_stderr

    found = {}
    with silenced_native_stderr():
        for module in modules:
            try:
                if module == "tensorflow":  # with what must be set before
                    import models.tf_runtime  # noqa: F401
                else:
                    pkgutil.resolve_name(module)  # of another's package, which it imports
            except Exception as error:  # noqa: BLE001 - a broken package may raise anything
                found[module] = one_line(error)
    return found


def _steps() -> list[Finding]:
    """In the child: the steps in order, up to the first that fails."""
    found: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="unmask-doctor-") as folder:
        clip = Path(folder) / "clip.mp4"
        steps = {
            "render a clip": lambda: _render(clip),
            "decode it, find its face": lambda: _find_face(clip),
            "crops as recorded": _compare_crops,
            f"embeddings of {BACKBONE} as recorded": _compare_embeddings,
        }
        for name, step in steps.items():
            clock = time.monotonic()
            try:
                words, fits = step()
                remedy = None if fits else REPORT
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what was to be found
                words, fits = one_line(error), False
                remedy = "see what is said of packages, ffmpeg and disks above; " + REPORT
            words += f", {time.monotonic() - clock:.1f} s"
            found.append(
                Finding(
                    group="self-test",
                    name=name,
                    status="ok" if fits else "problem",
                    found=words,
                    remedy=remedy,
                )
            )
            if not fits:
                break
    return found


def _render(clip: Path) -> tuple[str, bool]:
    from data.demo.dataset import PRESET
    from data.demo.take import DemoConfig, Take, render_take
    from data.video.encoding import encode

    config = DemoConfig(people=1, seconds=0.7, fps=15)
    encode(clip, render_take(Take(person=0, method=None), config), fps=config.fps, preset=PRESET)
    return f"{clip.stat().st_size} bytes of H.264", True


def _find_face(clip: Path) -> tuple[str, bool]:
    from data.faces.crops import read_frames
    from data.faces.tracker import FaceFinder
    from data.video.frames import FrameRecipe

    frames = read_frames(clip, FrameRecipe(count=4, size=64, minimum_frames=2), faces=FaceFinder())
    seen = int(frames.face_found.sum())
    return f"a face in {seen} of {len(frames.face_found)} frames", seen > 0


def _compare_crops() -> tuple[str, bool]:
    import numpy as np

    from data.faces.crops import read_frames
    from data.faces.tracker import FaceFinder
    from data.video.frames import FrameRecipe

    golden = load_golden()["crops"]
    with as_file(files("pipeline.doctor").joinpath(CLIP)) as clip:
        recipe = FrameRecipe(count=len(golden), size=golden.shape[1], minimum_frames=2)
        made = read_frames(clip, recipe, faces=FaceFinder()).pixels
    if made.shape != golden.shape:
        return f"they are {made.shape}, recorded {golden.shape}", False
    off = float(np.abs(made.astype(float) - golden).mean(axis=(1, 2, 3)).max())
    return f"{off:.2g} grey levels off, at most {GREY_LEVELS:g}", off <= GREY_LEVELS


def _compare_embeddings() -> tuple[str, bool]:
    import numpy as np

    from models.backbones.encoder import make_encoder
    from models.backbones.registry import load_backbone

    golden = load_golden()
    crops, recorded = golden["crops"], golden["embeddings"]
    encoder = make_encoder(load_backbone(BACKBONE, size=crops.shape[1]), batch_size=len(crops))
    apart = np.linalg.norm(encoder(crops) - recorded, axis=1) / np.linalg.norm(recorded, axis=1)
    off = float(apart.max())
    return f"{off:.1g} of their length off, at most {RELATIVE:g}", off <= RELATIVE


def load_golden() -> dict[str, Any]:
    """The recorded crops (T, S, S, 3) uint8 and their embeddings (T, D) float32."""
    import numpy as np

    with files("pipeline.doctor").joinpath(GOLDEN).open("rb") as file, np.load(file) as kept:
        return dict(kept)
