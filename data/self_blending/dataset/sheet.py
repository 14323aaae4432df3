"""The contact sheet: real and forged faces side by side, as they came out of the encoder."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from data.errors import VideoError
from data.faces.crops import crop_faces
from data.faces.tracker import FaceFinder
from data.io.atomic_files import atomic_file
from data.io.output_paths import follow
from data.io.processes import Run
from data.self_blending.dataset.plan import Forgery, Item
from data.video.frames import FrameRecipe, read_pixels
from data.video.picture import whole_picture
from data.video.probe import probe

PAIRS = 24
"""On one sheet; of more, an even selection."""
MOMENTS = 3
SIDE = 128
LABEL = 14
GAP = 8
MARGIN = 1.35


_faces = functools.cache(FaceFinder)


def write_sheet(path: Path, out: Path, plan: Sequence[Item], run: Run) -> None:
    """Writes a PNG of the videos in `out`: of each pair real moments above, forged ones below.

    Args:
        path: of the PNG.
        out: folder of the videos.
        plan: what is in it.
        run: where pairs are drawn, several at a time: one after the other they took a seventh of
            `unmask forge` on six clips of four seconds.
    """
    pairs = [(item, one) for item in plan for one in item.forgeries]
    if not pairs:
        follow(path).unlink(missing_ok=True)
        return
    places = np.unique(np.linspace(0, len(pairs) - 1, min(PAIRS, len(pairs))).round().astype(int))
    drawn = dict(run(draw_pair, {int(place): (out, *pairs[place]) for place in places}))
    tiles = [drawn[int(place)] for place in places]
    columns = min(4, len(tiles))
    width, height = MOMENTS * SIDE + GAP, 2 * SIDE + LABEL + GAP
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * width + GAP, rows * height + GAP), (32, 32, 32))
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (GAP + index % columns * width, GAP + index // columns * height))
    with atomic_file(path) as temporary:
        sheet.save(temporary, "PNG")


def draw_pair(out: Path, item: Item, forgery: Forgery) -> Image.Image:
    """Draws one pair, with a line of text."""
    tile = Image.new("RGB", (MOMENTS * SIDE, 2 * SIDE + LABEL))
    made = forgery.parameters
    text = f"{made.method} {made.region} {made.strength:.2f}  {Path(item.path).stem}"
    ImageDraw.Draw(tile).text((2, 1), text[:62], fill=(230, 230, 230))
    try:
        real, forged = (_frames(out / path) for path in (item.path, forgery.path))
        times = np.arange(len(real), dtype=np.float64)
        boxes = _faces().follow(real, times).boxes  # the real face's place for both
        for row, pixels in enumerate((real, forged)):
            crops, _ = crop_faces(pixels, boxes, margin=MARGIN, size=SIDE)
            for column, crop in enumerate(crops):
                tile.paste(Image.fromarray(crop), (column * SIDE, LABEL + row * SIDE))
    except (VideoError, ValueError):
        ImageDraw.Draw(tile).text((2, LABEL + 4), "no face after encoding", fill=(230, 120, 120))
    return tile


def _frames(path: Path) -> NDArray[np.uint8]:
    """Some moments of a video, (MOMENTS, H, W, 3)."""
    info = probe(path)
    recipe = FrameRecipe(count=MOMENTS, minimum_frames=1)
    return read_pixels(path, info, recipe, whole_picture(info, 1280))[0]
