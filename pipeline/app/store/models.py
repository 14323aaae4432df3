"""What the page's interface takes and gives as JSON; `/openapi.json` documents these."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

ID = r"^[0-9a-f]{16}$"
State = Literal["queued", "running", "done", "failed", "cancelled"]
Stage = Literal["starting", "decoding", "faces", "backbone", "heat map", "case file"]
VerdictWord = Literal["FAKE", "REAL", "UNSURE"]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=20_000)]


class Given(BaseModel):
    """Base of what a request brings: unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NewRun(Given):
    """Judge a case again, perhaps the face in a box."""

    box: Annotated[
        str | None,
        Field(
            max_length=80,
            description="X,Y,WIDTH,HEIGHT or X,Y,WIDTH,HEIGHT@SECONDS, in pixels of the video as "
            "shown: the face to judge; null for the largest lasting one",
        ),
    ] = None


class NewExport(Given):
    """Make a case file."""

    by: Annotated[Name | None, Field(description="who makes it; null leaves a line for it")] = None


class NewNote(Given):
    """A note on a case; it cannot be changed later."""

    author: Name
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]


class NewReading(Given):
    """A person's own verdict; each person gives one."""

    reader: Name
    verdict: VerdictWord
    text: Text = ""


class Blinding(Given):
    """Whether the verdict is hidden until a reader has entered theirs."""

    blind: bool


class Shown(BaseModel):
    """Base of what an answer gives."""

    model_config = ConfigDict(frozen=True)


class Run(Shown):
    """One time that a case was judged, or a case file made."""

    id: str
    kind: Literal["verdict", "export"]
    state: State
    stage: Annotated[Stage | None, Field(description="of a run that is running")]
    share: Annotated[float | None, Field(description="of that stage, from 0 to 1; null: unknown")]
    box: str | None
    by: str | None
    queued: Annotated[float, Field(description="seconds since 1970, UTC; so are all times")]
    started: float | None
    ended: float | None
    failure: Annotated[str | None, Field(description="class of the failure")]
    message: Annotated[str | None, Field(description="why it failed, and what to do")]
    verdict: Annotated[VerdictWord | None, Field(description="null while hidden or not known")]
    probability_fake: float | None
    bundle_sha256: Annotated[str | None, Field(description="of the bundle.json that judged")]


class Case(Shown):
    """A file and the newest verdict on it."""

    id: str
    name: Annotated[str, Field(description="of the file as given")]
    sha256: str
    size_bytes: int
    media_type: str
    created: float
    blind: Annotated[bool, Field(description="verdicts are hidden until a reader gave theirs")]
    run: Annotated[Run | None, Field(description="the newest that gives a verdict")]
    notes: Annotated[int, Field(description="number of notes")]
    readings: Annotated[int, Field(description="number of people's verdicts; 0 while hidden")]


class CaseList(Shown):
    """Some cases, of `total` that were found."""

    cases: list[Case]
    total: int
    active: Annotated[int, Field(description="runs that wait or are running, of all cases")]


class NoteOut(Shown):
    """A note."""

    at: float
    author: str
    text: str


class ReadingOut(Shown):
    """A person's verdict."""

    at: float
    reader: str
    verdict: VerdictWord
    text: str
    blind: Annotated[bool, Field(description="given without seeing any other verdict")]


class Event(Shown):
    """What happened to a case."""

    at: float
    text: str


class CaseDetails(Case):
    """A case with everything that is known of it; what is hidden is left out."""

    runs: list[Run]
    note_list: list[NoteOut]
    reading_list: list[ReadingOut]
    events: list[Event]


class Uploaded(Shown):
    """A file that was received."""

    case: Case
    known: Annotated[bool, Field(description="the same bytes were here before: no new case")]


class Deleted(Shown):
    """A case that is gone."""

    id: str


class Problem(Shown):
    """Why a request was refused."""

    detail: str


class Window(Shown):
    """Consecutive frames, scored by themselves."""

    start_seconds: float
    end_seconds: float
    probability_fake: float
    verdict: VerdictWord


class FaceTimeline(Shown):
    """One face over time."""

    face: int
    times: Annotated[list[float], Field(description="of each frame that was read, in seconds")]
    boxes: Annotated[
        list[tuple[float, float, float, float]],
        Field(description="x0, y0, x1, y1 of the crop in each, in pixels of the video as shown"),
    ]
    found: Annotated[list[bool], Field(description="whether the detector saw the face in it")]
    windows: Annotated[list[Window], Field(description="none while the verdict is hidden")]
    axis: Annotated[tuple[float, float], Field(description="seconds at both ends of its chart")]


class Timeline(Shown):
    """What was seen in a video, over time."""

    width: Annotated[int, Field(description="of the video as shown, in pixels")]
    height: int
    faces: list[FaceTimeline]


class Detector(Shown):
    """The bundle that judges."""

    state: Literal["loading", "ready", "broken"]
    bundle: str
    bundle_sha256: str
    line: Annotated[str, Field(description="what it was trained on, and its test result")] = ""
    warning: Annotated[str | None, Field(description="stands before every verdict")] = None
    problem: Annotated[str | None, Field(description="why it is broken, and what to do")] = None
    minimum_frames: Annotated[int | None, Field(description="that a video must have")] = None


class Status(Shown):
    """What the page is doing."""

    detector: Detector
    queued: int
    running: int
    most_upload_bytes: int
    version: str
