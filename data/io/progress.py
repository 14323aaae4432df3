"""Progress bars on stderr and the logger of messages, for all code below `pipeline.cli`.

Code that computes does not print. It logs: `log.warning` for what the user should act on,
`log.info` for notes while it runs, `log.debug` for details of `--verbose`. `pipeline.cli.console`
shows the records.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from tqdm import tqdm

log = logging.getLogger("unmask")

T = TypeVar("T")
R = TypeVar("R")


def progress(
    iterable: Iterable[Any] | None = None,
    *,
    desc: str,
    total: float | None = None,
    unit: str = "it",
    show: bool = True,
    **options: Any,
) -> tqdm[Any]:
    """A progress bar of tqdm, whose arguments these are.

    It draws nothing where `show` is False or stderr no terminal, and with `--quiet`.
    """
    disable = None if show and log.isEnabledFor(logging.INFO) else True
    return tqdm(iterable, desc=desc, total=total, unit=unit, disable=disable, **options)


def map_videos(
    function: Callable[[T], R], videos: Sequence[T], *, workers: int, desc: str
) -> list[R]:
    """The results of a function of each video, in order, in threads and with a progress bar.

    After an error or Ctrl-C no further video is started.
    """
    pool = ThreadPoolExecutor(workers)
    try:
        results = pool.map(function, videos)
        return list(progress(results, total=len(videos), desc=desc, unit="video"))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
