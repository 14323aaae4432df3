"""The page of one video: the verdict, how sure it is, what moved it, and what it does not mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.errors import VideoError
from data.video.probe import probe
from data.video.reasons import reason_of
from models.bundle import Bundle
from models.evaluation.evaluate import level_percent
from models.explanation.occlusion import CELLS, PATCH_CELLS, HeatMap, Part, heat_map
from models.explanation.score_interval import INTERVAL_LEVEL
from pipeline.evaluation.model_card import calibration_facts, count_trained_on, leak_facts
from pipeline.inference.predict import Judged, JudgedFace
from pipeline.inference.provenance import HEADLINE, WARNING, Provenance, provenance_of
from pipeline.leakage import networks_trained_on, training_leaks
from pipeline.reporting.markup import card, caution, escape, sentence
from pipeline.reporting.page import document, picture, style
from pipeline.reporting.verdict_figures import heated, scale, scene, timeline

STRIP_FRAMES = 16
"""Frames of a face strip; of a longer sequence as many, spread evenly."""
STRIP_WIDTH = 128
"""Pixels of a picture in the strip."""
FEW = 0.5
"""A face that is seen in fewer of its frames gets a warning."""


def render_verdict(
    bundle: Bundle, judged: Judged, *, command: str, provenance: Provenance | None = None
) -> str:
    """Writes the page of one video that has a verdict, as text.

    Args:
        bundle: what judged it.
        judged: the video, its faces and their evidence.
        command: what to type for this page.
        provenance: of the bundle; None takes what the bundle alone tells, no test result.
    """
    learnt = provenance or provenance_of(bundle)
    assert judged.frames is not None  # noqa: S101
    verdict = judged.verdict
    title = f"Verdict on {Path(verdict.video).name}"
    figures = {
        f"timeline-{one.verdict.face}": timeline(
            one.evidence, bundle.head.threshold, bundle.head.calibration
        )
        for one in judged.faces
    }
    body = [
        f"<h1>{escape(title)}</h1>",
        caution(HEADLINE, WARNING) if learnt.rendered_alone else "",
        f'<p class="verdict {verdict.verdict}">{verdict.verdict}</p>',
        scale(
            judged.faces[0].evidence,
            bundle.head.threshold,
            bundle.head.calibration,
            str(verdict.verdict),
        ),
        f'<div class="answer">{"".join(f"<p>{line}</p>" for line in answer(bundle, judged))}'
        f"<p>This bundle: {escape(learnt.line)}.</p></div>",
        *(f'<p class="warning">{escape(line)}</p>' for line in warnings(bundle, judged)),
    ]
    if judged.frames.still is not None:
        body += ["<h2>Faces</h2>", *faces_part(judged)]
    for one in judged.faces:
        body += face_part(bundle, judged, one)
    body += ["<h2>What this does not mean</h2>", limits(judged)]
    body += ["<h2>How it was made</h2>", '<div class="pair cards">']
    body += [card(heading, facts) for heading, facts in cards(bundle, judged, command).items()]
    return document(
        title, "\n".join([*body, "</div>"]), extra_style=style("verdict.css"), figures=figures
    )


def answer(bundle: Bundle, judged: Judged) -> list[str]:
    """The verdict in words, how sure, and what the interval is; lines of HTML."""
    main = judged.faces[0]
    calibration, threshold = bundle.head.calibration, bundle.head.threshold
    lines = [
        f"{whose(judged)} gets P(fake) <strong>{main.evidence.probability_fake:.3f}</strong>; at "
        f"or above the threshold {threshold:.3f} a video is called FAKE "
        f"(chosen on validation videos by {escape(calibration.rule)})."
    ]
    if calibration.unsure_low is not None and calibration.unsure_high is not None:
        band = f"from {calibration.unsure_low:.3f} to {calibration.unsure_high:.3f}"
        lines[0] += (
            f" It lies in the band {band}, too near the threshold for a verdict: UNSURE."
            if main.verdict.verdict == "UNSURE"
            else f" Scores {band} get no verdict; this one lies outside."
        )
    evidence = main.evidence
    if evidence.low is None or evidence.high is None or evidence.agreement is None:
        lines.append("There are too few frames for an interval.")
        return lines
    ends = [calibration.verdict(one, threshold) for one in (evidence.low, evidence.high)]
    others = [one for one in dict.fromkeys(ends) if one != main.verdict.verdict]
    lines.append(
        f"{level_percent(INTERVAL_LEVEL)} % interval <strong>{evidence.low:.3f} to "
        f"{evidence.high:.3f}</strong>, from the scores of random halves of the frames, laid "
        "around the score of all: it says how the score moves with the frames that are looked at, "
        "and not how often the detector errs. "
        f"{evidence.agreement:.0%} of the halves, laid so, give the same verdict"
        + (
            f"; the interval reaches {' and '.join(others)}, so that other frames of the same "
            "video might have been judged otherwise."
            if others
            else "."
        )
    )
    return lines


def whose(judged: Judged) -> str:
    """Whose score the verdict is."""
    if judged.frames is None or judged.frames.still is None:
        return "The middle square of the picture"
    if len(judged.faces) == 1:
        return "The one lasting face"
    return f"The largest of {len(judged.faces)} lasting faces"


def warnings(bundle: Bundle, judged: Judged) -> list[str]:
    """What a reader must not overlook, plain text."""
    main = judged.verdict
    found = [sentence(note) for note in (main.pixels_note, main.picture_note) if note]
    found += [
        f"This very file trained the {name}: the verdict on it is worth nothing."
        for name in networks_trained_on(bundle, main.sha256)
    ]
    found += [f"This bundle: {mark}." for mark in training_leaks(bundle)]
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


def faces_part(judged: Judged) -> list[str]:
    """Where the faces are, and a line for each."""
    assert judged.frames is not None  # noqa: S101
    still = judged.frames.still
    assert still is not None  # noqa: S101
    boxes = []
    for one in judged.faces:
        times = one.frames.timestamps_seconds
        nearest = int(np.abs(times - still.timestamp_seconds).argmin())
        if times[0] <= still.timestamp_seconds <= times[-1]:
            boxes.append((one.verdict.face, one.frames.boxes[nearest], one.verdict.verdict))
    lines = [
        f"<li>Face {one.face}{' (the verdict)' if one.face == 1 < len(judged.faces) else ''}: "
        f'<strong class="{one.verdict}">{one.verdict}</strong>, P(fake) '
        f"{one.probability_fake:.3f}{told_interval(one.probability_low, one.probability_high)}, "
        f"{one.frames_used} frames from {one.start_seconds:.1f} to {one.end_seconds:.1f} s, "
        f"seen in {one.faces_found}</li>"
        for one in judged.verdict.faces
    ]
    when = f"The scene at {still.timestamp_seconds:.1f} s; the squares are what the network sees."
    return [
        f"<figure>{scene(still, boxes)}<figcaption>{when}</figcaption></figure>",
        f"<ul>{''.join(lines)}</ul>",
    ]


def told_interval(low: float | None, high: float | None) -> str:
    """An interval in brackets, or nothing."""
    return "" if low is None or high is None else f" ({low:.2f} to {high:.2f})"


def face_part(bundle: Bundle, judged: Judged, one: JudgedFace) -> list[str]:
    """Timeline, strip and heat of one face."""
    number = one.verdict.face
    name = f"Face {number}" if judged.frames and judged.frames.still is not None else "The picture"
    assert judged.encoder is not None  # noqa: S101
    heat = heat_map(bundle.head, judged.encoder, one.frames.pixels, one.features)
    length = len(one.evidence.windows)
    return [
        f"<h2>{name} over time</h2>",
        f"<figure><figcaption>Each point is a window of consecutive frames, scored by itself "
        f"({length} windows, coloured by verdict). A window has fewer frames than the head was "
        "trained on: read the shape, not the single value. The straight line is the score of all "
        "frames, the dashed one the threshold; scores in the shaded band "
        "are UNSURE.</figcaption>"
        f'<div class="plot" id="timeline-{number}"></div></figure>',
        strip(one),
        f"<h2>What moved the score of {name[0].lower()}{name[1:]}</h2>",
        *heat_part(one, heat),
    ]


def strip(one: JudgedFace) -> str:
    """The crops that the network saw."""
    count = len(one.frames.pixels)
    chosen = np.unique(np.linspace(0, count - 1, min(count, STRIP_FRAMES)).round().astype(int))
    pictures = []
    for index in chosen:
        when = f"{one.frames.timestamps_seconds[index]:.2f} s"
        guessed = (
            "" if one.frames.face_found[index] or not one.frames.face_found.any() else ", guessed"
        )
        image = picture(one.frames.pixels[index], f"crop at {when}", width=STRIP_WIDTH)
        pictures.append(f"<figure>{image}<figcaption>{when}{guessed}</figcaption></figure>")
    part = f", {len(chosen)} of {count} frames" if len(chosen) < count else ""
    return f'<p>What the network saw{part}:</p><div class="strip">{"".join(pictures)}</div>'


def heat_part(one: JudgedFace, heat: HeatMap) -> list[str]:
    """The map of the whole face, what hiding does, and the map of each frame."""
    frames = one.frames.pixels[heat.frame_numbers]
    middle = frames[len(frames) // 2]
    most = float(np.abs(heat.whole).max())
    whole = picture(heated(middle, heat.whole, most), "heat over the face, all frames")
    strongest = float(np.abs(heat.frames).max())
    count = len(one.frames.pixels)
    which = "the frames" if len(frames) == count else f"{len(frames)} of the {count} frames"
    singles = []
    for pixels, effects, index in zip(frames, heat.frames, heat.frame_numbers, strict=True):
        when = f"{one.frames.timestamps_seconds[index]:.2f} s"
        image = picture(heated(pixels, effects, strongest), f"heat at {when}", width=STRIP_WIDTH)
        singles.append(f"<figure>{image}<figcaption>{when}</figcaption></figure>")
    return [
        '<div class="heat">'
        f"<figure>{picture(middle, 'the face')}<figcaption>a frame</figcaption></figure>"
        f"<figure>{whole}<figcaption>hidden in all frames at once</figcaption></figure>"
        '<div><p class="key"><i style="background:#d55e00"></i> speaks for fake &nbsp; '
        '<i style="background:#009e73"></i> speaks for real</p>'
        f"<p>{told_part('Hiding', heat.hottest)} {word_change(heat, heat.hottest)}; hiding "
        f"{told_part('', heat.coldest)} {word_change(heat, heat.coldest)}.</p>"
        f"<p>A square of {PATCH_CELLS / CELLS:.0%} of the side is blurred away, {which} are "
        "embedded and scored anew: colours show how far that moves the head's log-odds of fake, "
        f"before calibration; at most {most:.2f} here. What moves the score need not be where a "
        "forgery is.</p></div></div>",
        f"<p>The same for each frame, hidden in that frame alone (at most {strongest:.2f}):</p>"
        f'<div class="strip">{"".join(singles)}</div>',
    ]


def told_part(verb: str, part: Part) -> str:
    """Where a hidden part is, in words."""
    middle = (CELLS - PATCH_CELLS) / 2
    up = "upper" if part.top < middle - 0.5 else "lower" if part.top > middle + 0.5 else "middle"
    side = "left" if part.left < middle - 0.5 else "right" if part.left > middle + 0.5 else "centre"
    return f"{verb} the {up} {side}".strip()


def word_change(heat: HeatMap, part: Part) -> str:
    """What hiding a part does to P(fake)."""
    before, after = f"{heat.probability_fake:.3f}", f"{part.probability_fake:.3f}"
    if before == after:  # the effect is in log-odds before calibration, which may flatten it
        return f"leaves P(fake) at {before}"
    return f"{'lowers' if part.effect > 0 else 'raises'} P(fake) from {before} to {after}"


def limits(judged: Judged) -> str:
    """What nobody may conclude; a list."""
    lines = [
        "A score is evidence, not proof. P(fake) is calibrated on the validation videos of the "
        "training; for other cameras, compressions and forgery methods, or where forgeries are "
        "rarer or more frequent, it is not the share of fakes among such videos.",
        "A test result, if one stands above, is of other videos: this one may be of a kind that "
        "was not among them. <code>unmask evaluate</code> writes a report with more.",
        "The interval holds the choice of frames alone. The detector's own error is larger.",
        f"REAL does not mean untouched: {judged.verdict.frames_used} frames of a face were looked "
        "at, and neither sound, nor text, nor background, nor what lies between those frames.",
        "FAKE says neither who made it, nor how, nor why.",
        "The heat map shows what moved this score, not where a forgery is. Two parts that tell "
        "the same can both look cold, since each alone is not missed.",
    ]
    if judged.frames is not None and judged.frames.still is not None:
        lines.append(
            "Faces that are seen in less than a quarter of the frames, or in fewer than the head "
            "needs, are left out, and so are all beyond the eighth."
        )
    return f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>"


def cards(bundle: Bundle, judged: Judged, command: str) -> dict[str, dict[str, str]]:
    """Facts about the file, the recipe, the bundle, and how to do it again."""
    recipe = dict(bundle.recipe)
    frames = recipe.pop("frames", {})
    head = bundle.head
    return {
        "File": {
            "name": judged.verdict.video,
            "sha256": str(judged.verdict.sha256),
            **file_facts(judged),
        },
        "Bundle": {
            "head": f"{head.config.kind}, {head.config.units} units",
            "threshold": f"{head.threshold:.6f}",
            **calibration_facts(head),
            **{f"head, {name}": count_trained_on(part) for name, part in bundle.trained_on.items()},
            **leak_facts(bundle),
        },
        "Recipe": {
            **{str(key): str(value) for key, value in recipe.items()},
            **{f"frames.{key}": str(value) for key, value in frames.items()},
        },
        "Again": {"command": command, **(bundle.versions or {})},
    }


def file_facts(judged: Judged) -> dict[str, str]:
    """What ffprobe tells of the file; it was read a moment ago, and may be gone."""
    assert judged.path is not None  # noqa: S101
    try:
        info = probe(judged.path)
    except VideoError as error:
        return {"header": f"no longer readable: {reason_of(error)}"}
    return {
        "size": f"{info.size_bytes / 1e6:.2f} MB",
        "length": f"{info.duration_seconds:.2f} s",
        "picture": f"{info.width} x {info.height}, {info.fps:.2f} frames/s",
        "codec": f"{info.codec}, {info.pixel_format}",
        "bit rate": f"{info.bit_rate / 1000:.0f} kbit/s",
    }
