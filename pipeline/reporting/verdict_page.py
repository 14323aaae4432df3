"""The page of one video: the verdict, how sure it is, what moved it, and what it does not mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.bundle import Bundle
from models.evaluation.likelihood_ratio import interval_in_words, ratio_in_words
from models.explanation.occlusion import CELLS, PATCH_CELLS, HeatMap
from models.explanation.score_interval import INTERVAL_LEVEL
from pipeline.case.record import CaseRecord
from pipeline.evaluation.model_card import bundle_facts
from pipeline.evaluation.similar_videos import tests_like
from pipeline.inference.limits import limits_of
from pipeline.inference.provenance import HEADLINE, WARNING, Provenance
from pipeline.inference.verdict import FileFacts, Judged
from pipeline.leakage import networks_trained_on, training_leaks
from pipeline.reporting.charts.primitives import unit_axis
from pipeline.reporting.page import picture, render, sentence
from pipeline.reporting.sections.case import case_cards
from pipeline.reporting.sections.declared import declared_cards
from pipeline.reporting.verdict_faces import boxes, face_section

FEW = 0.5
"""A face that is seen in fewer of its frames gets a warning."""


def render_verdict(
    bundle: Bundle,
    judged: Judged,
    *,
    heats: Mapping[int, HeatMap],
    file: FileFacts,
    provenance: Provenance,
    command: str,
    case: CaseRecord | None = None,
) -> str:
    """Writes the page of one video that has a verdict, as text.

    Args:
        bundle: what judged it.
        judged: the video, its faces and their scores.
        heats: number of a face -> what moved its score; a face without one has no such section.
        file: what the video's header says.
        provenance: of the bundle.
        command: what to type for this page.
        case: where the page is part of a case file, what stands in it beside the verdict.
    """
    assert judged.frames is not None  # noqa: S101 - a video with a verdict has frames
    main, still = judged.faces[0], judged.frames.still
    declared = file.declared if case is None else case.declared
    calibration, threshold = bundle.head.calibration, bundle.head.threshold
    ratio = bundle.head.likelihood_ratio
    ends = [end for end in (main.score.low, main.score.high) if end is not None]
    tested = None
    if provenance.result and judged.verdict.kind != "image":  # the test was of videos
        tested = provenance.result.tested
    verdicts = dict.fromkeys(calibration.verdict(end, threshold) for end in ends)
    return render(
        "verdict.jinja",
        name=Path(judged.verdict.video).name,
        verdict=judged.verdict,
        main=main.score,
        calibration=calibration,
        threshold=threshold,
        likelihood_ratio=ratio,
        ratio_interval=interval_in_words(main.verdict.log10_lr_low, main.verdict.log10_lr_high),
        ratio_bounds=""
        if ratio is None
        else f"{ratio_in_words(ratio.lower)} to {ratio_in_words(ratio.upper)}",
        novelty=bundle.novelty,
        axis=unit_axis("P(fake)", room=0),
        interval_level=INTERVAL_LEVEL,
        others=[one for one in verdicts if one != main.verdict.verdict],
        provenance=provenance,
        tested=tested,
        overall=tested.overall if tested else None,
        tests_like=tests_like(tested, file.quantities) if tested else [],
        headline=HEADLINE,
        caution_words=WARNING,
        warnings=warnings(bundle, judged),
        scene=None if still is None else picture(still.pixels),
        scene_seconds=None if still is None else still.timestamp_seconds,
        boxes=[] if still is None else boxes(judged.faces, still),
        faces=[
            face_section(one, heats.get(one.verdict.face), threshold, calibration)
            for one in judged.faces
        ],
        hidden_share=PATCH_CELLS / CELLS,
        limits=limits_of(bundle, judged),
        case=case,
        case_cards=None if case is None else case_cards(case),
        declared_cards=None if declared is None else declared_cards(declared),
        cards=cards(bundle, judged, file.card, command),
    )


def warnings(bundle: Bundle, judged: Judged) -> list[str]:
    """Warnings at the top of the page, plain text."""
    main = judged.verdict
    found = [sentence(note) for note in (main.pixels_note, main.picture_note) if note]
    found += [
        f"This very file trained the {name}: the verdict on it is worth nothing."
        for name in networks_trained_on(bundle, main.sha256)
    ]
    found += [f"This bundle: {leak}." for leak in training_leaks(bundle)]
    others = [one for one in main.faces[1:] if one.verdict == "FAKE"]
    if others and main.verdict != "FAKE":
        which = ", ".join(str(one.face) for one in others)
        found.append(
            f"Another face is called FAKE: face {which}. The verdict above is the largest face's."
        )
    if judged.frames is not None and judged.frames.still is not None:
        if main.faces[0].jumps:
            found.append(
                f"Face 1 jumps {main.faces[0].jumps} times, at a cut or to another person: the "
                "largest face is followed so, as in training. Its parts that last follow as faces "
                "of their own; read their scores."
            )
        for one in main.faces:
            if one.faces_found < FEW * one.frames_used:
                found.append(
                    f"Face {one.face} is seen in {one.faces_found} of {one.frames_used} frames "
                    "only; in the others its place is guessed."
                )
    return found


def cards(
    bundle: Bundle, judged: Judged, file_facts: Mapping[str, str], command: str
) -> dict[str, dict[str, Any]]:
    """Facts about the file, the recipe, the bundle, and how to do it again."""
    recipe = dict(bundle.recipe)
    frames = recipe.pop("frames", {})
    return {
        "File": {"name": judged.verdict.video, "sha256": judged.verdict.sha256, **file_facts},
        "Bundle": bundle_facts(bundle),
        "Recipe": recipe | {f"frames.{key}": value for key, value in frames.items()},
        "Again": {"command": command, **(bundle.versions or {})},
    }
