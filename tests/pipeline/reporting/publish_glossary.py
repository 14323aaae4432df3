"""Writes docs/glossary.md anew: `python -m tests.pipeline.reporting.publish_glossary`."""

from __future__ import annotations

from pipeline.reporting.sections.glossary import as_markdown
from tests.commands import ROOT

if __name__ == "__main__":
    (ROOT / "docs" / "glossary.md").write_text(as_markdown(), "utf-8")
