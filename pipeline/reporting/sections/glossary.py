"""Links the terms of a page to its glossary, which stands at the page's end.

`with_glossary` links each term where a page uses it first, to a section that it appends with the
terms of that page. So a page explains itself wherever it lies, without a network. docs/glossary.md
has all of them; a test holds it equal.
"""

from __future__ import annotations

import re
from functools import cache

from jinja2 import Environment, pass_environment
from markupsafe import Markup

from pipeline.reporting.sections.terms import TERMS, Term

SILENT = frozenset(("a", "code", "pre", "svg", "h1", "h2", "h3", "title", "summary", "dd", "button",
                    "option", "label"))  # fmt: skip
"""Elements in whose text nothing is linked: headings, charts, commands, facts out of files."""
QUIET = re.compile(r'class="(?:path|verdict)\b')
"""Elements of these classes are silent, too: names of files, and what is as large as a verdict."""
TOKEN = re.compile(r"(<[^>]*>)")
"""A tag; in the text of a template, and in escaped values, no other `<` or `>` stands."""


@cache
def _pattern() -> re.Pattern[str]:
    """All forms of all terms, the longest first; each group is named after its term's number."""
    forms = [(form, number) for number, one in enumerate(TERMS) for form in one.forms]
    forms.sort(key=lambda one: -len(one[0]))
    parts = [f"(?P<t{number}_{at}>{form})" for at, (form, number) in enumerate(forms)]
    return re.compile(rf"(?<![\w./-])(?:{'|'.join(parts)})(?![\w/-]|\.\w)")


def link_terms(html: str) -> tuple[Markup, list[Term]]:
    """Links each term where it is used first, outside of headings, charts and commands.

    Args:
        html: of a page's body, its values escaped.

    Returns:
        The same with links, and the terms that are linked, by name.
    """
    used: dict[int, Term] = {}
    silent: list[str] = []
    pieces = TOKEN.split(html)
    for at, piece in enumerate(pieces):
        if at % 2:
            _enter(piece, silent)
        elif not silent and piece.strip():
            pieces[at] = _pattern().sub(lambda found: _linked(found, used), piece)
    ranked = sorted(used.values(), key=lambda one: one.name.casefold())
    return Markup("".join(pieces)), ranked  # noqa: S704 - only links were added to escaped text


def _enter(tag: str, silent: list[str]) -> None:
    """Keeps track of the silent elements that are open."""
    found = re.match(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)", tag)
    if found is None or tag.endswith("/>"):
        return
    name = found[2].casefold()
    if found[1]:
        if silent and silent[-1] == name:
            silent.pop()
    elif name in SILENT or QUIET.search(tag) or (silent and name == silent[-1]):
        silent.append(name)


def _linked(found: re.Match[str], used: dict[int, Term]) -> str:
    assert found.lastgroup is not None  # noqa: S101 - each alternative is a group
    number = int(found.lastgroup[1:].partition("_")[0])
    if number in used:
        return found[0]
    used[number] = TERMS[number]
    return f'<a class="term" href="#{TERMS[number].anchor}">{found[0]}</a>'


@pass_environment
def with_glossary(environment: Environment, body: str) -> Markup:
    """A Jinja filter: the body of a page with its terms linked, and the glossary of these."""
    linked, terms = link_terms(body)
    return linked + Markup(environment.get_template("glossary.jinja").render(terms=terms))  # noqa: S704


def as_markdown() -> str:
    """docs/glossary.md."""
    head = (
        "# Glossary\n\n"
        "The terms of unmask's pages in plain words. Each page links a term where it uses it "
        "first, and has those\nthat it uses at its end. `python -m tests.pipeline.reporting."
        "publish_glossary` writes this from\n`pipeline/reporting/sections/terms.py`.\n\n"
        "| term | meaning |\n| --- | --- |\n"
    )
    return head + "".join(f"| **{one.name}** | {one.text} |\n" for one in TERMS)
