"""Writes the published schema of case.json anew: `python -m tests.pipeline.case.publish`."""

from __future__ import annotations

from pipeline.case.schema import NAME, schema_text
from tests.commands import ROOT

if __name__ == "__main__":
    for folder in (ROOT / "pipeline" / "case", ROOT / "docs"):
        (folder / NAME).write_text(schema_text(), "utf-8")
