"""The types of what a file says of itself. They are part of the case file's published schema.

Nothing of this is checked against the pictures: each of these can be written by anybody.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_CHARACTERS = 1000
"""Of one text out of a file; a longer one is cut, and ends with an ellipsis."""

Tags = dict[str, str]
"""Name of a tag -> its text, as in the file."""


class Fact(BaseModel):
    """Base class: frozen, unknown keys refused, nothing converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Stream(Fact):
    """A stream of the file, as its container declares it."""

    index: Annotated[int, Field(ge=0, description="in the container")]
    kind: Annotated[str, Field(description="video, audio, data, ...")]
    codec: Annotated[str, Field(description="as ffprobe names it; unknown where it knows none")]
    profile: Annotated[str | None, Field(description="of the codec")] = None
    codec_tag: Annotated[str | None, Field(description="the codec's tag in the container")] = None
    pixel_format: Annotated[str | None, Field(description="of a video stream")] = None
    width: Annotated[int | None, Field(description="coded, in pixels")] = None
    height: Annotated[int | None, Field(description="coded, in pixels")] = None
    pixel_aspect: Annotated[str | None, Field(description="width over height of a pixel")] = None
    rotation_degrees: Annotated[
        int | None, Field(description="by which a player turns the picture; null without one")
    ] = None
    frame_rate: Annotated[str | None, Field(description="average, frames per second")] = None
    start_seconds: float | None = None
    duration_seconds: float | None = None
    bit_rate: Annotated[int | None, Field(description="bits per second")] = None
    frames: Annotated[int | None, Field(description="as declared")] = None
    tags: Annotated[
        Tags, Field(description="creation_time, handler_name, encoder, language, ...")
    ] = {}


class Edit(Fact):
    """An entry of an edit list: what part of a track a player shows."""

    duration_seconds: float
    media_seconds: Annotated[
        float | None, Field(description="where in the track it begins; null: nothing is shown")
    ]
    rate: Annotated[float, Field(description="of playing; 1 is as recorded, 0 is a still")]


class Track(Fact):
    """A track of an MP4 or MOV file."""

    number: Annotated[int | None, Field(description="in the file's own count")] = None
    handler: Annotated[str, Field(description="vide, soun, ...; as the file has it")] = ""
    created: Annotated[str | None, Field(description="UTC; null where the file has none")] = None
    modified: Annotated[
        str | None, Field(description="UTC, as the file has it; null where it has none")
    ] = None
    edits: Annotated[tuple[Edit, ...], Field(description="its edit list; empty: it has none")] = ()
    edits_left_out: Annotated[int, Field(description="further entries")] = 0


class Boxes(Fact):
    """How an MP4 or MOV file is built, by its boxes."""

    order: Annotated[
        tuple[str, ...], Field(description="types of the boxes at the top, in the file's order")
    ]
    created: Annotated[str | None, Field(description="UTC; null where the file has none")] = None
    modified: Annotated[
        str | None, Field(description="UTC, as the file has it; null where it has none")
    ] = None
    tracks: tuple[Track, ...] = ()


class Finding(Fact):
    """One result of the validation of Content Credentials."""

    code: Annotated[str, Field(description="a status code of the C2PA specification")]
    explanation: str = ""
    url: Annotated[str, Field(description="what in the manifest store it is about")] = ""


class Signed(Fact):
    """One manifest of a manifest store: who signed what of the file."""

    label: str
    title: str | None = None
    format: str | None = None
    claim_generator: Annotated[
        str | None, Field(description="the program that made it, by its own account")
    ] = None
    signed_by: Annotated[str | None, Field(description="issuer of the certificate")] = None
    common_name: Annotated[str | None, Field(description="of the certificate")] = None
    algorithm: str | None = None
    signed_at: Annotated[str | None, Field(description="by a time stamp; null without one")] = None
    actions: Annotated[tuple[str, ...], Field(description="c2pa.created, c2pa.edited, ...")] = ()
    assertions: Annotated[tuple[str, ...], Field(description="labels of all assertions")] = ()
    ingredients: Annotated[tuple[str, ...], Field(description="titles of what it was made of")] = ()


class Credentials(Fact):
    """Content Credentials (C2PA): a signed record of a file's history, and its validation."""

    status: Annotated[
        Literal["not read", "none", "valid", "invalid", "unreadable"],
        Field(
            description="not read: by this unmask; none: the file carries none; valid: signature "
            "and digests fit this file, whoever signed it; invalid: they do not; unreadable: "
            "something is there that cannot be read"
        ),
    ]
    note: Annotated[str, Field(description="what the status means here, in one sentence")]
    active: Annotated[Signed | None, Field(description="the manifest of this very file")] = None
    earlier: Annotated[
        tuple[Signed, ...], Field(description="manifests of what the file was made of")
    ] = ()
    failures: tuple[Finding, ...] = ()
    informational: tuple[Finding, ...] = ()
    library: Annotated[str | None, Field(description="what read it, with its version")] = None


class Declared(Fact):
    """What a file says of itself. Anybody can write it; it is no part of the verdict."""

    container: Annotated[str, Field(description="as ffprobe names it")]
    duration_seconds: float | None = None
    bit_rate: Annotated[int | None, Field(description="bits per second")] = None
    tags: Annotated[Tags, Field(description="of the file: creation_time, encoder, ...")] = {}
    streams: tuple[Stream, ...] = ()
    boxes: Annotated[
        Boxes | None, Field(description="null: no MP4 or MOV file, or not readable")
    ] = None
    credentials: Credentials
    notes: Annotated[
        tuple[str, ...], Field(description="what could not be read, and what was left out")
    ] = ()


def escaped(value: Any, *, most_characters: int | None = None) -> Any:
    """A value with what UTF-8 cannot hold escaped in its texts, and longer ones cut."""
    again = partial(escaped, most_characters=most_characters)
    if isinstance(value, str):
        text = value.encode("utf-8", "backslashreplace").decode("utf-8")
        if most_characters is None or len(text) <= most_characters:
            return text
        return f"{text[: most_characters - 1]}…"
    if isinstance(value, dict):
        return {again(str(key)): again(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(again(one) for one in value)
    return value


def clean(value: Any) -> Any:
    """A value out of a file: escaped, its texts cut at MOST_CHARACTERS."""
    return escaped(value, most_characters=MOST_CHARACTERS)
