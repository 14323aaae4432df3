"""The error tree. Each class has its exit code, each message its remedy.

The command line turns every `UnmaskError` into one line on stderr and the class's exit code; a
traceback is a bug of unmask. A test checks the table in the README against this module.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

FailureClass = Literal[
    "unreadable",
    "no_video_stream",
    "no_decoder",
    "too_few_frames",
    "decode_error",
    "timeout",
    "no_face",
]
"""Why one video gave no features; a row of failures.csv, never the end of a run."""

FAILURE_CLASSES: tuple[str, ...] = get_args(FailureClass)


def plain(text: str) -> str:
    """Escapes text for a terminal: an untrusted file name may contain control sequences."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


class UnmaskError(Exception):
    """Base of all errors that a user can cause and fix."""

    exit_code: ClassVar[int] = 1


class ConfigError(UnmaskError):
    """A parameter or option is unknown, of the wrong type or out of range."""

    exit_code = 2


class InputError(UnmaskError):
    """A path is missing, empty, or not what the command reads."""

    exit_code = 3


class DatasetError(UnmaskError):
    """The videos cannot be used: one class only, too few, or one video with both labels."""

    exit_code = 4


class StoreError(UnmaskError):
    """A feature store or shard is damaged, foreign, or of a future version."""

    exit_code = 5


class MismatchError(UnmaskError):
    """Features, backbone and bundle do not belong together."""

    exit_code = 6


class ToolError(UnmaskError):
    """Something outside unmask is missing: ffmpeg, a model file, a download, a Ray cluster."""

    exit_code = 7


class OutputError(UnmaskError):
    """The output cannot be written: disk full, read-only, no permission."""

    exit_code = 8


class TooManyFailuresError(UnmaskError):
    """More videos failed than `--max-failures` allows; what succeeded is kept."""

    exit_code = 9


class LeakError(UnmaskError):
    """A video or person of the test or validation data was seen in training."""

    exit_code = 10


class LockedError(UnmaskError):
    """Another process is writing to the same store."""

    exit_code = 11


class VideoError(UnmaskError):
    """One video gave no frames. Inside a run it becomes a row of failures.csv.

    Args:
        failure: the class of the failure.
        message: what happened, in one line, with the remedy where there is one.
        stderr_tail: the last lines that ffmpeg wrote.
    """

    exit_code = 12

    def __init__(self, failure: FailureClass, message: str, *, stderr_tail: str = "") -> None:
        super().__init__(message)
        self.failure: FailureClass = failure
        self.stderr_tail = stderr_tail

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle, between processes: an Exception's own passes the message alone."""
        return type(self), (self.failure, str(self)), self.__dict__


class NoDecoderError(VideoError, ToolError):
    """No ffmpeg here decodes the video: a failure of one video, fixed by another ffmpeg.

    Args:
        message: which codec, and how to get a decoder.
    """

    exit_code = ToolError.exit_code

    def __init__(self, message: str) -> None:
        super().__init__("no_decoder", message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self),), self.__dict__
