"""The database of cases: nothing is lost, nothing hidden is told, another program's is refused."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import OutputError, StoreError
from pipeline.app.settings import MOST_ATTEMPTS
from pipeline.app.store import runs as runs_module
from pipeline.app.store.cases import Cases, UnknownCaseError
from pipeline.app.store.database import NAME, Database
from pipeline.app.store.runs import BusyError, Runs
from tests.pipeline.app.conftest import judge


@pytest.fixture
def database(tmp_path):
    opened = Database(tmp_path / NAME)
    yield opened
    opened.close()


@pytest.fixture
def cases(database) -> Cases:
    return Cases(database, {})


def digest(number: int) -> str:
    return f"{number:06x}".ljust(64, "0")


def add(cases: Cases, number: int = 0, name: str = "a.mp4", blind: bool = False) -> str:
    return cases.add(
        name=name,
        sha256=digest(number),
        size_bytes=1,
        media_type="video/mp4",
        blind=blind,
    )[0]


def test_what_is_written_is_there_after_a_restart(tmp_path):
    database = Database(tmp_path / NAME)
    case = add(Cases(database, {}))
    run = Runs(database).add(case)
    Cases(database, {}).add_note(case, author="Ann", text="x")
    database.close()
    again = Database(tmp_path / NAME)
    found = Cases(again, {}).details(case)
    assert found.runs[0].id == run
    assert found.note_list[0].author == "Ann"
    again.close()


def test_the_same_file_is_one_case(cases):
    case = add(cases, 7, "first.mp4")
    again, known = cases.add(
        name="second.mp4",
        sha256=digest(7),
        size_bytes=1,
        media_type="video/mp4",
        blind=False,
    )
    assert (again, known) == (case, True)
    assert "came again as second.mp4" in cases.details(case).events[-1].text


def test_what_was_running_is_queued_again_but_not_for_ever(database, cases):
    runs = Runs(database)
    runs.add(add(cases))
    for attempt in range(MOST_ATTEMPTS):
        taken = runs.take()
        assert taken is not None
        assert runs.get(taken.id)["attempts"] == attempt + 1
        runs.queue_again()  # the server was killed
    row = runs.get(taken.id)
    assert (row["state"], row["failure"]) == ("failed", "server")
    assert runs.take() is None


def test_runs_are_taken_in_order_and_once(database, cases):
    runs = Runs(database)
    made = [runs.add(add(cases, number)) for number in range(20)]
    taken: list[str] = []

    def take() -> None:
        while run := runs.take():
            taken.append(run.id)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(taken) == sorted(made)
    assert runs.running() == 20


def test_a_case_has_one_open_run_of_a_kind_and_the_queue_a_bound(database, cases, monkeypatch):
    runs, case = Runs(database), add(cases)
    runs.add(case)
    with pytest.raises(BusyError, match="being judged already"):
        runs.add(case)
    runs.add(case, kind="export")
    monkeypatch.setattr(runs_module, "MOST_WAITING", 2)
    with pytest.raises(BusyError, match="2 runs wait"):
        runs.add(add(cases, 1))


def test_an_ended_run_ends_once(database, cases):
    runs = Runs(database)
    run = runs.add(add(cases))
    assert runs.end(run, "cancelled")
    assert not runs.end(run, "done")
    assert runs.get(run)["state"] == "cancelled"


def test_search_finds_names_digests_and_notes(cases):
    one, two = add(cases, 0xABC, "Mayor 100%_speech.mp4"), add(cases, 2, "other.mp4")
    cases.add_note(two, author="Ann", text="sent by the mayor")

    def found(query: str) -> set[str]:
        return {case.id for case in cases.find(query=query).cases}

    assert found("mayor") == {one, two}
    assert found("mayor speech") == {one}
    assert found("000abc") == {one}
    assert found("abc") == set()
    assert found("ann") == {two}
    assert found("100%_s") == {one}
    assert found("%") == {one}
    assert found("_") == {one}
    assert found("'; DROP TABLE cases; --") == set()


@given(st.text(max_size=30))
def test_any_word_finds_the_name_that_holds_it(word):
    database = Database(Path(":memory:"))
    word = word.encode("utf-8", "replace").decode()
    cases = Cases(database, {})
    case = add(cases, name=f"x{word}y")
    # SQLite compares up to a NUL
    if "\0" not in word:
        assert [one.id for one in cases.find(query=word).cases] == [case]
    cases.find(query=word)
    database.close()


def test_a_blind_case_tells_no_verdict_anywhere(context, judged):
    case = judged("FAKE", blind=True)
    cases = context.cases
    for text in (cases.find().model_dump_json(), cases.details(case).model_dump_json()):
        assert "FAKE" not in text
        assert "0.9876" not in text
    assert cases.find(verdict="FAKE").total == 0
    assert cases.find(verdict="REAL").total == 0
    cases.add_reading(case, reader="Ann", verdict="REAL", text="blinks oddly")
    assert cases.find(verdict="FAKE").total == 1
    reading = cases.details(case).reading_list[0]
    assert (reading.reader, reading.verdict, reading.blind) == ("Ann", "REAL", True)


def test_the_second_reader_sees_not_what_the_first_said_and_is_another(context, judged):
    case, cases = judged(), context.cases
    cases.add_reading(case, reader="Ann", verdict="FAKE", text="clearly")
    cases.set_blind(case, True)
    hidden = cases.details(case).model_dump_json()
    assert "clearly" not in hidden
    assert cases.get(case).readings == 0
    with pytest.raises(ValueError, match="before"):
        cases.add_reading(case, reader="ANN", verdict="REAL", text="")
    assert cases.get(case).blind
    cases.add_reading(case, reader="Bob", verdict="REAL", text="")
    assert [(one.reader, one.blind) for one in cases.details(case).reading_list] == [
        ("Ann", False),
        ("Bob", True),
    ]


def test_showing_without_a_reading_is_recorded(context, judged):
    case = judged(blind=True)
    context.cases.set_blind(case, False)
    assert "shown without a reading" in context.cases.details(case).events[-1].text


def test_a_deleted_case_leaves_nothing_in_the_database(context, judged):
    case = judged(name="secret-name.mp4")
    context.cases.add_note(case, author="Ann", text="secret-note")
    context.cases.delete(case)
    with pytest.raises(UnknownCaseError):
        context.cases.get(case)
    for table in ("runs", "notes", "readings", "events"):
        assert context.database.all(f"SELECT * FROM {table}") == []  # noqa: S608
    context.database.run("PRAGMA wal_checkpoint(TRUNCATE)")
    kept = (context.settings.folder / NAME).read_bytes()
    assert b"secret-n" not in kept


def test_a_verdict_of_a_later_run_is_the_cases_own(context, judged):
    case = judged("FAKE")
    run = context.runs.add(case, box="1,2,30,40")
    assert context.cases.get(case).run.state == "queued"
    context.runs.take()
    judge(context, run, "REAL", 0.1)
    assert context.cases.get(case).run.verdict == "REAL"
    assert [one.verdict for one in context.cases.details(case).runs] == ["REAL", "FAKE"]


def test_other_files_are_refused_with_one_line(tmp_path):
    (tmp_path / "noise").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="is damaged"):
        Database(tmp_path / "noise")
    other = sqlite3.connect(tmp_path / "other")
    other.execute("CREATE TABLE mine (x)")
    other.close()
    with pytest.raises(StoreError, match="another program's"):
        Database(tmp_path / "other")
    Database(tmp_path / "later").close()
    later = sqlite3.connect(tmp_path / "later")
    later.execute("PRAGMA user_version = 99")
    later.close()
    with pytest.raises(StoreError, match="later version"):
        Database(tmp_path / "later")
    with pytest.raises(OutputError, match="choose another folder"):
        Database(tmp_path)


def test_a_failed_change_changes_nothing(database, cases):
    case = add(cases)

    def fail() -> None:
        with database.change():
            cases.add_note(case, author="a", text="b")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert cases.get(case).notes == 0
