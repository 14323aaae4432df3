"""Makes docs/pictures anew, in light and dark colours, from the results of `make demo`.

    make demo && python -m tests.docs.pictures [--only verdict,scan] [--artifacts artifacts]

All people in them are rendered. What the demo's stages do not make (a scan, a matrix, ...) is made
in a scratch folder by the commands themselves, which takes some minutes.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.commands import ROOT
from tests.pipeline.app.served import Served
from tests.pipeline.browser import CHROMIUM
from tests.pipeline.browser import FLAGS as BROWSER_FLAGS

OUT = ROOT / "docs" / "pictures"
WIDTH = 960
"""Of the window, in pixels: the site shows pictures at three quarters of that."""
EDGE = 16
"""Around a part of a page, in pixels."""
MOST_BYTES = 150_000
FLAGS = [flag for flag in BROWSER_FLAGS if "budget" not in flag and flag != "--headless"]


@dataclass(frozen=True)
class Demo:
    """What `make demo` made, and a scratch folder."""

    artifacts: Path
    scratch: Path

    @property
    def videos(self) -> Path:
        return self.artifacts / "demo"

    @property
    def manifest(self) -> Path:
        return self.artifacts / "manifest.csv"

    @property
    def bundle(self) -> Path:
        return self.artifacts / "bundles" / "frozen"

    def test_videos(self, label: str) -> list[Path]:
        """Of the test split: the bundle has not seen them."""
        rows = [row.split(",") for row in self.manifest.read_text("utf-8").splitlines()]
        split = rows[0].index("split")
        return [self.videos / row[0] for row in rows if row[1] == label and row[split] == "test"]

    @property
    def fake(self) -> Path:
        """A forgery of the test split that the bundle calls FAKE, the surest one."""
        ratios = self.artifacts / "reports" / "frozen" / "evidence.csv"
        rows = [row.split(",") for row in ratios.read_text("utf-8").splitlines()[1:]]
        return (
            self.videos
            / max(
                (float(log10_lr), path) for path, label, _, log10_lr, _ in rows if label == "fake"
            )[1]
        )

    def unmask(self, *words: object) -> None:
        """Runs a command in the scratch folder."""
        command = [sys.executable, "-m", "pipeline", *map(str, words), "--quiet"]
        subprocess.run(command, cwd=self.scratch, check=True, stdout=subprocess.DEVNULL)

    def copies(self, name: str, videos: list[Path]) -> Path:
        """A folder of these videos in the scratch folder."""
        folder = self.scratch / name
        folder.mkdir()
        for video in videos:
            shutil.copy(video, folder / f"{video.parent.name}-{video.name}")
        return folder


def save(picture: Image.Image, name: str) -> None:
    """Writes a PNG of at most 256 colours."""
    path = OUT / f"{name}.png"
    picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}  {path.stat().st_size / 1000:.0f} kB")
    assert path.stat().st_size < MOST_BYTES, "too large; show less"


def show(
    browser: Browser,
    address: str,
    name: str,
    *,
    width: int = WIDTH,
    height: int = 900,
    begin: str | None = None,
    alone: str | None = None,
    before: Callable[[Page], None] | None = None,
) -> None:
    """Writes pictures of a page in both colours.

    They show `height` pixels from its top or, with `begin`, from this element on; or, with `alone`,
    this element only.
    """
    for scheme, suffix in (("light", ""), ("dark", "-dark")):
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
        )
        page = context.new_page()
        page.goto(address)
        page.wait_for_load_state("networkidle")
        if before:
            before(page)
        part = {"x": 0.0, "y": 0.0, "width": float(width), "height": float(height)}
        if alone:  # without the table of its values, and no higher than it needs to be
            page.evaluate(
                "chart => { chart.style.alignSelf = 'start';"
                " chart.querySelector('details').remove() }",
                page.query_selector(alone),
            )
        if mark := alone or begin:
            box = page.locator(mark).first.bounding_box()
            assert box, mark
            part["y"] = max(0.0, box["y"] - EDGE)
            if alone:
                part["x"] = max(0.0, box["x"] - EDGE)
                part["width"], part["height"] = box["width"] + 2 * EDGE, box["height"] + 2 * EDGE
        shot = page.screenshot(full_page=True, clip=part)  # type: ignore[arg-type]
        save(Image.open(BytesIO(shot)), name + suffix)
        context.close()


def verdict(demo: Demo, browser: Browser) -> None:
    page = demo.scratch / "verdict.html"
    demo.unmask("predict", demo.bundle, demo.fake, "--report", page)
    show(browser, page.as_uri(), "verdict", height=1000)


def scan(demo: Demo, browser: Browser) -> None:
    folder = demo.copies("archive", demo.test_videos("fake")[:6] + demo.test_videos("real")[:10])
    demo.unmask("scan", demo.bundle, folder.name, "-o", "scan")
    show(
        browser,
        (demo.scratch / "scan" / "scan.html").as_uri(),
        "scan",
        begin="h2:has-text('Highest')",
        height=640,
    )


def pair(demo: Demo, browser: Browser) -> None:
    """A real video and a self-made forgery of it, which show one scene."""
    demo.unmask("forge", demo.copies("reals", demo.test_videos("real")[:2]), "forged")
    real = sorted((demo.scratch / "forged" / "real").glob("*.mp4"))[0]
    shutil.copy(real, demo.scratch / "earlier.mp4")
    shutil.copy(demo.scratch / "forged" / "fake" / f"{real.stem}_1.mp4", demo.scratch / "viral.mp4")
    demo.unmask("pair", "earlier.mp4", "viral.mp4", "--report", "pair.html")
    show(browser, (demo.scratch / "pair.html").as_uri(), "pair", height=1000)


def report(demo: Demo, browser: Browser) -> None:
    features = demo.artifacts / "features" / "frozen"
    demo.unmask("evaluate", demo.bundle, features, "--manifest", demo.manifest, "-o", "report")
    address = (demo.scratch / "report" / "report.html").as_uri()
    show(browser, address, "report", height=1000)
    show(browser, address, "tippett", alone="#tippett")


def detector(demo: Demo, browser: Browser) -> None:
    """The mean-pool baseline's scores as a file, as another detector writes one."""
    rows = (demo.artifacts / "reports" / "frozen" / "predictions.csv").read_text("utf-8")
    cells = [row.split(",") for row in rows.splitlines()[1:]]
    scores = "".join(f"{row[0]},{row[-1]}\n" for row in cells)
    (demo.scratch / "scores.csv").write_text("path,score\n" + scores)
    demo.unmask("evaluate", "--scores", "scores.csv", "--manifest", demo.manifest,
                "--name", "another-detector", "-o", "report")  # fmt: skip
    show(browser, (demo.scratch / "report" / "report.html").as_uri(), "detector", height=900)


