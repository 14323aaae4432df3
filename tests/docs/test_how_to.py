"""The examples of each how-to page run, in a clean folder with a small made-up data set.

Training is a page, too: the other pages begin with what its commands leave. A block that cannot be
run says why, in the page itself: `<!-- not run: it serves until it is ended -->`.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from data.demo import DemoConfig, write_demo
from tests import requirements
from tests.commands import ROOT, Example, examples
from tests.frames import frames_of, save_frames

DOCS = ROOT / "docs"
PEOPLE = DemoConfig(people=11, fps=15, seconds=0.7, width=160, height=120)


def videos(folder: Path) -> None:
    """Folders alone, as the reader has them: real, fake/METHOD, and one video to judge."""
    root = folder / "videos"
    write_demo(root, PEOPLE, workers=2)
    with (root / "labels.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["label"] == "fake":
                path = root / row["path"]
                put(path, path.parent / row["method"].removeprefix("rendered-") / path.name)
                path.unlink()
    (root / "labels.csv").unlink()
    shutil.copy(sorted((root / "real").glob("*.mp4"))[-1], folder / "interview.mp4")


def archive(folder: Path) -> None:
    copy(folder, "archive", "real", 2)


def photographs(folder: Path) -> None:
    """The frames of a video in a folder, and single images."""
    save_frames(folder / "interview.mp4", folder / "frames" / "interview")
    (folder / "photographs").mkdir()
    image = Image.fromarray(frames_of(folder / "interview.mp4")[3])
    for path in ("photograph.jpg", "photographs/ann.png", "photographs/bob.webp"):
        image.save(folder / path)


def versions(folder: Path) -> None:
    """A video and a copy of it: the made-up forgeries are of other scenes than the real videos."""
    for name in ("earlier.mp4", "viral.mp4"):
        shutil.copy(folder / "interview.mp4", folder / name)


def reals(folder: Path) -> None:
    copy(folder, "reals", "real", 4)


def other_data_set(folder: Path) -> None:
    """Other people; the leak guard compares groups by name."""
    write_demo(folder / "other", PEOPLE.model_copy(update={"seed": 7}), workers=2)
    (folder / "other" / "labels.csv").unlink()
    for path in sorted((folder / "other").glob("*/*.mp4")):
        path.rename(path.with_name(path.name.replace("person", "stranger")))


def scores(folder: Path) -> None:
    """What another detector wrote of the videos: their names' digests, as good as chance."""
    rows = (folder / "manifest.csv").read_text("utf-8").splitlines()[1:]
    paths = [row.split(",")[0] for row in rows]
    lines = [f"{path},{hashlib.sha256(path.encode()).digest()[0]}" for path in paths]
    (folder / "scores.csv").write_text("path,score\n" + "\n".join(lines) + "\n")


