"""Folds that hold out people and forgery methods together. NumPy alone.

A head that is tested on a person or on a forgery program of its training seems better than it is on
others. So each fold holds out some groups, and of all fakes those of some methods: a fake is tested
only by a head that saw neither its group nor its method.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_GROUPS = 4
"""With fewer groups there is nothing to learn from two halves of them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fold:
    """One fold."""

    train: NDArray[np.bool_]  # (N,) videos that a head may learn from
    test: NDArray[np.bool_]  # (N,) videos that it is then tested on; no video is in two folds'
    methods: tuple[str, ...]  # forgery methods that are held out; none where there is one only


def make_folds(
    labels: NDArray[np.integer[Any]],
    groups: Sequence[str],
    methods: Sequence[str],
    *,
    count: int,
) -> list[Fold]:
    """Assigns groups and methods to folds, the largest first, each to the emptiest fold.

    A group goes where most of its fakes' methods are, so that as many fakes as possible are tested.
    Where each person was forged by every method, one part in `count` of the fakes is.

    Args:
        labels: (N,) 1 = fake.
        groups: (N,) names.
        methods: (N,) of the fakes.
        count: number of folds; fewer where there are fewer groups, or two or more methods but fewer
            than that.

    Returns:
        Folds whose training part has both classes; none with fewer than LEAST_GROUPS groups.
    """
    fake = np.asarray(labels) == 1
    group, method = np.asarray(groups), np.asarray(methods)
    named = Counter(method[fake].tolist())
    several = len(named) >= 2
    count = min(count, len(set(groups)), *((len(named),) if several else ()))
    if len(set(groups)) < LEAST_GROUPS or count < 2:
        return []
    fold_of_method: dict[str, int] = {}
    if several:
        fold_of_method = _spread(named, count)
    fold_of_group = _assign_groups(fake, group, method, fold_of_method, count)
    place = np.asarray([fold_of_group[name] for name in group.tolist()])
    held = np.asarray([fold_of_method.get(name, -1) for name in method.tolist()])
    folds = []
    for number in range(count):
        inside, forged = place == number, fake & (held == number)
        train = ~inside & ~forged
        test = inside & (~fake | forged) if several else inside
        if test.any() and len(set(fake[train].tolist())) == 2:
            names = tuple(sorted(one for one, at in fold_of_method.items() if at == number))
            folds.append(Fold(train=train, test=test, methods=names))
    return folds


def _spread(sizes: Counter[str], count: int) -> dict[str, int]:
    """Name -> fold, the largest first, each into the emptiest fold; ties by name."""
    held = [0] * count
    found = {}
    for name, size in sorted(sizes.items(), key=lambda one: (-one[1], one[0])):
        found[name] = held.index(min(held))
        held[found[name]] += size
    return found


def _assign_groups(
    fake: NDArray[np.bool_],
    group: NDArray[np.str_],
    method: NDArray[np.str_],
    fold_of_method: dict[str, int],
    count: int,
) -> dict[str, int]:
    """Group -> fold: where most of its fakes can be tested; of equal ones, where fewest videos are.

    Groups of real videos alone fill up the folds with the fewest reals.
    """
    wanted = {str(name): np.zeros(count, int) for name in np.unique(group)}
    reals, sizes = Counter(group[~fake].tolist()), Counter(group.tolist())
    for name, how in zip(group[fake].tolist(), method[fake].tolist(), strict=True):
        if fold_of_method:
            wanted[name][fold_of_method[how]] += 1
    held, held_reals = np.zeros(count), np.zeros(count)
    found = {}
    ranked = sorted(sizes, key=lambda name: (reals[name] == sizes[name], -sizes[name], name))
    for name in ranked:
        best = np.flatnonzero(wanted[name] == wanted[name].max())
        load = held_reals if reals[name] == sizes[name] else held
        found[name] = int(best[np.argmin(load[best])])
        held[found[name]] += sizes[name]
        held_reals[found[name]] += reals[name]
    return found
