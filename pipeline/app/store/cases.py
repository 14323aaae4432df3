"""Cases: a file with its runs, notes and readings, as the database has them.

While a case is *blind*, nothing leaves this module that tells what the detector, or an earlier
reader, made of it: neither lists nor searches nor single cases. It stops being blind when a reader
has entered a verdict of their own, or when somebody lifts it, which is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pipeline.app.store.database import Database, Values, new_id, now
from pipeline.app.store.models import Case, CaseDetails, CaseList, Event, NoteOut, ReadingOut, Run
from pipeline.app.store.runs import as_run

Order = Literal["newest", "oldest", "name"]
ORDERS: dict[str, str] = {
    "newest": "cases.created DESC, cases.id",
    "oldest": "cases.created, cases.id",
    "name": "cases.name COLLATE NOCASE, cases.id",
}
DIGEST_DIGITS = 6
"""First digits of a sha256 by which a case is found; fewer would find half of all."""
LATEST = """
  SELECT max(number) FROM runs WHERE runs.case_id = cases.id AND runs.kind = 'verdict'
"""
FROM = f"FROM cases LEFT JOIN runs ON runs.number = ({LATEST})"
COLUMNS = """
  cases.*, (SELECT count(*) FROM notes WHERE notes.case_id = cases.id) AS notes,
  (SELECT count(*) FROM readings WHERE readings.case_id = cases.id) AS readings,
  runs.number AS run_number
