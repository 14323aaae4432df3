"""What a bundle was trained on, in one line, and the warnings that stand before its verdicts.

The facts come from the bundle (`models.training_summary`), from its backbone, and from the last
evaluation on held-out people (`pipeline.evaluation.bundle_test_result`). Terminal, JSON and pages
show the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.io.progress import log
from models.backbones.fingerprint import PUBLIC
from models.bundle import Bundle
from models.evaluation.evaluate import level_percent
from models.training_summary import FILMED, RENDERED, TrainingSummary
from pipeline.evaluation.bundle_test_result import HeldOutResult, read_result
from pipeline.inference.weighing import NO_RATIOS
from pipeline.leakage import training_leaks

MOST_METHODS = 6
"""Forgery methods that the line names; the number of further ones follows."""
MOST_CHARACTERS = 40
"""Of a method's name."""
EARLIER = "a bundle of an earlier version"
HEADLINE = "Trained on rendered people alone"
WARNING = (
    "Every face in its training was rendered by code, none was filmed. On footage of real people "
    "its verdict means nothing."
)


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a bundle was trained on."""

    line: str  # people, forgeries, backbone, test result; one line, plain text
    rendered_alone: bool  # whether head and backbone were trained on rendered people alone
    result: HeldOutResult | None = None  # on held-out people, where there is one

    @property
    def warning(self) -> str | None:
        """Shown before the verdict where all training people were rendered; else None."""
        return f"{HEADLINE}. {WARNING}" if self.rendered_alone else None


def provenance_of(bundle: Bundle, folder: Path | None = None) -> Provenance:
    """Collects the facts of a bundle; its test result lies beside `folder`, where it was loaded."""
    tuned = fine_tunings(bundle)
    parts = [format_head(bundle), format_backbone(bundle, tuned)]
    result = None if folder is None else read_result(folder)
    parts.append(format_result(result))
    known = [*bundle.training.values(), *(one for run in tuned for one in (run or {}).values())]
    return Provenance(
        line="; ".join(part for part in parts if part),
        result=result,
        rendered_alone=bool(bundle.training)
        and None not in tuned
        and all(one.rendered_alone for one in known if one.videos),
    )


def warn_about(bundle: Bundle) -> None:
    """Logs what a user of this bundle must know before its verdicts."""
    for leak in training_leaks(bundle):
        log.warning(f"this bundle: {leak}")
    if bundle.pixels_note:
        log.warning(bundle.pixels_note)
    if bundle.head.likelihood_ratio is None:
        log.info(NO_RATIOS)


def fine_tunings(bundle: Bundle) -> list[dict[str, TrainingSummary] | None]:
    """The training summary of each fine-tuning of the backbone, oldest first; None where unknown.

    If the backbone was fine-tuned on no other file than the head, the head's summary stands for it.
    """
    trained_on = bundle.provenance.get("trained_on", {})
    if not trained_on:
        return []
    recorded = bundle.provenance.get("training") or [None]
    runs: list[dict[str, TrainingSummary] | None] = []
    for run in recorded:
        try:
            runs.append({name: TrainingSummary.from_json(one) for name, one in run.items()})
        except (AttributeError, KeyError, TypeError, ValueError):
            runs.append(None)
    if None in runs and seen(trained_on, "sha256s") <= seen(bundle.trained_on, "sha256s"):
        return [bundle.training or None]
    return runs


def seen(trained_on: Mapping[str, Any], what: str) -> set[str]:
    """Digests or groups of all splits."""
    return {str(one) for part in trained_on.values() for one in part.get(what, ())}


def format_head(bundle: Bundle) -> str:
    """The people and forgeries that the head was trained on."""
    train = bundle.training.get("train")
    if train is None:
        part = bundle.trained_on.get("train", {})
        videos, groups = (len(part.get(name, ())) for name in ("sha256s", "groups"))
        return (
            f"trained on {count(videos, 'video')} of {count(groups, 'group')}; whether real or "
            f"rendered people, and which forgeries, is unknown ({EARLIER})"
        )
    words = f"trained on {count(train.videos, 'video')} of {people(train)}"
    val = bundle.training.get("val")
    if val is not None and val.videos:
        words += f", validated on {val.videos} of {people(val)}"
    return f"{words}; forgeries: {forgeries(train)}"


def format_backbone(bundle: Bundle, tuned: list[dict[str, TrainingSummary] | None]) -> str:
    """Whose faces the backbone was trained on."""
    name = bundle.recipe.get("backbone")
    trained_on = bundle.provenance.get("trained_on", {})
    if not trained_on:
        public = name in PUBLIC or name == "resnet50-random"
        return f"backbone {name}, {'not fine-tuned' if public else 'its training unknown'}"
    if seen(trained_on, "groups") <= seen(bundle.trained_on, "groups"):
        return f"backbone {name}, fine-tuned on the same people"
    runs = [
        people(run["train"])
        if run and "train" in run
        else "people unknown whether real or rendered"
        for run in tuned
    ]
    return f"backbone {name}, fine-tuned on {' and before on '.join(reversed(runs))}"


def format_result(result: HeldOutResult | None) -> str:
    """The AUC on held-out people."""
    if result is None:
        return "test result: none, not evaluated on held-out people"
    auc, tested = result.auc, result.tested_on
    return (
        f"test result: AUC {auc.value:.3f} ({level_percent(result.confidence)} % interval "
        f"{auc.low:.2f} to {auc.high:.2f}) on {count(tested.videos, 'video')} of {people(tested)}"
    )


def people(summary: TrainingSummary) -> str:
    """The number of groups, and whether they are real or rendered."""
    kinds = {kind: number for kind, number in summary.origins.items() if number}
    words = {FILMED: "real", RENDERED: "rendered"}
    if len(kinds) == 1:
        (kind,) = kinds
        if kind in words:
            return count(summary.groups, f"{words[kind]} person", f"{words[kind]} people")
        return f"{count(summary.groups, 'person', 'people')} (real or rendered: not recorded)"
    parts = [f"{number} {words.get(kind, 'not recorded')}" for kind, number in kinds.items()]
    return f"{count(summary.groups, 'person', 'people')} ({', '.join(parts)})"


def forgeries(summary: TrainingSummary) -> str:
    """The methods with how many videos each, the most frequent first."""
    ranked = sorted(summary.methods.items(), key=lambda one: (-one[1], one[0]))
    named = [f"{name[:MOST_CHARACTERS]} {number}" for name, number in ranked[:MOST_METHODS]]
    if len(ranked) > MOST_METHODS:
        named.append(f"and {len(ranked) - MOST_METHODS} more")
    return ", ".join(named) or "none"


def count(number: int, word: str, several: str | None = None) -> str:
    """A number with its noun."""
    return f"{number} {word if number == 1 else several or f'{word}s'}"
