"""What a file says of itself: tags, edit lists and Content Credentials, also of hostile files."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.declared.boxes import MOST_BOXES, MOST_EDITS, MOST_TOP, read_boxes
from data.declared.container import MOST_TAGS, read_container
from data.declared.content_credentials import NOT_READ, read_credentials
from data.declared.model import MOST_CHARACTERS
from data.declared.read import read_declared
from data.errors import VideoError
from tests import requirements
from tests.data.conftest import make

SOURCE = ("-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=2", "-pix_fmt", "yuv420p")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Turned by 90 degrees, cut by an edit list, with tags that name a camera and do harm."""
    folder = tmp_path_factory.mktemp("declared")
    whole = make(
        folder / "whole.mp4", *SOURCE, "-c:v", "libx264", "-bf", "0", "-g", "50",
        "-metadata", "creation_time=2024-02-29T12:00:00Z",
        "-metadata", "title=<script>alert(1)</script>",
        "-metadata:s:v:0", "handler_name=A Camera",
    )  # fmt: skip
    return make(
        folder / "video.mp4", "-display_rotation", "90", "-ss", "0.5", "-i", str(whole),
        "-c", "copy", "-map_metadata", "0",
    )  # fmt: skip


@pytest.fixture(scope="module")
def signed(video: Path) -> Path:
    requirements.module("c2pa")
    from tests.data.declared.signing import sign  # needs what c2pa-python brings

    return sign(video, video.with_name("signed.mp4"))


def test_tags_times_and_rotation_are_told_as_the_file_has_them(video: Path) -> None:
    found = read_declared(video)
    assert found.container == "mov,mp4,m4a,3gp,3g2,mj2"
    assert found.tags["creation_time"] == "2024-02-29T12:00:00.000000Z"
    assert found.tags["title"] == "<script>alert(1)</script>"
    (stream,) = found.streams
    assert (stream.kind, stream.codec, stream.codec_tag) == ("video", "h264", "avc1")
    assert (stream.width, stream.height, stream.rotation_degrees) == (160, 120, 90)
    assert stream.tags["handler_name"] == "A Camera"
    assert found.notes == ()


def test_edit_lists_are_told_which_ffprobe_does_not(video: Path) -> None:
    boxes, notes = read_boxes(video)
    assert notes == []
    assert boxes is not None
    assert boxes.order[0] == "ftyp"
    assert {"moov", "mdat"} <= set(boxes.order)
    assert boxes.created == "2024-02-29T12:00:00Z"
    (track,) = boxes.tracks
    assert track.handler == "vide"
    (edit,) = track.edits
    assert edit.media_seconds == pytest.approx(0.5)  # copied from the keyframe on, shown later
    assert edit.duration_seconds == pytest.approx(1.5, abs=0.05)
    assert edit.rate == 1


def test_a_file_of_another_kind_has_no_boxes(tmp_path: Path) -> None:
    made = make(tmp_path / "a.mkv", *SOURCE, "-c:v", "libx264")
    assert read_boxes(made) == (None, [])
    found = read_declared(made)
    assert found.container == "matroska,webm"
    assert found.boxes is None
    assert found.credentials.status in ("not read", "none")


