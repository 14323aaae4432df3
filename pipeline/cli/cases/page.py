"""The page of a judged video, drawn once or twice: by itself, and in a case file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.explanation.occlusion import HeatMap
from pipeline.case.record import CaseRecord
from pipeline.inference.predict import heat_maps
from pipeline.inference.sources import file_facts
from pipeline.inference.verdict import FileFacts, Judged, Prediction
from pipeline.reporting.verdict_page import render_verdict


@dataclass(frozen=True, kw_only=True)
class VerdictPage:
    """A judged video with what its page needs beside it, which takes seconds to compute."""

    prediction: Prediction
    judged: Judged
    heats: Mapping[int, HeatMap]
    file: FileFacts

    @classmethod
    def of(cls, prediction: Prediction, judged: Judged) -> VerdictPage:
        """Computes the heat maps and reads the file's header; the video must have a verdict."""
        heats = heat_maps(judged)
        return cls(prediction=prediction, judged=judged, heats=heats, file=file_facts(judged))

    def __call__(self, command: str, case: CaseRecord | None = None) -> str:
        """The page; `command` is what to type for it."""
        assert self.judged.bundle is not None  # noqa: S101 - it has a verdict
        return render_verdict(
            self.judged.bundle,
            self.judged,
            heats=self.heats,
            file=self.file,
            provenance=self.prediction.provenance,
            command=command,
            case=case,
        )
