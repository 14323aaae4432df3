"""Who trains and who is tested when people and forgery methods are held out together.

People are divided into folds and forgery methods into blocks. A detector for each fold and block
learns from the other people and the other methods, and is tested on the fold's real videos and on
its fakes of the block. So every fake is scored once, by a detector that saw neither its person nor
its method, beside real people that this detector never saw.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from data.errors import DatasetError

FEWEST_METHODS = 2
"""With one method nothing is left to learn from once it is held out."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOutFold:
    """One detector's training and test videos."""

    train: NDArray[np.int64]  # rows to learn from, ascending
    test: NDArray[np.int64]  # rows to test on, ascending; both classes
    methods: tuple[str, ...]  # methods that are held out and tested, sorted


def plan_hold_out(
    labels: NDArray[np.integer[Any]],
    groups: Sequence[str],
    methods: Sequence[str],
    *,
    learn: NDArray[np.bool_],
    test: NDArray[np.bool_],
    person_folds: int,
    method_folds: int,
    seed: int,
) -> list[HeldOutFold]:
    """Divides people and methods.

    Args:
        labels: (N,) 1 = fake.
        groups: (N,) names; a group is never on two sides.
        methods: (N,) of the fakes.
        learn: (N,) which videos may be learnt from.
        test: (N,) which videos are tested.
        person_folds: number of folds of groups; fewer where there are fewer groups.
        method_folds: number of blocks of methods; fewer where there are fewer methods.
        seed: of the folds of groups.

    Returns:
        A fold for each part of the people and block of methods that has fakes. Where no tested
        method is learnt from there is one block.

    Raises:
        DatasetError: too few groups or methods, or a fold lacks a class to learn from or to test.
    """
    fake = np.asarray(labels) == 1
    group, method = np.asarray(groups), np.asarray(methods)
    tested = Counter(method[fake & test].tolist())
    if not tested or not (test & ~fake).any():
        raise DatasetError("holding methods out needs fakes and real videos to test on")
    block_of = dict.fromkeys(tested, 0)
    if set(method[fake & learn].tolist()) & set(tested):
        block_of = method_blocks(tested, method_folds)
    block = np.asarray([block_of.get(name, -1) for name in method.tolist()])
    fold = person_fold(np.where(fake, block, -1), group, test, count=person_folds, seed=seed)
    found = []
    for inside in (fold == number for number in range(int(fold.max()) + 1)):
        for number in range(max(block_of.values()) + 1):
            of_block = fake & (block == number)
            chosen = test & inside & (~fake | of_block)
            if not (chosen & fake).any():
                continue
            taught = learn & ~inside & ~of_block
            if not (chosen & ~fake).any():
                raise DatasetError(
                    f"a part of the people has no real video to compare its fakes with; lower "
                    f"hold_out.person_folds, now {person_folds}, or add real videos"
                )
            if len(set(fake[taught].tolist())) < 2:
                raise DatasetError(
                    "without the people and methods that are held out one class has no video "
                    "left to learn from; raise hold_out.method_folds, or add people and methods"
                )
            found.append(
                HeldOutFold(
                    train=np.flatnonzero(taught),
                    test=np.flatnonzero(chosen),
                    methods=tuple(sorted({*method[chosen & fake].tolist()})),
                )
            )
    return found


def method_blocks(sizes: Counter[str], count: int) -> dict[str, int]:
    """Method -> block: the largest first, each into the emptiest block; ties by name.

    Methods whose names start with the same word ("Wav2Lip-HD", "Wav2Lip+GFPGAN") are one program
    with different post-processing, and share a block. The methods of `forge`, whose first word is
    "forged", do not.

    Raises:
        DatasetError: fewer than two different first words.
    """
    families: defaultdict[str, list[str]] = defaultdict(list)
    for name in sizes:
        families[_family(name)].append(name)
    if len(families) < FEWEST_METHODS:
        raise DatasetError(
            f"holding methods out needs at least {FEWEST_METHODS} forgery methods, got "
            f"{', '.join(sorted(sizes))}; name the program that made each fake in a column "
            "`method` of the data set's table, and index again"
        )
    held = [0] * min(count, len(families))
    totals = {family: sum(sizes[name] for name in names) for family, names in families.items()}
    found: dict[str, int] = {}
    for family in sorted(families, key=lambda one: (-totals[one], one)):
        emptiest = held.index(min(held))
        held[emptiest] += totals[family]
        found |= dict.fromkeys(families[family], emptiest)
    return found


def _family(name: str) -> str:
    """The first word of a method's name."""
    word = re.split(r"[^0-9A-Za-z]+", name.casefold())[0]
    return name.casefold() if word in ("", "forged", "rendered") else word


def person_fold(
    kinds: NDArray[np.int64],
    groups: NDArray[np.str_],
    test: NDArray[np.bool_],
    *,
    count: int,
    seed: int,
) -> NDArray[np.int64]:
    """The fold of each video, (N,) int64; -1 for groups without a video to test.

    Args:
        kinds: (N,) block of a fake, -1 for a real video: each fold gets its share of each kind.
        groups: (N,) names.
        test: (N,) which videos are tested.
        count: number of folds; fewer where there are fewer groups.
        seed: of the division.

    Raises:
        DatasetError: all tested videos are in one group.
    """
    names = np.unique(groups[test])
    count = min(count, len(names))
    if count < 2:
        raise DatasetError(
            "holding people out needs at least 2 groups; give the people in a column `group` of "
            "the data set's table, and index again"
        )
    rows = np.flatnonzero(test)
    division = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    of_group: dict[str, int] = {}
    with warnings.catch_warnings():  # of kinds with fewer videos than folds, which is no harm
        warnings.simplefilter("ignore", UserWarning)
        parts = list(division.split(np.zeros((len(rows), 1)), kinds[rows], groups[rows]))
    for number, (_, held) in enumerate(parts):
        of_group |= dict.fromkeys(groups[rows[held]].tolist(), number)
    return np.asarray([of_group.get(name, -1) for name in groups.tolist()], np.int64)
