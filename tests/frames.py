"""Folders of frames and single images, made of videos as unmask reads them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.video.frame_reader import read_chosen
from data.video.picture import whole_picture
from data.video.probe import probe


def frames_of(video: Path) -> NDArray[np.uint8]:
    """All frames of a video in its own size, (N, H, W, 3) uint8 RGB."""
    info = probe(video)
    read = read_chosen(video, info, lambda times: np.arange(len(times)), whole_picture(info, 1280))
    return np.stack(list(read.pixels))


def save_frames(video: Path, folder: Path, *, every: int = 1, first: int = 0) -> Path:
    """Writes a video's frames as lossless PNGs, numbered as in the video, with their rate.

    Args:
        video: to take apart.
        folder: to make.
        every: keep each so-manieth frame.
        first: number of the first.
    """
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames_of(video)):
        if number % every == 0:
            path = folder / f"{number + first:03d}.png"
            Image.fromarray(frame).save(path, compress_level=1)
    rate = Fraction(probe(video).fps).limit_denominator(1001)
    if rate != 25:
        (folder / "fps.txt").write_text(f"{rate}\n")
    return folder