def test_what_is_no_video_is_said_and_ends_nothing(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no video\n" * 100)
    found = read_declared(path)
    assert found.container == "unknown"
    assert "cannot be read" in found.notes[0]
    with pytest.raises(VideoError):
        read_container(path)


def box(kind: bytes, body: bytes = b"", size: int | None = None) -> bytes:
    return struct.pack(">I4s", 8 + len(body) if size is None else size, kind) + body


def test_hostile_boxes_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "hostile.mp4"
    ftyp = box(b"ftyp", b"isom\0\0\0\0")

    def read(content: bytes) -> tuple[object, list[str]]:
        path.write_bytes(ftyp + content)
        found, notes = read_boxes(path)
        assert found is not None
        return found, notes

    for claimed in (0x7FFFFFFF, 3):  # behind the end of the file; smaller than its head
        _, notes = read(box(b"moov", size=claimed))
        assert "claims" in notes[0]
    _, notes = read(box(b"free") * (MOST_BOXES + 1))
    assert "boxes" in notes[0]
    found, notes = read(box(b"free") * (MOST_TOP + 9))
    assert len(found.order) == MOST_TOP  # type: ignore[attr-defined]
    assert "10 more boxes" in notes[-1]
    deep = b""
    for _ in range(3000):  # each box holds the next: only known ones are entered
        deep = box(b"trak", deep)
    read(box(b"moov", deep))
    for _ in range(1500):
        deep = box(b"trak", box(b"edts", deep))
    read(box(b"moov", deep))
    many = struct.pack(">II", 0, 4_000_000_000) + struct.pack(">IiI", 600, 0, 65536) * 200
    mvhd, mdhd = (box(kind, struct.pack(">IIIII", 0, 0, 0, 600, 0)) for kind in (b"mvhd", b"mdhd"))
    trak = box(b"trak", box(b"edts", box(b"elst", many)) + box(b"mdia", mdhd))
    found, _ = read(box(b"moov", mvhd + trak))
    (track,) = found.tracks  # type: ignore[attr-defined]
    assert len(track.edits) == MOST_EDITS
    assert track.edits_left_out == 4_000_000_000 - MOST_EDITS


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_no_byte_of_a_header_breaks_the_walk(
    video: Path, tmp_path: Path, at: int, byte: int
) -> None:
    content = bytearray(video.read_bytes())
    moov = content.rindex(b"moov") - 4
    content[moov + at % (len(content) - moov)] = byte
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    read_boxes(path)


def test_many_and_long_tags_are_cut(tmp_path: Path) -> None:
    tags = [f"-metadata=comment{number}=x" for number in range(60)]
    words = [word for one in tags for word in one.split("=", 1)]
    made = make(tmp_path / "a.mkv", *SOURCE, "-c:v", "libx264", *words, "-metadata",
                f"AAA={'y' * 5000}")  # fmt: skip
    facts, notes = read_container(made)
    assert len(facts["tags"]) == MOST_TAGS
    assert any("more tags of the file are not listed" in one for one in notes)
    assert len(facts["tags"]["AAA"]) == MOST_CHARACTERS


def test_a_signed_file_is_valid_and_says_who_signed_it(signed: Path) -> None:
    found = read_credentials(signed)
    assert found.status == "valid"
    assert "Who the signer is was not checked" in found.note
    assert found.failures == ()
    active = found.active
    assert active is not None
    assert (active.title, active.common_name, active.signed_by) == (
        "a clip", "Camera 1", "A Newsroom",
    )  # fmt: skip
    assert active.claim_generator == "a test 1"
    assert active.actions == ("c2pa.created",)
    assert active.signed_at is None


def test_one_changed_bit_of_a_signed_file_is_invalid(signed: Path, tmp_path: Path) -> None:
    content = bytearray(signed.read_bytes())
    content[content.index(b"mdat") + 100] ^= 1
    path = tmp_path / "tampered.mp4"
    path.write_bytes(content)
    found = read_credentials(path)
    assert found.status == "invalid"
    assert "assertion.bmffHash.mismatch" in [one.code for one in found.failures]
    assert found.active is not None  # what is claimed is told all the same


def test_a_file_without_credentials_has_none(video: Path) -> None:
    requirements.module("c2pa")
    assert read_credentials(video).status == "none"


def test_a_damaged_manifest_store_is_said(signed: Path, tmp_path: Path) -> None:
    content = bytearray(signed.read_bytes())
    at = content.index(b"jumb")
    content[at + 40 : at + 400] = os.urandom(360)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    assert read_credentials(path).status in ("unreadable", "invalid")


def test_nothing_is_fetched(video: Path, tmp_path: Path) -> None:
    """A manifest that is said to lie on a server here: nobody connects to it."""
    requirements.module("c2pa")
    from tests.data.declared.signing import sign

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/manifest"
        path = sign(video, tmp_path / "remote.mp4", remote=url)
        found = read_credentials(path)
        with pytest.raises(TimeoutError):
            server.accept()
    assert found.status == "unreadable"
    assert "nothing is fetched" in found.note


def test_without_the_extra_it_says_how_to_get_it(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "data.declared.content_credentials.importlib.util.find_spec", lambda _: None
    )
    found = read_credentials(video)
    assert (found.status, found.note, found.library) == ("not read", NOT_READ, None)


def test_a_name_that_is_no_text_and_a_pipe(video: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.mp4")
    path.write_bytes(video.read_bytes())
    assert read_declared(path).streams
    subprocess.run(["mkfifo", str(tmp_path / "pipe")], check=True)
    with pytest.raises(OSError, match="pipe"):
        read_boxes(tmp_path / "pipe")
