"""The process that judges one video: loads the detector, waits for a run, tells what it does.

It is started ahead, so that the detector is loaded when a video comes. It talks to the server in
lines of JSON over a pipe, never in pickles: what it says may stem from a hostile video. Memory is
bounded by the system (RLIMIT_DATA), time by the server.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import UnmaskError, VideoError
from data.faces.given_box import GivenBox
from data.operating_system.processes import be_nice, limit_this_process

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from features.extraction.batches import Encoder, LoadableEncoder
    from models.bundle import Bundle
    from models.explanation.occlusion import HeatMap
    from pipeline.case.record import CaseRecord
    from pipeline.inference.provenance import Provenance
    from pipeline.inference.verdict import FileFacts, Judged

NICENESS = 5
"""The server answers first, and what else the person does."""
MOST_LINE_BYTES = 1 << 20
"""Longest message that the server takes from this process."""
PAGE, VERDICT = "page.html", "verdict.json"

Tell = Callable[[dict[str, Any]], None]
"""Sends a message to the server."""


def work(link: Connection, bundle: str, memory_bytes: int) -> None:
    """Loads the detector, judges one video and ends.

    Args:
        link: to the server.
        bundle: folder of the detector.
        memory_bytes: that this process may take.
    """
    be_nice(NICENESS)
    bound_memory(memory_bytes)
    tell = partial(_send, link)
    try:
        detector = _load(Path(bundle))
        tell({"ready": detector.facts()})
    except UnmaskError as error:
        tell({"broken": str(error)})
        os._exit(0)
    except MemoryError:
        tell({"broken": f"it needs more than {_gib(memory_bytes)}; give it more with --memory"})
        os._exit(0)
    try:
        job = json.loads(link.recv_bytes())
    except (EOFError, OSError):  # the server has no more use for it
        os._exit(0)
    try:
        detector.judge(job, tell)
        tell({"done": True})
    except VideoError as error:
        tell({"failed": error.failure, "message": str(error)})
    except UnmaskError as error:
        tell({"failed": type(error).__name__, "message": str(error)})
    except MemoryError:
        tell({
            "failed": "memory",
            "message": f"this video needs more than {_gib(memory_bytes)}; give it more with "
            "--memory",
        })  # fmt: skip
    # A library's threads may still be at work; nothing is left to write.
    os._exit(0)


def bound_memory(memory_bytes: int) -> None:
    """Limits memory, not address space, of which OpenVINO reserves much more than it uses."""
    limit_this_process(data_bytes=memory_bytes)  # and no core dump of confidential pictures
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _gib(memory_bytes: int) -> str:
    return f"{memory_bytes / (1 << 30):g} GiB of memory"


def _send(link: Connection, message: dict[str, Any]) -> None:
    link.send_bytes(json.dumps(message, allow_nan=False).encode())


class Detector:
    """A loaded bundle."""

    def __init__(self, folder: Path, bundle: Bundle, provenance: Provenance) -> None:
        self._folder = folder
        self._bundle = bundle
        self._provenance = provenance
        self._recipe = bundle.recipe
        self._encoder = WatchedEncoder(bundle.encoder(_precision(bundle)))
        self._encoder.load()

    def facts(self) -> dict[str, Any]:
        """What the page says of it."""
        return {
            "line": self._provenance.line,
            "warning": self._provenance.warning,
            "minimum_frames": self._recipe["frames"].get("minimum_frames"),
        }

    def judge(self, job: Mapping[str, Any], tell: Tell) -> None:
        """Judges a run's video and writes its files.

        Args:
            job: `path`, `name`, `box`, `out`, and of a case file `case`.
            tell: sends messages.

        Raises:
            VideoError: the video gave no verdict.
        """
        from pipeline.inference.predict import (
            heat_maps,
            predict_command,
            predict_with,
        )
        from pipeline.inference.sources import file_facts

        box = None if job["box"] is None else GivenBox.parse(job["box"])
        self._encoder.tell = tell
        prediction = predict_with(
            self._bundle,
            self._provenance,
            [(job["name"], Path(job["path"]))],
            box=box,
            encoder=self._encoder,
            on_stage=lambda stage, share: tell(
                {"stage": stage} if share is None else {"share": share}
            ),
        )
        (judged,) = prediction.judged
        verdict = judged.verdict
        if verdict.verdict is None:
            raise VideoError(verdict.failure or "unreadable", verdict.message or "no verdict")  # type: ignore[arg-type]
        facts, out, path = file_facts(judged), Path(job["out"]), Path(job["path"])
        command = predict_command(self._folder, path, Path(PAGE), box=box)
        if job.get("case") is None:  # the verdict does not wait for the heat map
            self._write(out, judged, self._page(judged, {}, facts, command))
            tell({"verdict": verdict.verdict, "probability_fake": verdict.probability_fake})
        tell({"stage": "heat map"})
        self._encoder.expect(
            sum(_hidden_batches(len(one.frames.pixels), self._encoder.batch_size)
                for one in judged.faces)
        )  # fmt: skip
        heats = heat_maps(judged)
        if job.get("case") is None:
            self._write(out, judged, self._page(judged, heats, facts, command))
            return
        from pipeline.app.judging.case_file import write_archive

        tell({"stage": "case file"})
        write_archive(
            out,
            judged,
            prediction,
            bundle=self._folder,
            box=box,
            declared=facts.declared,
            render=lambda record: self._page(judged, heats, facts, record.made.command, record),
            facts=job["case"],
        )

    def _page(
        self,
        judged: Judged,
        heats: Mapping[int, HeatMap],
        facts: FileFacts,
        command: str,
        record: CaseRecord | None = None,
    ) -> str:
        """The page, as `predict --report` writes it."""
        from pipeline.reporting.verdict_page import render_verdict

        return render_verdict(
            judged.bundle or self._bundle,
            judged,
            heats=heats,
            file=facts,
            provenance=self._provenance,
            command=command,
            case=record,
        )

    def _write(self, out: Path, judged: Judged, page: str) -> None:
        """The page, and the timeline for its player."""
        from data.io.atomic_folders import replace_folder
        from pipeline.app.judging.timeline import timeline_of

        facts = timeline_of(judged).model_dump_json()
        with replace_folder(out, marker=VERDICT) as new:
            (new / PAGE).write_text(page, "utf-8")
            (new / VERDICT).write_text(facts, "utf-8")


def _load(folder: Path) -> Detector:
    from models.bundle import Bundle
    from pipeline.inference.provenance import provenance_of

    bundle = Bundle.load(folder)
    return Detector(folder, bundle, provenance_of(bundle, folder))


def _precision(bundle: Bundle) -> Any:
    from pipeline.extraction.feature_spec import scoring_recipe

    return scoring_recipe(bundle.recipe)[1].precision


def _hidden_batches(frames: int, batch_size: int) -> int:
    """Batches that one face's heat map takes."""
    from models.explanation.occlusion import CELLS, MOST_FRAMES, PATCH_CELLS

    parts = (CELLS - PATCH_CELLS + 1) ** 2
    return -(-parts * min(frames, MOST_FRAMES) // batch_size)


class WatchedEncoder:
    """An encoder that tells how many of the expected batches it has done."""

    def __init__(self, inner: LoadableEncoder) -> None:
        self.digest, self.dim, self.batch_size = inner.digest, inner.dim, inner.batch_size
        self.tell: Tell = lambda _: None
        self._inner = inner
        self._done = self._expected = 0

    def load(self) -> Encoder:
        """Loads the network."""
        self._inner.load()
        return self

    def expect(self, batches: int) -> None:
        """Counts from zero to this many."""
        self._done, self._expected = 0, batches

    def __call__(self, frames: NDArray[Any]) -> NDArray[Any]:
        """Embeds one batch."""
        embedded = self._inner(frames)
        self._done += 1
        if self._expected:
            self.tell({"share": min(1.0, self._done / self._expected)})
        return embedded