"""


class UnknownCaseError(LookupError):
    """There is no such case."""


class Cases:
    """All cases of one folder.

    Args:
        database: that holds them.
        shares: run -> how far its stage is, from 0 to 1, as the supervisor keeps it.
    """

    def __init__(self, database: Database, shares: Mapping[str, float]) -> None:
        self._database = database
        self._shares = shares

    def add(
        self, *, name: str, sha256: str, size_bytes: int, media_type: str, blind: bool
    ) -> tuple[str, bool]:
        """Adds a case for a file; returns its id, and whether the file was known before."""
        with self._database.change():
            known = self._database.one("SELECT id, name FROM cases WHERE sha256 = ?", [sha256])
            if known is not None:
                if known["name"] != name:
                    self.tell(known["id"], f"the same file came again as {name}")
                return str(known["id"]), True
            made = new_id()
            self._database.run(
                "INSERT INTO cases VALUES (?, ?, ?, ?, ?, ?, ?)",
                [made, name, sha256, size_bytes, media_type, now(), blind],
            )
            self.tell(made, f"file received: {size_bytes} bytes, sha256 {sha256}")
            if blind:
                self.tell(made, "the verdict is hidden until a reader has entered theirs")
            return made, False

    def find(
        self,
        *,
        query: str = "",
        state: str | None = None,
        verdict: str | None = None,
        order: Order = "newest",
        limit: int = 100,
        offset: int = 0,
    ) -> CaseList:
        """Cases with all words of `query`: in the name or the notes, or beginning the digest.

        A blind case is found by its name, digest and notes alone, never by its verdict.
        """
        where, values = ["TRUE"], list[str | int | float | None]()
        for word in query.split():
            where.append(
                "(cases.name LIKE ? ESCAPE '\\' OR cases.sha256 LIKE ? ESCAPE '\\' OR EXISTS"
                " (SELECT 1 FROM notes WHERE notes.case_id = cases.id"
                " AND (notes.text LIKE ? ESCAPE '\\' OR notes.author LIKE ? ESCAPE '\\')))"
            )
            digest = _like(word)[1:] if len(word) >= DIGEST_DIGITS else ""
            values += [_like(word), digest, _like(word), _like(word)]
        if state is not None:
            where.append("runs.state = ?")
            values.append(state)
        if verdict is not None:
            where.append("runs.verdict = ? AND NOT cases.blind")
            values.append(verdict)
        condition = " AND ".join(where)
        # Only constants of this module are put into the statement; values are bound.
        counted = self._database.one(f"SELECT count(*) AS total {FROM} WHERE {condition}", values)
        rows = self._database.all(
            f"SELECT {COLUMNS} {FROM} WHERE {condition} ORDER BY {ORDERS[order]} LIMIT ? OFFSET ?",
            [*values, limit, offset],
        )
        active = self._database.one(
            "SELECT count(*) AS runs FROM runs WHERE state IN ('queued', 'running')"
        )
        return CaseList(
            cases=[self._case(row) for row in rows],
            total=(counted or {})["total"],
            active=(active or {})["runs"],
        )

    def get(self, case: str) -> Case:
        """One case.

        Raises:
            UnknownCaseError: there is none.
        """
        return self._case(self._row(case))

    def details(self, case: str) -> CaseDetails:
        """One case with its runs, notes, readings and events; what is hidden is left out.

        Raises:
            UnknownCaseError: there is none.
        """
        row = self._row(case)
        short, hidden = self._case(row), bool(row["blind"])
        runs = self._children("runs", case)
        readings = [] if hidden else self._children("readings", case)
        return CaseDetails(
            **short.model_dump(exclude={"run"}),
            run=short.run,
            runs=[self._run(one, hidden) for one in reversed(runs)],
            note_list=[NoteOut(**_plain(one)) for one in self._children("notes", case)],
            reading_list=[ReadingOut(**_plain(one)) for one in readings],
            events=[
                Event(at=one["at"], text=one["text"]) for one in self._children("events", case)
            ],
        )

    def add_note(self, case: str, *, author: str, text: str) -> None:
        """Adds a note, which is never changed; raises UnknownCaseError."""
        self._row(case)
        self._database.run(
            "INSERT INTO notes (case_id, at, author, text) VALUES (?, ?, ?, ?)",
            [case, now(), author, text],
        )

    def add_reading(self, case: str, *, reader: str, verdict: str, text: str) -> None:
        """Adds a person's own verdict; a blind case is shown from then on.

        Raises:
            UnknownCaseError: there is none.
            ValueError: this reader gave a verdict before, so they are no second reader.
        """
        with self._database.change():
            blind = bool(self._row(case)["blind"])
            earlier = {one["reader"].casefold() for one in self._children("readings", case)}
            if reader.casefold() in earlier:
                raise ValueError(f"{reader} has entered a verdict before; add a note instead")
            self._database.run(
                "INSERT INTO readings (case_id, at, reader, verdict, text, blind)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [case, now(), reader, verdict, text, blind],
            )
            self._database.run("UPDATE cases SET blind = 0 WHERE id = ?", [case])
            self.tell(
                case,
                f"verdict of {reader} entered" + (", without seeing any other" if blind else ""),
            )

    def set_blind(self, case: str, blind: bool) -> None:
        """Hides the verdict, or shows it without a reading; raises UnknownCaseError."""
        with self._database.change():
            if bool(self._row(case)["blind"]) == blind:
                return
            self._database.run("UPDATE cases SET blind = ? WHERE id = ?", [blind, case])
            told = (
                "hidden until a reader has entered theirs" if blind else "shown without a reading"
            )
            self.tell(case, f"the verdict is {told}")

    def delete(self, case: str) -> None:
        """Removes a case and all that people entered; raises UnknownCaseError."""
        with self._database.change():
            self._row(case)
            self._database.run("DELETE FROM cases WHERE id = ?", [case])

    def tell(self, case: str, text: str) -> None:
        """Records what happened to a case."""
        self._database.run(
            "INSERT INTO events (case_id, at, text) VALUES (?, ?, ?)", [case, now(), text]
        )

    def _row(self, case: str) -> dict[str, Any]:
        row = self._database.one(
            f"SELECT {COLUMNS} {FROM} WHERE cases.id = ?",
            [case],
        )
        if row is None:
            raise UnknownCaseError(case)
        return row

    def _children(self, table: str, case: str) -> list[dict[str, Any]]:
        values: Values = [case]
        return self._database.all(
            f"SELECT * FROM {table} WHERE case_id = ? ORDER BY number",  # noqa: S608
            values,
        )

    def _run(self, row: dict[str, Any], hidden: bool) -> Run:
        return as_run(row, hidden=hidden, share=self._shares.get(row["id"]))

    def _case(self, row: dict[str, Any]) -> Case:
        hidden = bool(row["blind"])
        run = (
            None
            if row["run_number"] is None
            else self._database.one("SELECT * FROM runs WHERE number = ?", [row["run_number"]])
        )
        return Case(
            id=row["id"],
            name=row["name"],
            sha256=row["sha256"],
            size_bytes=row["size_bytes"],
            media_type=row["media_type"],
            created=row["created"],
            blind=hidden,
            run=None if run is None else self._run(run, hidden),
            notes=row["notes"],
            readings=0 if hidden else row["readings"],
        )


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row without its keys."""
    return {name: value for name, value in row.items() if name not in ("number", "case_id")}


def _like(word: str) -> str:
    """A pattern that finds a word anywhere; its own wildcards are plain signs."""
    for sign in "\\%_":
        word = word.replace(sign, f"\\{sign}")
    return f"%{word}%"
