"""Loads pages in a headless Chromium, for tests: their layout, and the errors that it logs."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.usefixtures("chromium")
"""Marks a test that looks at pages."""
PHONE, DESK = 390, 1280
"""Widths at which pages are looked at, in pixels."""
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--virtual-time-budget=8000",
)
CONSOLE = re.compile(r'CONSOLE[:(]\d+\)?\] "(.*)", source: (.*)$', re.MULTILINE)
TROUBLE = re.compile(
    r"Uncaught|Error|Failed to load|net::ERR|Refused to|Unrecognized|violat|deprecated",
    re.IGNORECASE,
)


def load_page(path: Path, width: int = DESK) -> tuple[str, list[str]]:
    """Opens a file in a frame of this width.

    Returns:
        The document as the browser has it, as HTML, and what the console complained of. Of its root
        element `data-over` is by how many pixels it is wider than the frame, and `data-broken` how
        many of its pictures cannot be shown.
    """
    dom, told = _chromium(path, width, "--dump-dom")
    found = re.search(r'<pre id="dom"[^>]*>(.*?)</pre>', dom, re.DOTALL)
    assert found, told[-2000:]
    text = found.group(1)
    for code, sign in (("&lt;", "<"), ("&gt;", ">"), ("&nbsp;", "\xa0"), ("&amp;", "&")):
        text = text.replace(code, sign)
    errors = [f"{one[0]} ({one[1]})" for one in CONSOLE.findall(told) if TROUBLE.search(one[0])]
    return text, errors


def marks(dom: str) -> dict[str, int]:
    """Chart by its id -> how many points, bars, lines and fields stand in it."""
    counts = {}
    for part in re.split(r"<(?=(?:figure|ul)\b[^>]*\bid=)", dom)[1:]:
        name = re.search(r'id="([^"]+)"', part)
        assert name
        whole = re.split(r"</(?:figure|ul)>", part)[0]
        counts[name.group(1)] = len(
            re.findall(r'<(?:circle class="mark|rect class="bar|polyline|td class="cell)', whole)
        )
    return counts


def screenshot(
    path: Path, picture: Path, width: int = DESK, *, height: int = 4000, dark: bool = False
) -> None:
    """Writes a PNG of the page's first `height` pixels, in light or dark colours."""
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    size = f"--window-size={max(width, 500)},{height}"
    _chromium(path, width, f"--screenshot={picture}", size, scheme, height=height)
    assert picture.exists()


def print_page(path: Path, document: Path) -> None:
    """Writes the page as a PDF, as a printer would have it."""
    _run(path, f"--print-to-pdf={document}", "--no-pdf-header-footer")
    assert document.exists()


def _chromium(path: Path, width: int, *flags: str, height: int = 4000) -> tuple[str, str]:
    """A desktop browser's window is never as narrow as a phone, so the page stands in a frame.

    The frame's document is written into the outer one when it is done.
    """
    with tempfile.TemporaryDirectory() as folder:
        outer = Path(folder) / "frame.html"
        outer.write_text(
            '<!doctype html><meta charset="utf-8"><style>body{margin:0}iframe{border:0;'
            f"display:block;width:{width}px;height:{height}px}}</style>"
            f'<iframe src="{path.resolve().as_uri()}"></iframe><pre id="dom" hidden></pre>'
            "<script>addEventListener('load',()=>setTimeout(()=>{"
            "const inner=document.querySelector('iframe').contentDocument,"
            "root=inner.documentElement;"
            "root.dataset.over=root.scrollWidth-root.clientWidth;"
            "root.dataset.broken=[...inner.images].filter(i=>!i.naturalWidth).length;"
            "document.getElementById('dom').textContent=root.outerHTML},500))</script>",
            "utf-8",
        )
        return _run(outer, *flags, "--allow-file-access-from-files")


def _run(path: Path, *flags: str) -> tuple[str, str]:
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        done = subprocess.run(
            [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={profile}", path.resolve().as_uri()],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=300,  # a busy machine takes its time
        )
    return done.stdout, done.stderr
