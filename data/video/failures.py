"""Why a video failed, in one line: what ffmpeg and ffprobe say of it, and what the file looks like.

ffmpeg's own words ("moov atom not found") are often all that distinguishes an interrupted download
from a web page. `failures.csv` has its last lines in a column; the messages of unmask quote the
most informative one.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from data.errors import VideoError, plain

LONGEST = 160
"""Characters of a quoted line."""
HEAD_BYTES = 1024
GENERIC = "Invalid data found when processing input"
"""What ffprobe says of anything that it cannot open; quoted only where it says nothing else."""
LEVELS = "quiet|panic|fatal|error|warning|info|verbose|debug|trace"
TAGS = re.compile(rf"(?:\[(?!(?:{LEVELS})\])[^\]]*\] *)*\[(?:error|fatal|panic)\] *")
UNKNOWN_FORMAT = re.compile(r"\[(\w+) @ [^\]]*\] \[error\] Format not on whitelist")
FILE_TYPES = (
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
"""First bytes of files that are often found in a video's place."""


def with_reason(message: str, stderr_tail: str) -> str:
    """Appends ffmpeg's last informative error to a message that does not contain it.

    Args:
        message: one line.
        stderr_tail: the last lines that ffmpeg or ffprobe wrote; warnings are ignored.

    Returns:
        Printable text on one line, not escaped for HTML.
    """
    errors = [text for line in stderr_tail.splitlines() if (text := _error_text(line))]
    informative = [text for text in errors if text != GENERIC] or errors
    if not informative or informative[-1].casefold() in message.casefold():
        return plain(message)
    reason = informative[-1]
    if len(reason) > LONGEST:
        reason = f"{reason[: LONGEST - 3]}..."
    return plain(f"{message}: {reason}")


def reason_of(error: VideoError) -> str:
    """`with_reason` of an error's message and its ffmpeg output."""
    return with_reason(str(error), error.stderr_tail)


def _error_text(line: str) -> str:
    """An error without ffmpeg's tags, addresses and the file's name; "" for a warning."""
    tags = TAGS.match(line)
    if tags is None:
        return ""
    text = line[tags.end() :].strip()
    if text.startswith(("file:", "pipe:")):
        text = text.rpartition(": ")[2]
    return text


def why_unreadable(path: Path, stderr_tail: str) -> str:
    """The message for a file that ffprobe does not open as a video, with its last stderr lines."""
    why, file_type = ffprobe_reason(stderr_tail), guess_file_type(path)
    if file_type:
        return f"it is no video but {file_type}" + (f" (ffprobe: {why})" if why else "")
    return "ffprobe cannot read it as a video" + (f": {why}" if why else "")


def ffprobe_reason(stderr_tail: str) -> str:
    """The most informative of ffprobe's last lines, warnings included; may be empty."""
    refused = UNKNOWN_FORMAT.search(stderr_tail)
    if refused:
        return f"unmask does not open the format {refused[1]}"
    lines = []
    for line in stderr_tail.splitlines():
        text = re.sub(r"\[[^\]]*\] ?", "", line).strip()
        text = re.sub(r"^file:.*: (?=[A-Z])", "", text)
        if text and not text.startswith("file:") and "misdetection possible" not in text:
            lines.append(text)
    informative = [line for line in lines if not line.endswith(GENERIC)]
    return plain((informative or lines or [""])[-1])[:LONGEST]


def guess_file_type(path: Path) -> str:
    """What a file is by its first bytes, where it is a known type other than video; else ""."""
    head = b""
    with suppress(OSError), path.open("rb") as handle:
        head = handle.read(HEAD_BYTES)
    for pattern, name in FILE_TYPES:
        if re.match(pattern, head, re.IGNORECASE):
            return name
    return ""
