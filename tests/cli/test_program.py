from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth.base.errors import Cancelled, FileError, SettingsError, UserError
from lib_dreambooth.cli import program
from lib_dreambooth.cli.output import Out
from lib_dreambooth.cli.table import ROWS, Row

ROOT = Path(__file__).resolve().parents[2]
Handler = Callable[[argparse.Namespace, Out], int]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def outputs(*, as_json: bool = False, terminal: bool = False) -> Out:
    kind = Terminal if terminal else io.StringIO
    return Out(kind(), kind(), as_json=as_json)


def said(out: Out) -> tuple[str, str]:
    assert isinstance(out.stdout, io.StringIO) and isinstance(out.stderr, io.StringIO)
    return out.stdout.getvalue(), out.stderr.getvalue()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Handler], tuple[Row, ...]]]:
    """Makes a table with one command, `work`, that does what the test wants."""

    def make(handler: Handler) -> tuple[Row, ...]:
        module = types.ModuleType("work_command")
        module.add = lambda parser: parser.add_argument("--size", type=int, default=1)  # type: ignore[attr-defined]
        module.run = handler  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "work_command", module)
        return (Row("work", "work_command", "does the work", takes_settings=True),)

    yield make


def raising(error: BaseException) -> Handler:
    def handler(args: argparse.Namespace, out: Out) -> int:
        raise error

    return handler


BAD = UserError("the cat is out.", where="bag", todo="Fetch it.")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BAD, 2),
        (FileError("gone.", where="a.png"), 2),
        (SettingsError([BAD, UserError("two.", where="b")]), 2),
        (KeyboardInterrupt(), 130),
        (Cancelled(), 130),
        (RuntimeError("a bug"), 1),
        (AssertionError(), 1),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_endings_have_their_exit_codes(
    error: BaseException,
    code: int,
    as_json: bool,
    command: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    out = outputs(as_json=as_json)
    assert program.main(["work"], command(raising(error)), out) == code
    answer, remarks = said(out)
    if as_json and code != 130:
        assert json.loads(answer)["error"]["code"]
    elif not as_json:
        assert answer == "" and remarks.strip()
    assert "Traceback" not in remarks


def test_an_error_is_a_sentence_and_each_problem_a_line(command: Any) -> None:
    out = outputs()
    program.main(["work"], command(raising(SettingsError([BAD, UserError("two.", where="b")]))), out)
    assert said(out)[1] == "bag: the cat is out. Fetch it.\nb: two.\n"


def test_an_error_as_json_is_one_object_on_stdout(command: Any) -> None:
    out = outputs(as_json=True)
    program.main(["work"], command(raising(BAD)), out)
    answer, remarks = said(out)
    assert json.loads(answer) == {
        "error": {"code": "bad-input", "what": "the cat is out.", "where": "bag", "todo": "Fetch it."}
    }
    assert remarks == ""


def test_a_bug_keeps_its_traceback_in_a_log(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    out = outputs()
    assert program.main(["work"], command(raising(RuntimeError("a bug"))), out) == 1
    (log,) = tmp_path.rglob("error-*.log")
    assert "RuntimeError: a bug" in log.read_text("utf-8") and "Traceback" in log.read_text("utf-8")
    assert str(log) in said(out)[1]


def test_arguments_and_settings_reach_the_command(command: Any) -> None:
    seen = []

    def handler(args: argparse.Namespace, out: Out) -> int:
        seen.append((args.size, args.setting_pairs))
        return 0

    words = [
        "work",
        "--rates.learning_rate",
        "5e-5",
        "--size",
        "3",
        "--set",
        "network.rank=4",
        "--pictures.flip",
    ]
    assert program.main(words, command(handler), outputs()) == 0
    assert seen == [(3, [("rates.learning_rate", "5e-5"), ("network.rank", "4"), ("pictures.flip", "true")])]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["wrok"], 'no command "wrok"'),
        (["work", "--sizes", "1"], "unrecognized arguments"),
        (["work", "--size", "big"], "invalid int value"),
        (["work", "--set", "rank4"], "no equals sign"),
        (["work", "--rates.learning_rate"], "value is missing"),
        (["work", "more"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments_are_bad_input(words: list[str], part: str, command: Any) -> None:
    out = outputs()
    assert program.main(words, command(lambda args, out: 0), out) == 2
    assert part in said(out)[1]


@pytest.mark.parametrize("words", [[], ["--help"], ["help"]])
def test_the_overview_names_every_command(words: list[str]) -> None:
    out = outputs()
    assert program.main(words, ROWS, out) == 0
    for row in ROWS:
        assert row.name in said(out)[0] and row.summary in said(out)[0]


def test_every_command_can_be_imported_and_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    for row in ROWS:
        assert program.main([row.name, "--help"], ROWS, outputs()) == 0
        shown = capsys.readouterr().out
        assert "exit codes" in shown and ("--set" in shown) == row.takes_settings


def test_without_a_command_the_page_is_started(command: Any) -> None:
    rows = (Row("ui", command(lambda args, out: 7)[0].module, "the page"), *ROWS)
    assert program.main([], rows, outputs()) == 7


def test_names_of_commands_are_unique() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_the_module_runs_and_is_light() -> None:
    """In a process of its own: help for programs, without anything heavy imported."""
    script = (
        "import sys; from lib_dreambooth.app import main; code = main(['--json', '--help']);"
        "heavy = [m for m in ('torch', 'numpy', 'tqdm', 'tomlkit') if m in sys.modules];"
        "sys.exit(code or (3 if heavy else 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    said = [row["name"] for row in json.loads(done.stdout)["commands"]]
    assert said == ["ui", *(row.name for row in ROWS)]


def test_a_reader_that_leaves_is_no_failure(command: Any) -> None:
    script = "import sys; from lib_dreambooth.app import main;sys.exit(main(['settings', 'list']))"
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 0 and errors == b""
