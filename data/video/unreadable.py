"""Why a file is no video, in one line: what it looks like, and what ffprobe says of it."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from data.errors import plain

REASON_CHARACTERS = 160
"""Of what ffprobe says is wrong."""
HEAD_BYTES = 1024
LOOKS = (
    (rb"\s*<(?:!doctype\s+html|html|head)", "a web page; download the video again"),
    (
        rb"#EXTM3U|ffconcat|(?:<\?xml[^>]*>\s*)?<MPD|\[playlist\]",
        "a playlist; give the video itself",
    ),
    (rb"PK\x03\x04|Rar!|7z\xbc\xaf|\x1f\x8b", "an archive; unpack it"),
    (rb"version https://git-lfs", "a pointer of Git LFS; fetch the file with git lfs pull"),
    (rb"%PDF-", "a PDF document"),
    (rb"[\t\n\r\x20-\x7e]{1,1024}\Z", "plain text"),
)
"""How files begin that often are in a video's place."""
UNKNOWN_FORMAT = re.compile(r"\[(\w+) @ [^\]]*\] \[error\] Format not on whitelist")
GENERIC = "Invalid data found when processing input"


def why_unreadable(path: Path, tail: str) -> str:
    """What stands between this file and its frames.

    Args:
        path: the file.
        tail: the last lines of ffprobe's stderr.
    """
    why, looks = reason(tail), look_like(path)
    if looks:
        return f"it is no video but {looks}" + (f" (ffprobe: {why})" if why else "")
    return "ffprobe cannot read it as a video" + (f": {why}" if why else "")


def reason(tail: str) -> str:
    """The line of ffprobe's last ones that says most, without addresses; may be empty."""
    refused = UNKNOWN_FORMAT.search(tail)
    if refused:
        return f"unmask does not open the format {refused[1]}"
    lines = []
    for line in tail.splitlines():
        said = re.sub(r"\[[^\]]*\] ?", "", line).strip()
        said = re.sub(r"^file:.*: (?=[A-Z])", "", said)
        if said and not said.startswith("file:") and "misdetection possible" not in said:
            lines.append(said)
    telling = [line for line in lines if not line.endswith(GENERIC)]
    return plain((telling or lines or [""])[-1])[:REASON_CHARACTERS]


def look_like(path: Path) -> str:
    """What a file looks like by its first bytes; empty where that tells nothing."""
    head = b""
    with suppress(OSError), path.open("rb") as handle:
        head = handle.read(HEAD_BYTES)
    for pattern, name in LOOKS:
        if re.match(pattern, head, re.IGNORECASE):
            return name
    return ""
