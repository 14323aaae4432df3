"""What a verdict does not mean: said at the end of each page, and in each case file."""

from __future__ import annotations

from models.bundle import Bundle
from pipeline.inference.verdict import Judged

OF_REAL = (
    "REAL means that nothing like the forgeries in training was seen. A program of another kind "
    "may leave nothing of that kind."
)
OF_IMAGES = (
    "One image was judged. The detector learnt from videos, and was calibrated on single frames of "
    "them: photographs, of other cameras and compressions, may score otherwise.",
    "A video's forgeries often betray themselves by what changes from frame to frame. Nothing of "
    "that can be seen in one image, so that REAL means less than it does for a video.",
    "No likelihood ratio is told for one image, nor how often the detector errs on images: neither "
    "was measured.",
    OF_REAL,
    "REAL does not mean untouched: the face alone was looked at, not text or background.",
    "FAKE says neither who made it, nor how, nor why.",
    "The heat map shows what moved this score, not where a forgery is.",
)


def limits_of(bundle: Bundle, judged: Judged) -> tuple[str, ...]:
    """Sentences about one verdict, plain text."""
    if judged.verdict.kind == "image":
        chosen = judged.verdict.given_box is not None
        return (*OF_IMAGES, "A person chose the face by a box.") if chosen else OF_IMAGES
    found = [
        "A score is evidence, not proof. P(fake) is calibrated on the validation videos of the "
        "training; for other cameras, compressions and forgery methods, or where forgeries are "
        "rarer or more frequent, it is not the share of fakes among such videos.",
    ]
    if bundle.head.likelihood_ratio is not None:
        found.append(
            "A likelihood ratio is not the probability that the video is a fake: that depends on "
            "how many of such videos are fakes, too. The option --prior 0.01 of unmask predict "
            "adds it for one in a hundred."
        )
    found += [
        "A test result, if one stands above, is of other videos: this one may be of a kind that "
        "was not among them. unmask evaluate writes a report with more.",
        "The interval covers the choice of frames alone. The detector's own error is larger.",
        OF_REAL,
        f"REAL does not mean untouched: {judged.verdict.frames_used} frames of a face were looked "
        "at, and neither sound, nor text, nor background, nor what lies between those frames.",
        "FAKE says neither who made it, nor how, nor why.",
        "The heat map shows what moved this score, not where a forgery is. Two parts that tell the "
        "same can both look cold, since each alone is not missed.",
    ]
    if judged.verdict.given_box is not None:
        found.append("A person chose the face by a box; other faces were not looked at.")
    elif judged.frames is not None and judged.frames.still is not None:
        found.append(
            "Faces that are seen in less than a quarter of the frames, or in fewer than the head "
            "needs, are left out, and so are all beyond the eighth."
        )
    return tuple(found)
