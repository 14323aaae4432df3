"""Images: every format, orientation and mode gives the picture that a person sees; damage is said.

`pictures/rendered*.heic` and `rendered.png` show a frame of `unmask demo`, a rendered person; the
HEIC files were written by pillow-heif 1.8.1 at quality 80, `-turned` lying, with an irot box.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import data.images.decoding
from data.errors import NoDecoderError, VideoError
from data.images.decoding import TURNS, image_header, read_image
from data.images.formats import image_format, is_image, kind_of
from tests import requirements

PICTURES = Path(__file__).parent / "pictures"
RENDERED = PICTURES / "rendered.png"


def picture() -> NDArray[np.uint8]:
    """The rendered frame as it was written."""
    return np.asarray(Image.open(RENDERED).convert("RGB"))


def differ(path: Path) -> float:
    """Mean difference in grey levels from the rendered frame."""
    found = read_image(path)
    assert found.shape == picture().shape
    return float(np.abs(found.astype(int) - picture()).mean())


@pytest.mark.parametrize(
    ("name", "options", "most"),
    [
        ("a.png", {}, 0),
        ("a.webp", {"lossless": True}, 0),
        ("lossy.webp", {"quality": 90}, 3),
        ("a.jpg", {"quality": 95}, 3),
        ("progressive.jpeg", {"quality": 95, "progressive": True}, 3),
        ("a.avif", {"quality": 90}, 3),
    ],
)
def test_every_format_gives_the_picture(
    tmp_path: Path, name: str, options: dict[str, object], most: float
) -> None:
    Image.fromarray(picture()).save(tmp_path / name, **options)
    assert kind_of(tmp_path / name) == "image"
    assert differ(tmp_path / name) <= most
    header = image_header(tmp_path / name)
    assert (header.height, header.width) == picture().shape[:2]


@pytest.mark.parametrize("name", ["rendered.heic", "rendered-turned.heic"])
def test_heic_is_read_and_turned_as_its_boxes_ask(name: str) -> None:
    requirements.module("pi_heif")
    assert differ(PICTURES / name) < 1
    header = image_header(PICTURES / name)
    assert (header.width, header.height, header.format) == (320, 240, "heic")


def test_without_libheif_a_heic_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data.images.decoding, "_heif_registered", lambda: False)
    with pytest.raises(NoDecoderError, match=r"unmask\[heic\]"):
        read_image(PICTURES / "rendered.heic")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_obeyed(tmp_path: Path, orientation: int, suffix: str) -> None:
    undo = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    turn = undo.get(orientation, TURNS.get(orientation))  # the others undo themselves
    lying = Image.fromarray(picture())
    lying = lying if turn is None else lying.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    lying.save(path, exif=exif, quality=95)
    assert differ(path) < 3
    header = image_header(path)
    assert (header.width, header.height) == picture().shape[1::-1]


def test_grey_transparent_indexed_and_deep_pictures_become_rgb(tmp_path: Path) -> None:
    image = Image.fromarray(picture())
    grey = np.asarray(image.convert("L"))
    Image.fromarray(grey.astype(np.uint16) << 8).save(tmp_path / "deep.png")
    image.convert("L").save(tmp_path / "grey.png")
    image.convert("LA").save(tmp_path / "la.png")
    image.convert("RGBA").save(tmp_path / "rgba.png")
    image.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    image.convert("P").save(tmp_path / "p.png")
    image.convert("1").save(tmp_path / "bits.png")
    for name in ("deep.png", "grey.png", "la.png"):
        found = read_image(tmp_path / name)
        assert np.array_equal(found, np.repeat(grey[..., None], 3, 2)), name
    assert np.array_equal(read_image(tmp_path / "rgba.png"), picture())
    for name in ("cmyk.jpg", "p.png", "bits.png"):
        assert read_image(tmp_path / name).shape == picture().shape


def test_animated_pictures_are_no_images(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.roll(picture(), 9 * at, 1)) for at in range(4)]
    for name in ("a.png", "a.webp", "a.gif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=40)
    assert kind_of(tmp_path / "a.png") == "video"
    assert kind_of(tmp_path / "a.gif") == "video"
    with pytest.raises(VideoError, match="an animated WebP"):
        read_image(tmp_path / "a.webp")


def test_damage_is_one_line(tmp_path: Path) -> None:
    content = RENDERED.read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(VideoError, match="the PNG image cannot be decoded: image file is truncate"):
        read_image(tmp_path / "cut.png")
    (tmp_path / "text.png").write_text("no picture")
    assert not is_image(tmp_path / "text.png")
    with pytest.raises(VideoError, match="it is no PNG, JPEG"):
        read_image(tmp_path / "text.png")
    with pytest.raises(VideoError, match="cannot read the file"):
        read_image(tmp_path / "missing.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(VideoError, match="not a file"):
        read_image(tmp_path / "pipe.png")
    assert not is_image(tmp_path / "pipe.png")


@pytest.mark.parametrize("side", [10_000, 30_000])  # the larger one is refused by Pillow itself
def test_a_header_that_claims_a_huge_picture_is_refused_before_memory_is_taken(
    tmp_path: Path, side: int
) -> None:
    Image.new("1", (side, side)).save(tmp_path / "bomb.png")  # 110 kB, 2.7 GB as RGB
    assert (tmp_path / "bomb.png").stat().st_size < 200_000
    with pytest.raises(VideoError, match=r"pixels are too many|exceeds limit"):
        read_image(tmp_path / "bomb.png")


def made(name: str) -> bytes:
    """A small picture as bytes."""
    held = io.BytesIO()
    small = Image.fromarray(picture()[:40, :60])
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    small.save(held, name, exif=exif)
    return held.getvalue()


SMALL = {name: made(name) for name in ("PNG", "JPEG", "WEBP")}


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(SMALL)),
    places=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=8),
    length=st.floats(0, 1),
)
def test_damaged_bytes_give_a_picture_or_a_line(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    places: list[tuple[int, int]],
    length: float,
) -> None:
    content = bytearray(SMALL[name])
    for place, value in places:
        content[place % len(content)] = value
    path = tmp_path_factory.getbasetemp() / f"damaged-{os.getpid()}.bin"
    path.write_bytes(content[: max(1, round(length * len(content)))])
    for read in (read_image, image_header):
        message = "a picture"
        try:
            read(path)
        except VideoError as error:
            message = str(error)
        assert message
        assert "\n" not in message


@given(st.binary(max_size=80))
def test_any_bytes_have_a_format_or_none(head: bytes) -> None:
    image_format(head)
    image_format(b"\0\0\0\x20ftyp" + head)
    image_format(b"RIFF\0\0\0\0WEBPVP8X" + head)
