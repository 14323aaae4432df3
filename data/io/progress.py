"""Progress bars on stderr and the logger of messages, for all code below `pipeline.cli`.

Code that computes does not print. It logs: `log.warning` for what the user should act on,
`log.info` for notes while it runs, `log.debug` for details of `--verbose`. `pipeline.cli.console`
shows the records.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

log = logging.getLogger("unmask")


def progress(
    iterable: Iterable[Any] | None = None,
    *,
    desc: str,
    total: float | None = None,
    unit: str = "it",
    show: bool = True,
    **options: Any,
) -> tqdm[Any]:
    """A progress bar with ETA.

    It draws nothing where stderr is no terminal, and with `--quiet`.

    Args:
        iterable: what to iterate over; None for a bar that the caller updates.
        desc: label.
        total: number of steps, where the iterable has no length.
        unit: name of one step.
        show: False draws nothing.
        options: further arguments of `tqdm.tqdm`, such as `bar_format` and `leave`.
    """
    disable = None if show and log.isEnabledFor(logging.INFO) else True
    return tqdm(iterable, desc=desc, total=total, unit=unit, disable=disable, **options)