def faceforensics(folder: Path) -> None:
    """Videos of made-up people under the names that the data set has: 20 originals, two methods."""
    made = folder / "made"
    write_demo(made, PEOPLE.model_copy(update={"people": 20}), workers=2)
    reals = sorted((made / "real").glob("*.mp4"))[:20]
    fakes = sorted((made / "fake").glob("*.mp4"))[:20]
    root = folder / "FaceForensics++"
    for number, (real, fake) in enumerate(zip(reals, fakes, strict=True)):
        put(real, root / f"original_sequences/youtube/c23/videos/{number:03}.mp4")
        name = f"{number:03}_{number ^ 1:03}.mp4"
        method = ("Deepfakes", "Face2Face")[number // 2 % 2]
        put(fake, root / f"manipulated_sequences/{method}/c23/videos/{name}")
    pairs = [[f"{one:03}", f"{one + 1:03}"] for one in range(0, 20, 2)]
    for name, part in (("train", pairs[:6]), ("val", pairs[6:8]), ("test", pairs[8:])):
        (root / f"{name}.json").write_text(json.dumps(part))
    shutil.rmtree(made)


PAGES: dict[str, tuple[Callable[[Path], None], ...]] = {
    "app.md": (),
    "case.md": (),
    "command-line.md": (),
    "detectors.md": (scores,),
    "experiments.md": (),
    "export.md": (),
    "faceforensics.md": (faceforensics,),
    "forge.md": (reals,),
    "pair.md": (versions,),
    "predict.md": (archive, photographs),
    "python.md": (),
    "scale.md": (),
    "scan.md": (archive,),
    "train.md": (),
    "trust.md": (other_data_set,),
}
"""Page -> what lies in the reader's folder beside videos, interview.mp4 and what train.md made."""
REFERENCE = {
    "architecture.md", "datasets.md", "demo.md", "evaluation.md", "formats.md", "glossary.md",
    "index.md", "install.md", "performance.md", "performance-amx.md", "store-format.md",
    "transfer.md",
}  # fmt: skip
"""Pages to look things up in; tests/test_docs.py checks that their commands parse."""


def copy(folder: Path, name: str, label: str, count: int) -> None:
    (folder / name).mkdir()
    for path in sorted((folder / "videos" / label).glob("*.mp4"))[:count]:
        shutil.copy(path, folder / name)


def put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def script(page: Path) -> str:
    """The page's examples as one script of the shell, which says each line that it runs."""
    parts = []
    for one in examples(page):
        if one.reason is None:
            said = f"printf '%s s $ %s\\n' $SECONDS {shlex.quote(one.text)}\n"
            parts.append(said + (one.text if one.language != "python" else in_python(one)))
    return "\n".join(parts) + "\n"


def in_python(example: Example) -> str:
    return f"python - <<'END OF EXAMPLE'\n{example.text}\nEND OF EXAMPLE"


def run(page: Path, folder: Path) -> None:
    """Runs a page in a shell that knows nothing but this environment and this checkout."""
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    clean = {
        "HOME": str(home),
        "PATH": f"{Path(sys.prefix) / 'bin'}:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "UNMASK_CACHE_DIR": os.environ["UNMASK_CACHE_DIR"],
    }
    shell = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script(page))
    done = subprocess.run(
        shell, cwd=folder, env=clean, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    print(done.stdout)
    assert done.returncode == 0, f"{page.name}\n{done.stdout[-3000:]}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader's folder after docs/train.md."""
    folder = tmp_path_factory.mktemp("reader") / "work"
    folder.mkdir()
    videos(folder)
    run(DOCS / "train.md", folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", [page for page in PAGES if page != "train.md"])
def test_the_examples_of_a_page_run(name: str, trained: Path, tmp_path: Path) -> None:
    if name == "scale.md":
        requirements.module("ray")
    folder = tmp_path / "work"
    shutil.copytree(trained, folder)
    for add in PAGES[name]:
        add(folder)
    run(DOCS / name, folder)


@pytest.mark.slow
def test_train_md_leaves_what_it_says(trained: Path) -> None:
    for name in ("manifest.csv", "audit.html", "bundle/bundle.json", "report/report.html"):
        assert (trained / name).is_file(), name


def test_each_page_is_a_how_to_or_a_reference() -> None:
    assert {page.name for page in DOCS.glob("*.md")} == {*PAGES, *REFERENCE}


@pytest.mark.parametrize("name", PAGES)
def test_a_how_to_page_has_an_example(name: str) -> None:
    found = examples(DOCS / name)
    assert found
    if name != "app.md":  # it serves until it is ended
        assert any(one.reason is None for one in found), name


def test_examples_are_found_as_a_reader_sees_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "text\n\n    unmask a\n\n    unmask b\n\n"
        "<!-- not run: why -->\n\n```sh\nunmask c\n```\n\n"
        "```\n    printed\n```\n\n- a list\n    that goes on\n\n```python\nimport d\n```\n"
    )
    assert examples(page) == [
        Example("unmask a\n\nunmask b", "sh", 3, None),
        Example("unmask c", "sh", 10, "why"),
        Example("import d", "python", 21, None),
    ]
