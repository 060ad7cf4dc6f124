"""Commands as a person and as a program call them."""

from __future__ import annotations

import io
import json
from typing import Any

from lib_dreambooth.cli import program
from lib_dreambooth.cli.output import Out
from lib_dreambooth.cli.table import ROWS


def text(*words: str, code: int = 0) -> tuple[str, str]:
    """What a command says to people: answer and remarks."""
    out = Out(io.StringIO(), io.StringIO())
    found = program.main(words, ROWS, out)
    assert isinstance(out.stdout, io.StringIO) and isinstance(out.stderr, io.StringIO)
    assert found == code, out.stderr.getvalue()
    return out.stdout.getvalue(), out.stderr.getvalue()


def data(*words: str, code: int = 0) -> Any:
    """What a command says to programs."""
    out = Out(io.StringIO(), io.StringIO(), as_json=True)
    assert program.main(words, ROWS, out) == code
    assert isinstance(out.stdout, io.StringIO) and isinstance(out.stderr, io.StringIO)
    assert out.stderr.getvalue() == ""
    return json.loads(out.stdout.getvalue())
