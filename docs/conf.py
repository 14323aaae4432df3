"""How `make docs` builds the site: the Markdown pages of this folder, in the order of index.md.

The pages are plain Markdown, so that they can be read wherever the repository lies. What a site
needs beyond that is added here while it is built: the menu, titles of pages for their names in
links, and pictures in dark colours.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

HERE = Path(__file__).parent

project = "unmask"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 4  # links to headings, as GitHub makes them
highlight_language = "text"  # of indented blocks: commands with comments

sys.path.insert(0, str(HERE.parent))  # python.md shows functions of this checkout
autodoc_mock_imports = ["torch"]
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = "unmask"
html_static_path = ["site"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False

SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
PAGE_NAME = re.compile(r"(?:docs/)?([\w-]+)\.md")
PAGE = re.compile(r"^- \[[^\]]+\]\(([\w-]+)\.md\)", re.MULTILINE)


def contents(text: str) -> list[tuple[str, list[str]]]:
    """The headings of index.md, each with the names of the pages in the list below it."""
    parts = SECTION.split(text)[1:]
    found = [
        (title, PAGE.findall(below)) for title, below in zip(parts[::2], parts[1::2], strict=True)
    ]
    return [(title, pages) for title, pages in found if pages]


def add_menu(_app: Sphinx, name: str, source: list[str]) -> None:
    """Makes the lists of index.md the menu, too: its text stays a list of links elsewhere."""
    if name == "index":
        for title, pages in contents(source[0]):
            listed = "\n".join(pages)
            source[0] += f"\n\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n{listed}\n```\n"


def show_titles(app: Sphinx, doctree: nodes.document, _name: str) -> None:
    """Makes the text of a link, `scan.md`, the title of that page."""
    for link in doctree.findall(nodes.reference):
        named = PAGE_NAME.fullmatch(link.astext())
        if named and named[1] in app.env.titles:
            title = nodes.inline("", app.env.titles[named[1]].astext())
            link.children = []
            link += title


class DarkPictures(SphinxTransform):
    """Shows NAME-dark.png instead of NAME.png to readers whose browser has dark colours."""

    default_priority = 400

    def apply(self, **_: Any) -> None:
        for image in list(self.document.findall(nodes.image)):
            light = Path(image["uri"])
            dark = light.with_name(f"{light.stem}-dark{light.suffix}")
            if (HERE / dark).is_file():
                other = image.deepcopy()
                other["uri"] = str(dark)
                other["classes"].append("only-dark")
                image["classes"].append("only-light")
                image.parent.insert(image.parent.index(image) + 1, other)


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_menu)
    app.connect("doctree-resolved", show_titles)
    app.add_transform(DarkPictures)
