"""The record of a simulated case: every text in it is the same."""

from __future__ import annotations

from data.declared.model import (
    Boxes,
    Credentials,
    Declared,
    Edit,
    Finding,
    Signed,
    Stream,
    Track,
)
from pipeline.case.record import CaseRecord, Crop, Detector, Evidence, Machine, Made, Note
from pipeline.case.write import judgement_of
from pipeline.inference.verdict import Judged


def declared(text: str) -> Declared:
    """What a file says of itself that has this text everywhere."""
    signed = Signed(label=text, title=text, claim_generator=text, signed_by=text,
                    common_name=text, actions=(text,), ingredients=(text,))  # fmt: skip
    return Declared(
        container=text,
        duration_seconds=1.5,
        bit_rate=1000,
        tags={text: text},
        streams=(
            Stream(
                index=0, kind=text, codec=text, profile=text, codec_tag=text, width=640,
                height=480, pixel_aspect=text, rotation_degrees=90, frame_rate=text, frames=9,
                start_seconds=0.0, tags={text: text},
            ),
        )
        * 6,
        boxes=Boxes(
            order=(text,),
            created=text,
            tracks=(
                Track(
                    number=1,
                    handler=text,
                    edits=(
                        Edit(duration_seconds=1.0, media_seconds=None, rate=1.0),
                        Edit(duration_seconds=1.0, media_seconds=0.5, rate=0.0),
                    ),
                    edits_left_out=3,
                ),
            ),
        ),
        credentials=Credentials(
            status="invalid", note=text, active=signed, earlier=(signed,),
            failures=(Finding(code=text, explanation=text),), library=text,
        ),
        notes=(text,),
    )  # fmt: skip


def case_record(judged: Judged, text: str) -> CaseRecord:
    """The record of a judged video, with this text wherever there may be one."""
    return CaseRecord(
        evidence=Evidence(name=text, sha256="0" * 64, size_bytes=1),
        made=Made(by=text, at=text, at_given=True, command=text),
        judgement=judgement_of(judged),
        detector=Detector(bundle=text, bundle_sha256="0" * 64, backbone=text,
                          backbone_sha256="0" * 64, precision=text, training=text),
        declared=declared(text),
        crops=(
            Crop(file="crops/a.png", face=1, number=1, seconds=0.5, box=(0.5, 0.5, 9.5, 9.5),
                 pixels=(0, 0, 10, 10), face_found=False),
        ),
        crops_note=text,
        limits=(text,),
        notes=(Note(by=text, at=text, text=text, verdict=text, blind=True),),
        tools={text: text},
        machine=Machine(system=text, architecture=text, processor=text, matrix_units=(text,)),
    )  # fmt: skip
