"""The part of a verdict's page that makes it a case file: who, when, with what, which files."""

from __future__ import annotations

from pipeline.case.record import CaseRecord


def case_cards(case: CaseRecord) -> dict[str, dict[str, str]]:
    """Heading -> name of a fact -> its text."""
    made, machine = case.made, case.machine
    return {
        "Who and when": {
            "made by": made.by or "not given",
            "at": f"{made.at}, {'as given' if made.at_given else 'by the clock of this machine'}",
            "command": made.command,
        },
        "Evidence": {
            "name": case.evidence.name,
            "sha256": case.evidence.sha256,
            "size": f"{case.evidence.size_bytes} bytes",
        },
        "Detector": {
            "bundle": case.detector.bundle,
            "sha256 of bundle.json": case.detector.bundle_sha256,
            "sha256 of the backbone": case.detector.backbone_sha256,
            "arithmetic": case.detector.precision,
        },
        "Programs": {name: text for name, text in case.tools.items() if text != "not installed"},
        "Machine": {
            "system": machine.system,
            "processor": f"{machine.processor}, {machine.architecture}",
            "matrix units": ", ".join(machine.matrix_units) or "none that is known",
        },
    }