def hold_out(demo: Demo, browser: Browser) -> None:
    features, out = demo.artifacts / "features" / "frozen", demo.scratch / "held-out"
    demo.unmask(
        "evaluate",
        features,
        "--manifest",
        demo.manifest,
        "--hold-out",
        "method",
        "--set",
        "head.kind=statistics",
        "-o",
        out,
    )
    show(browser, (out / "report.html").as_uri(), "hold-out", height=900)


def robustness(demo: Demo, browser: Browser) -> None:
    out = demo.scratch / "robustness"
    rungs = "crf-28,crf-40,quarter-size,noise-16"
    demo.unmask(
        "robustness", demo.bundle, demo.manifest, "--root", demo.videos, "--rungs", rungs, "-o", out
    )
    show(browser, (out / "report.html").as_uri(), "robustness", begin="h2", height=560)


def matrix(demo: Demo, browser: Browser) -> None:
    """Both bundles of the demo on its test split and on other people at another frame size."""
    demo.unmask("demo", "other", "--set", "demo.people=40", "--set", "demo.seed=1",
                "--set", "demo.width=160", "--set", "demo.height=120", "--set", "demo.fps=15",
                "--set", "demo.seconds=1.4")  # fmt: skip
    (demo.scratch / "other" / "labels.csv").unlink()
    for path in sorted((demo.scratch / "other").glob("*/*.mp4")):  # groups are compared by name
        path.rename(path.with_name(path.name.replace("person", "stranger")))
    whole = ("--set", "index.test=0.98", "--set", "index.validation=0.01")
    demo.unmask("index", "other", "-o", "other.csv", *whole)
    bundles, sets = [], []
    for name in ("frozen", "finetuned"):
        bundles.append(demo.artifacts / "bundles" / name)
        demo.unmask("extract", "other.csv", "--root", "other", "--bundle", bundles[-1], "-o", name)
        sets += ["--on", f"demo={demo.artifacts / 'features' / name}:{demo.manifest}"]
        sets += ["--on", f"smaller={name}:other.csv"]
    demo.unmask("evaluate", *bundles, *sets, "-o", "matrix")
    show(
        browser,
        (demo.scratch / "matrix" / "report.html").as_uri(),
        "matrix",
        begin="h2",
        height=420,
    )


def forge(demo: Demo, browser: Browser) -> None:
    folder = demo.copies("reals", demo.test_videos("real")[:8])
    demo.unmask("forge", folder, "forged")
    sheet = Image.open(demo.scratch / "forged" / "sheet.png")
    sheet.thumbnail((800, 10_000))
    save(sheet.crop((0, 0, sheet.width, min(sheet.height, 640))), "forge")


def sweep(demo: Demo, browser: Browser) -> None:
    demo.unmask("sweep", demo.artifacts / "features" / "frozen", "--manifest", demo.manifest,
                "--sampler", "tpe", "--trials", 20, "--grid", "head.units=16..64",
                "--grid", "train.learning_rate=1e-4..1e-2:log", "--grid", "head.kind=lstm,gru",
                "--set", "head.residual=false", "--set", "head.condition.kind=layernorm_l2",
                "--set", "head.condition.dimensions=64", "--set", "train.epochs=12",
                "-o", "sweep")  # fmt: skip
    page = demo.scratch / "sweep" / "sweep.html"
    show(browser, page.as_uri(), "sweep", begin="h2:has-text('search')", height=860)


def app(demo: Demo, browser: Browser) -> None:
    """A case, as the local page shows it."""
    with Served(demo.scratch / "cases", demo.bundle) as served:
        case = served.add(demo.fake)
        assert served.ended(case)["state"] == "done"
        base, token = served.address.split("/?")

        def open_case(page: Page) -> None:
            page.goto(f"{base}/cases/{case}")
            page.wait_for_load_state("networkidle")
            page.wait_for_function("document.getElementById('video').readyState >= 2")
            page.wait_for_timeout(500)  # its controls end to say that it loads

        show(browser, f"{base}/?{token}", "app", width=1280, height=830, before=open_case)


PICTURES = {
    one.__name__.replace("_", "-"): one
    for one in (
        verdict, scan, pair, report, detector, hold_out, robustness, matrix, forge, sweep, app,
    )
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(PICTURES))
    parser.add_argument("--artifacts", type=Path, default=ROOT / "artifacts")
    parser.add_argument("--scratch", type=Path, help="kept; by default a temporary folder")
    args = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name in args.only.split(","):
            scratch = (args.scratch or Path(temporary)) / name
            scratch.mkdir(parents=True, exist_ok=True)
            PICTURES[name](Demo(args.artifacts.resolve(), scratch.resolve()), browser)
        browser.close()


if __name__ == "__main__":
    main()
