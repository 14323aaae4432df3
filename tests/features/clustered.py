"""The readers and encoders of cluster workers in tests; workers import this module by name."""

from __future__ import annotations

import time
from pathlib import Path

from data.errors import StoreError
from data.faces.crops import Frames
from features.cluster.work_units import Equip
from tests.features.conftest import FakeEncoder, read_fake, turned

VERSIONS = {"test": "1"}


class FakeEquipment:
    """Made-up frames by the file's name, integer arithmetic for a backbone."""

    def __init__(self, encoder: FakeEncoder, pace_seconds: float, gate: Path | None = None) -> None:
        self.encoder = encoder
        self.versions = VERSIONS
        self.faces_seconds = 0.0
        self._pace_seconds = pace_seconds
        self._gate = gate

    def read(self, path: Path) -> Frames:
        """As `read_fake`, at a set pace, once the gate exists; a file called "bug" shows one."""
        while self._gate is not None and not self._gate.exists():
            time.sleep(0.05)
        time.sleep(self._pace_seconds)
        if "bug" in path.name:
            raise ZeroDivisionError("a bug")
        return read_fake(path)

    def augment(self, frames: Frames, sha256: str, view: int) -> Frames:
        """As `turned`."""
        return turned(frames, sha256, view)


def equip(files: dict[str, bytes], threads: int) -> FakeEquipment:
    """Takes pace and gate out of files, as the real one takes weights."""
    gate = files.get("gate", b"").decode()
    return FakeEquipment(FakeEncoder(), float(files["pace"]), Path(gate) if gate else None)


def equip_poorly(files: dict[str, bytes], threads: int) -> FakeEquipment:
    """A worker that is another one than the driver's."""
    equipment = equip(files, threads)
    equipment.versions = {"test": "2"}
    return equipment


def equip_never(files: dict[str, bytes], threads: int) -> FakeEquipment:
    """A worker whose weights are damaged."""
    raise StoreError("the weights are not those that were sent")


KNOWN: dict[str, Equip] = {
    "well": equip,
    "poorly": equip_poorly,
    "never": equip_never,
}
