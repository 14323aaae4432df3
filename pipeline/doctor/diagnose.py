"""`unmask doctor`: looks at everything in turn; nothing that it meets ends it.

A check that fails in an unforeseen way is itself a finding: this is what people run when things are
broken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from pipeline.doctor.packages import check_extras, check_packages, check_unmask, modules_to_import
from pipeline.doctor.result import Diagnosis, Finding, Findings, Group, one_line
from pipeline.doctor.self_test import import_errors, run_self_test
from pipeline.doctor.system import check_disk, check_ffmpeg, check_processor


def diagnose(*, store: Path, test: bool = True) -> Diagnosis:
    """Looks at this installation and machine.

    Args:
        store: folder of the store that is meant to be used.
        test: whether packages are imported and the self-test is run, which takes seconds.
    """
    clock = time.monotonic()
    broken: dict[str, str] = {}
    findings = [*_guarded("unmask", check_unmask)]
    if test:
        findings += _guarded("packages", lambda: _broken(broken))
    findings += _guarded("packages", lambda: check_packages(broken))
    findings += _guarded("ffmpeg", check_ffmpeg)
    findings += _guarded("processor", check_processor)
    findings += _guarded("disk", lambda: check_disk(store))
    findings += _guarded("extras", lambda: check_extras(broken))
    if test:
        findings += _guarded("self-test", run_self_test)
    return Diagnosis(
        findings=tuple(findings), tested=test, seconds=round(time.monotonic() - clock, 1)
    )


def _broken(broken: dict[str, str]) -> Findings:
    broken |= import_errors(modules_to_import())
    yield from ()


def _guarded(group: Group, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """The findings of a check, and what ended it, if anything did."""
    found: list[Finding] = []
    try:
        for one in check():
            found.append(one)
    except Exception as error:  # noqa: BLE001 - see above
        found.append(
            Finding(
                group=group,
                name="this check",
                status="problem",
                found=f"could not be made: {one_line(error)}",
                remedy="mend the packages that are named here, or install unmask anew",
            )
        )
    return found
