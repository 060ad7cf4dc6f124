from __future__ import annotations

import io
import json

import pytest

from lib_dreambooth.cli.output import Out, painted, standard


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_are_for_people_and_the_result_for_programs() -> None:
    people, programs = Out(io.StringIO(), io.StringIO()), Out(io.StringIO(), io.StringIO(), as_json=True)
    for out in (people, programs):
        out.line("hello")
        out.note("careful")
        out.table([("a", "bb"), ("ccc", "d")], indent=" ")
        out.result({"猫": 1})
    assert people.stdout.getvalue() == "hello\n a    bb\n ccc  d\n"  # type: ignore[attr-defined]
    assert people.stderr.getvalue() == "careful\n"  # type: ignore[attr-defined]
    assert json.loads(programs.stdout.getvalue()) == {"猫": 1}  # type: ignore[attr-defined]
    assert programs.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_events_are_one_json_value_a_line() -> None:
    out = Out(io.StringIO(), io.StringIO(), as_json=True)
    out.event({"step": 1})
    out.event({"step": 2})
    out.result({"done": True})
    lines = out.stdout.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [json.loads(line) for line in lines] == [{"step": 1}, {"step": 2}, {"done": True}]


def test_colours_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert painted("x", "red", Terminal()) == "\x1b[31mx\x1b[0m"
    assert painted("x", "red", io.StringIO()) == "x"
    assert painted("x", "", Terminal()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert painted("x", "red", Terminal()) == "x"


def test_progress_is_a_bar_on_a_terminal() -> None:
    out = Out(Terminal(), Terminal())
    with out.progress(20, "reading", "files") as advance:
        for _ in range(20):
            advance(1)
    shown = out.stderr.getvalue()  # type: ignore[attr-defined]
    assert "\r" in shown and "reading: 100%" in shown and "20/20" in shown


def test_progress_is_a_line_at_each_tenth_when_piped() -> None:
    out = Out(io.StringIO(), io.StringIO())
    with out.progress(25, "reading") as advance:
        for _ in range(5):
            advance(5)
    assert out.stderr.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "reading: 5 of 25",
        "reading: 10 of 25",
        "reading: 15 of 25",
        "reading: 20 of 25",
        "reading: 25 of 25",
    ]


def test_progress_is_silent_for_programs() -> None:
    out = Out(io.StringIO(), io.StringIO(), as_json=True)
    with out.progress(3, "reading") as advance:
        advance(3)
    assert out.stderr.getvalue() == out.stdout.getvalue() == ""  # type: ignore[attr-defined]


def test_counting_turns_totals_into_progress() -> None:
    out = Out(io.StringIO(), io.StringIO())
    with out.counting("Looking") as tell:
        for done in (0, 30, 30, 100):
            tell(done, 100)
    assert out.stderr.getvalue() == "Looking: 30 of 100\nLooking: 100 of 100\n"  # type: ignore[attr-defined]
    with out.counting("Nothing"):
        pass


def test_json_names_files_whose_names_are_no_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="cp1252"))
    out = standard(as_json=True)
    out.result({"path": "踊り \udcff.png"})
    out.stdout.flush()
    assert json.loads(raw.getvalue().decode("utf-8")) == {"path": "踊り \udcff.png"}
