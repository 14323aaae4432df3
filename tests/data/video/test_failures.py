"""A failed video's reason: ffmpeg's telling line behind the message, bounded and printable."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import VideoError
from data.video.failures import LONGEST, reason_of, with_reason
from data.video.probe import probe

MOOV = (
    "[mov,mp4,m4a,3gp,3g2,mj2 @ 0x7f85] [warning] Format mov detected only with low score of 1\n"
    "[mov,mp4,m4a,3gp,3g2,mj2 @ 0x7f85] [error] moov atom not found\n"
    "[error] file:/home/ann: [b]/list.mp4: Invalid data found when processing input"
)


def test_the_telling_line_is_taken_without_tags_and_names():
    message = with_reason("ffprobe cannot read it as a video", MOOV)
    assert message == "ffprobe cannot read it as a video: moov atom not found"
    alone = MOOV.splitlines()[-1]
    assert with_reason("no", alone) == "no: Invalid data found when processing input"


def test_what_the_message_says_already_is_not_said_twice():
    assert with_reason("no video: Moov atom not found", MOOV) == "no video: Moov atom not found"
    assert with_reason("no face", "") == "no face"
    assert with_reason("no face", "[warning] something old") == "no face"
    assert with_reason("no face", "[h264 @ 0x1] [warning] [error] is a name") == "no face"


def test_a_strangers_text_is_one_bounded_line_without_controls():
    message = with_reason("m\nn", "[error] \x1b[31mred\u202e " + "x" * 10_000)
    assert message.isprintable()
    assert len(message) < LONGEST * 2
    assert message.startswith("m\\nn: \\x1b[31mred")


@pytest.mark.parametrize(
    "content", [b"<!doctype html><title>404</title>", b"#EXTM3U\nhttp://x/y.ts\n", b"\0" * 4000]
)
def test_of_files_that_are_no_videos_it_says_more_than_the_message(tmp_path: Path, content):
    (tmp_path / "x.mp4").write_bytes(content)
    with pytest.raises(VideoError) as caught:
        probe(tmp_path / "x.mp4")
    message = reason_of(caught.value)
    assert any(
        one in message for one in ("moov atom not found", "Invalid data", "HTML", "playlist")
    )
    assert str(tmp_path) not in message
