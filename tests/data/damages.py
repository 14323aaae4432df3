"""Ways to damage a small file, and a check of readers: each reads it or raises a one-line error.

`check` demands: no traceback, no hang, an error that names the file and the remedy, and that an
error of the system is not reported as damage.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from data.errors import UnmaskError

SECONDS = 20
"""Longer than any reader of a small file takes, on a busy machine; a hang takes for ever."""

Damage = Callable[[Path], None]


def rewritten(change: Callable[[bytes], bytes]) -> Damage:
    """A damage of the file's bytes."""

    def damage(path: Path) -> None:
        path.chmod(0o644)
        content = path.read_bytes()
        path.unlink()  # it may have other links
        path.write_bytes(change(content))

    return damage


def replaced(make: Callable[[Path], object]) -> Damage:
    """Something else in the file's place."""

    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def flipped(seed: int) -> Callable[[bytes], bytes]:
    """Some flipped bits."""

    def change(content: bytes) -> bytes:
        draw, data = random.Random(seed), bytearray(content)
        for _ in range(draw.choice((1, 1, 3, 20))):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        return bytes(data)

    return change


def as_text(change: Callable[[str], str | bytes]) -> Callable[[bytes], bytes]:
    """A change of the text, where it is one."""

    def changed(content: bytes) -> bytes:
        result = change(content.decode("latin-1"))
        return result if isinstance(result, bytes) else result.encode("latin-1")

    return changed


def oversized(path: Path) -> None:
    """A file with a hole of 2 MiB, which takes no room; the tests lower the bound to 1 MiB."""
    with path.open("wb") as handle:
        handle.truncate(2 << 20)


