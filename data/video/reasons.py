"""Why a video failed, in one line: the message, and what ffmpeg said of it where that says more.

ffmpeg's own words ("moov atom not found") are often all that tells a cut download from a page of
HTML. failures.csv has its last lines in a column; this puts the telling one behind the message.
"""

from __future__ import annotations

import re

from data.errors import VideoError, plain

LONGEST = 160
"""Characters of ffmpeg's line."""
GENERIC = "Invalid data found when processing input"
"""What ffprobe says of anything that it cannot open; shown where it says nothing else."""
LEVELS = "quiet|panic|fatal|error|warning|info|verbose|debug|trace"
TAGS = re.compile(rf"(?:\[(?!(?:{LEVELS})\])[^\]]*\] *)*\[(?:error|fatal|panic)\] *")


def with_reason(message: str, stderr_tail: str) -> str:
    """The message of a failure and, where it is not in it already, ffmpeg's last telling line.

    Args:
        message: one line.
        stderr_tail: the last lines that ffmpeg or ffprobe wrote; warnings are passed over.

    Returns:
        Printable text on one line, which is still to be escaped for HTML.
    """
    found = [text for line in stderr_tail.splitlines() if (text := _cleaned(line))]
    telling = [text for text in found if text != GENERIC] or found
    if not telling or telling[-1].casefold() in message.casefold():
        return plain(message)
    reason = telling[-1]
    if len(reason) > LONGEST:
        reason = f"{reason[: LONGEST - 3]}..."
    return plain(f"{message}: {reason}")


def reason_of(error: VideoError) -> str:
    """The same of an error."""
    return with_reason(str(error), error.stderr_tail)


def _cleaned(line: str) -> str:
    """An error's words without ffmpeg's tags, addresses and the file's name; "" for a warning."""
    tags = TAGS.match(line)
    if tags is None:
        return ""
    text = line[tags.end() :].strip()
    if text.startswith(("file:", "pipe:")):
        text = text.rpartition(": ")[2]
    return text
