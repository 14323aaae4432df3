"""The format of case.json, as published types: what was judged, how, by whom, what it rests on.

The types mirror `pipeline.inference.verdict` on purpose: those may change, this format changes with
its version alone. `case.v1.schema.json` beside this module is made of it, by
`pipeline.case.schema`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from data.declared.model import Declared, Fact

VERSION = 1
"""Raised when a reader of an earlier version could misread a record."""

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""A sha256 in hexadecimal digits."""
Share = Annotated[float, Field(ge=0, le=1)]
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the video's frame as shown."""
Verdict = Literal["FAKE", "REAL", "UNSURE"]


class Evidence(Fact):
    """The file that was judged. It is not part of the case file."""

    name: Annotated[str, Field(description="as given")]
    sha256: Digest
    size_bytes: Annotated[int, Field(ge=1)]


class Note(Fact):
    """What a person wrote on the case."""

    by: str
    at: Annotated[str, Field(description="ISO 8601 with an offset")]
    text: str = ""
    verdict: Annotated[
        str | None, Field(description="this person's own verdict, where they gave one")
    ] = None
    blind: Annotated[
        bool, Field(description="whether they gave it without seeing the verdict of unmask")
    ] = False


class Made(Fact):
    """By whom, when and how the case was made: as given, not checked."""

    by: Annotated[str | None, Field(description="as given; null where nobody was named")] = None
    at: Annotated[str, Field(description="ISO 8601 with an offset; as given, else the clock's")]
    at_given: Annotated[bool, Field(description="whether the time was given; else this clock's")]
    command: Annotated[str, Field(description="the command as given, quoted for a shell")]


class FaceEvidence(Fact):
    """One face's verdict and score."""

    face: Annotated[int, Field(ge=1, description="1 is the largest lasting one: the verdict's")]
    verdict: Verdict
    reason: Annotated[str | None, Field(description="why it is UNSURE; null for the others")] = None
    probability_fake: Annotated[Share, Field(description="the calibrated score")]
    probability_low: Annotated[
        Share | None, Field(description="of the interval over frames; null for few frames")
    ] = None
    probability_high: Share | None = None
    interval_level: Share | None = None
    agreement: Annotated[
        Share | None, Field(description="share of halves of the frames with the same verdict")
    ] = None
    log10_lr: Annotated[
        float | None,
        Field(description="log10 of the likelihood ratio, fake against real; null: there is none"),
    ] = None
    log10_lr_low: float | None = None
    log10_lr_high: float | None = None
    likelihood: Annotated[str | None, Field(description="the ratio in words")] = None
    novelty: Annotated[
        float | None, Field(description="distance from the training videos; above 1: unlike them")
    ] = None
    frames_used: int
    faces_found: Annotated[int, Field(description="frames in which the face detector saw it")]
    start_seconds: float
    end_seconds: float
    jumps: Annotated[int, Field(description="how often it leaves its place between two frames")]
    box: Annotated[Box, Field(description="of its crop in the middle of its time")]


class Judgement(Fact):
    """The verdict on the video: that of its first face."""

    kind: Annotated[
        Literal["video", "frames", "image"],
        Field(
            description="frames: the evidence is a folder of them, and its sha256 is over their "
            "order and bytes; image: one image, judged by itself"
        ),
    ] = "video"
    verdict: Verdict
    reason: str | None = None
    probability_fake: Share
    threshold: Annotated[float, Field(description="at or above it the verdict is FAKE")]
    log10_lr: float | None = None
    log10_lr_low: float | None = None
    log10_lr_high: float | None = None
    likelihood: str | None = None
    novelty: float | None = None
    prior: Annotated[Share | None, Field(description="share of fakes, as given")] = None
    posterior_fake: Annotated[Share | None, Field(description="from this prior")] = None
    frames_used: int
    faces_found: int
    faces: tuple[FaceEvidence, ...]
    given_box: Annotated[
        str | None,
        Field(
            description="X,Y,WIDTH,HEIGHT or X,Y,WIDTH,HEIGHT@SECONDS of the face that a person "
            "pointed at; null for the largest lasting one"
        ),
    ] = None
    pixels_note: str | None = None
    picture_note: str | None = None
    source_note: Annotated[
        str | None,
        Field(description="how a folder of frames was understood, or what judged an image"),
    ] = None


class Detector(Fact):
    """What judged: the bundle and its network."""

    bundle: Annotated[str, Field(description="its path as given")]
    bundle_sha256: Annotated[
        Digest, Field(description="of its bundle.json, which holds the digests of its weights")
    ]
    backbone: str
    backbone_sha256: Annotated[str, Field(description="over the weights")]
    precision: Annotated[str, Field(description="of the network's arithmetic")]
    training: Annotated[str, Field(description="what it learnt from, and its test result")]
    warning: Annotated[str | None, Field(description="what must be read before the verdict")] = None


class Crop(Fact):
    """A face as it was cut from a frame, not scaled: a PNG file of the case."""

    file: str
    face: Annotated[int, Field(ge=1)]
    number: Annotated[int, Field(ge=1, description="of the frame among those of this face")]
    seconds: Annotated[float, Field(description="on the video stream's own clock")]
    box: Annotated[Box, Field(description="that the network was given, scaled, from this frame")]
    pixels: Annotated[
        tuple[int, int, int, int],
        Field(description="x0, y0, x1, y1 of the PNG in the frame as shown: whole pixels"),
    ]
    face_found: Annotated[
        bool | None,
        Field(
            description="false: the face's place here is guessed; null: faces are not looked for, "
            "the middle of the picture is taken"
        ),
    ]


class Machine(Fact):
    """On what it was computed."""

    system: str
    architecture: str
    processor: str
    matrix_units: Annotated[
        tuple[str, ...], Field(description="as Linux names them; which one decides the rounding")
    ]


class CaseRecord(Fact):
    """A case: one video, the verdict on it, and what it rests on."""

    format: Literal["unmask-case"] = "unmask-case"
    version: Literal[1] = 1
    evidence: Evidence
    made: Made
    judgement: Judgement
    detector: Detector
    declared: Annotated[
        Declared, Field(description="what the file says of itself; no part of the verdict")
    ]
    crops: tuple[Crop, ...] = ()
    crops_note: Annotated[str, Field(description="how many of how many frames they are")] = ""
    limits: Annotated[tuple[str, ...], Field(description="what the verdict does not mean")]
    notes: Annotated[tuple[Note, ...], Field(description="of people, as given")] = ()
    tools: Annotated[dict[str, str], Field(description="program or package -> version")]
    machine: Machine