BYTES: dict[str, Damage] = {
    "empty": rewritten(lambda _: b""),
    "one byte": rewritten(lambda content: content[:1]),
    "cut in half": rewritten(lambda content: content[: len(content) // 2]),
    "cut at a third": rewritten(lambda content: content[: len(content) // 3]),
    "one byte short": rewritten(lambda content: content[:-1]),
    "two bytes short": rewritten(lambda content: content[:-2]),
    "noise": rewritten(lambda content: random.Random(1).randbytes(max(len(content), 600))),
    "zeros": rewritten(lambda content: bytes(max(len(content), 600))),
    "twice": rewritten(lambda content: content * 2),
    "an HTML page": rewritten(lambda _: b"<!DOCTYPE html>\n<html><body>404</body></html>\n"),
    "a workbook": rewritten(lambda _: b"PK\x03\x04" + random.Random(2).randbytes(600)),
    "a pointer of Git LFS": rewritten(
        lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"
    ),
    "blanks": rewritten(lambda _: b" \r\n \n\t\n"),
    **{f"flipped {seed}": rewritten(flipped(seed)) for seed in range(8)},
    "UTF-16": rewritten(as_text(lambda text: text.encode("utf-16"))),
    "UTF-16 without a mark": rewritten(as_text(lambda text: text.encode("utf-16-le"))),
    "UTF-32": rewritten(as_text(lambda text: text.encode("utf-32"))),
    "Latin-1": rewritten(lambda content: b"\xe9" + content),
    "Latin-1 within": rewritten(lambda content: content[:40] + b"\xe9\xe8 " + content[40:]),
    "a mark": rewritten(lambda content: b"\xef\xbb\xbf" + content),
    "two marks": rewritten(lambda content: b"\xef\xbb\xbf" * 2 + content),
    "a NUL": rewritten(lambda content: content[:30] + b"\0" + content[30:]),
    "CR alone": rewritten(lambda content: content.replace(b"\r\n", b"\n").replace(b"\n", b"\r")),
    "deep": rewritten(lambda _: b'{"a":' * 50_000),
    "deep lists": rewritten(lambda _: b"[" * 50_000 + b"]" * 50_000),
    "a number": rewritten(lambda _: b"7"),
    "a long number": rewritten(lambda _: b"9" * 5000),
    "no number": rewritten(lambda _: b"NaN"),
    "a text": rewritten(lambda _: b'"x"'),
    "a list": rewritten(lambda _: b"[1, [2], {}]"),
    "an object": rewritten(lambda _: b"{}"),
    "null": rewritten(lambda _: b"null"),
}
PLACES: dict[str, Damage] = {
    "a folder": replaced(lambda path: path.mkdir()),
    "a full folder": replaced(lambda path: (path / "more").mkdir(parents=True)),
    "a pipe": replaced(lambda path: os.mkfifo(path)),
    "a device": replaced(lambda path: path.symlink_to("/dev/zero")),
    "nothing": replaced(lambda path: path.symlink_to("/dev/null")),
    "a loop": replaced(lambda path: path.symlink_to(path)),
    "a broken link": replaced(lambda path: path.symlink_to("nowhere")),
    "gone": replaced(lambda path: None),
    "too large": replaced(oversized),
}
DAMAGES = BYTES | PLACES

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 0.5, 10**30, "", "x", "../x", "/x", "\0", "\ud800", [], [None], {},
    {"x": []},
)  # fmt: skip
"""Values that take the place of each value of a JSON file."""


def forms(facts: Any) -> Iterator[tuple[str, str]]:
    """A JSON file with each value replaced by others in turn, and each key left out: name, text."""
    for place in list(_places(facts)):
        for value in ODD:
            yield f"{place} = {value!r:.20}", json.dumps(_put(facts, place, value))
        for raw in ("NaN", "1e999", "9" * 5000, "0x1", '{"a": 1, "a": 2}', "[" * 3000 + "]" * 3000):
            text = json.dumps(_put(facts, place, "RAW VALUE"))
            yield f"{place} = {raw[:8]}", text.replace('"RAW VALUE"', raw)
        if isinstance(place[-1], str):
            yield f"{place} left out", json.dumps(_put(facts, place, ...))


def _places(facts: Any, before: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    pairs: list[tuple[str | int, Any]] = []
    if isinstance(facts, dict):
        pairs = list(facts.items())
    elif isinstance(facts, list):
        pairs = list(enumerate(facts))[:1]
    for key, value in pairs:
        yield (*before, key)
        yield from _places(value, (*before, key))


def _put(facts: Any, place: tuple[str | int, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(facts))
    inner = copy
    for key in place[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return copy


@contextlib.contextmanager
def refused(path: Path) -> Iterator[None]:
    """No permission for a file: root may read what it likes, so the calls are made to refuse."""
    real = {"open": os.open, "io": io.open}
    refusal = PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    def is_it(file: Any) -> bool:
        return isinstance(file, str | Path) and Path(file) == path

    def os_open(file: Any, *more: Any, **others: Any) -> int:
        if is_it(file):
            raise refusal
        return real["open"](file, *more, **others)

    def io_open(file: Any, *more: Any, **others: Any) -> Any:
        if is_it(file):
            raise refusal
        return real["io"](file, *more, **others)

    os.open, io.open = os_open, io_open  # type: ignore[assignment]
    try:
        yield
    finally:
        os.open, io.open = real["open"], real["io"]  # type: ignore[assignment]


def check(read: Callable[[], Any], path: Path, case: str, *, silent: bool = False) -> str:
    """Reads: it must work, or raise an error of ours that says it well. Returns the message.

    Args:
        read: the reader.
        path: of the file that is damaged.
        case: for the message of a failure.
        silent: whether it is a cache, whose damage costs time and nothing else.
    """

    def hangs(*_: object) -> None:
        raise AssertionError(f"{case}: it hangs")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(SECONDS)
    try:
        read()
    except UnmaskError as error:
        text = str(error)
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{case}: {type(error).__name__}: {error}") from error
    else:
        return ""
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert not silent, f"{case}: a cache complains: {text}"
    assert "\n" not in text, f"{case}: more than one line: {text}"
    assert path.name in text, f"{case}: {path.name} is not named: {text}"
    assert "cannot write" not in text, f"{case}: {text}"
    assert len(text) < 600, f"{case}: {len(text)} letters: {text[:200]}"
    advises = any(mark in text for mark in (";", " must ", "is no value"))
    assert advises, f"{case}: no remedy: {text}"
    return text


def check_all(
    make: Callable[[Path], Path],
    read: Callable[[Path], Any],
    folder: Path,
    *,
    silent: bool = False,
    but: Collection[str] = (),
) -> dict[str, str]:
    """Every damage of one file, each in a folder of its own; returns the messages.

    Args:
        make: writes what the reader wants into a folder, and returns the file to damage.
        read: the reader, of that file.
        folder: for all of them.
        silent: as in `check`.
        but: damages that are left out.
    """
    model = folder / "model"
    model.mkdir()
    name = make(model).relative_to(model)
    assert check(lambda: read(model / name), model / name, "whole") == "", "it is not read whole"
    outcomes = {}
    for number, (case, damage) in enumerate(DAMAGES.items()):
        if case in but:
            continue
        copy = folder / f"case-{number}"
        shutil.copytree(model, copy)
        damage(copy / name)
        outcomes[case] = check(lambda: read(copy / name), copy / name, case, silent=silent)  # noqa: B023
        shutil.rmtree(copy)
    with refused(model / name):
        outcomes["refused"] = check(
            lambda: read(model / name), model / name, "refused", silent=silent
        )
    if not silent:
        assert "permission" in outcomes["refused"].casefold(), outcomes["refused"]
        assert "damaged" not in outcomes["refused"], outcomes["refused"]
    return outcomes


def check_forms(
    read: Callable[[], Any], path: Path, *, silent: bool = False, named: Path | None = None
) -> None:
    """A JSON file with each of its values replaced, in place; `named` is what messages name."""
    whole = path.read_text("utf-8")
    for case, text in forms(json.loads(whole)):
        path.write_text(text, "utf-8")
        check(read, named or path, case, silent=silent)
    path.write_text(whole, "utf-8")
