"""Part of a set of sequences keeps each video's own features, views and names."""

from __future__ import annotations

import numpy as np
import pytest

from features.sequences.dataset import Sequences
from features.sequences.padded import Padded
from features.sequences.selection import select

COUNT, VIEWS, DIM = 5, 3, 2


def sequences(*, padded: bool) -> Sequences:
    """Video n has n + 1 frames; view k of it holds 10 k + n."""
    held = [
        np.full((number + 1, DIM), 10 * view + number, np.float32)
        for view in range(VIEWS)
        for number in range(COUNT)
    ]
    views = Padded(held, dim=DIM, dtype="float32")
    features = Padded(held[:COUNT], dim=DIM, dtype="float32")
    names = tuple(f"v{number}" for number in range(COUNT))
    return Sequences(
        features=features if padded else features[:],
        mask=np.arange(COUNT) < np.arange(1, COUNT + 1)[:, None],
        labels=np.asarray([0, 1, 0, 1, 0], np.int8),
        groups=names,
        methods=names,
        paths=names,
        sha256s=names,
        views=views if padded else views[:],
    )


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("rows", [np.asarray([3, 1]), np.asarray([False, True, False, True, True])])
def test_each_video_keeps_what_is_its_own(padded: bool, rows: np.ndarray) -> None:
    whole = sequences(padded=padded)
    part = select(whole, rows)
    numbers = np.arange(COUNT)[rows]
    assert part.paths == tuple(f"v{number}" for number in numbers)
    assert part.features.shape == (len(numbers), COUNT, DIM)  # padded as before
    np.testing.assert_array_equal(part.features[:], whole.features[numbers])
    np.testing.assert_array_equal(part.labels, whole.labels[numbers])
    np.testing.assert_array_equal(part.mask, whole.mask[numbers])
    assert part.views is not None
    for view in range(VIEWS):
        for row, number in enumerate(numbers):
            seen = part.views[view * len(numbers) + row]
            assert seen[0, 0] == 10 * view + number
