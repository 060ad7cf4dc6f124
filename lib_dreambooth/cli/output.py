"""What a command says: lines for people, or one JSON value for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO

from lib_dreambooth.base.errors import SettingsError, UserError

COLOURS = {"red": "31", "yellow": "33", "green": "32", "bold": "1", "dim": "2"}
# Plain progress says a line at each tenth.
PLAIN_PARTS = 10

Advance = Callable[[int], None]


class Out:
    """Lines go to `stdout` and are left out with `as_json`; notes and progress go to `stderr`."""

    def __init__(self, stdout: TextIO, stderr: TextIO, *, as_json: bool = False) -> None:
        self.stdout = stdout
        self.stderr = stderr
        self.as_json = as_json
        self.has_streamed = False

    def line(self, text: str = "") -> None:
        """A line of the answer, for people."""
        if not self.as_json:
            print(text, file=self.stdout)

    def note(self, text: str, colour: str = "yellow") -> None:
        """A remark beside the answer, such as a warning."""
        if not self.as_json:
            print(painted(text, colour, self.stderr), file=self.stderr)

    def table(self, rows: Sequence[Sequence[str]], *, indent: str = "") -> None:
        """Rows in columns as wide as they need to be."""
        if not rows:
            return
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            self.line((indent + "  ".join(cells)).rstrip())

    def paint(self, text: str, colour: str) -> str:
        """The text in a colour where the answer goes to a terminal."""
        return painted(text, colour, self.stdout)

    def result(self, value: Mapping[str, Any]) -> None:
        """The answer for programs; said once, at the end."""
        if self.as_json:
            text = json.dumps(value, ensure_ascii=False, indent=None if self.has_streamed else 2)
            print(text, file=self.stdout)

    def event(self, value: Mapping[str, Any]) -> None:
        """One of many answers for programs, each in a line of its own."""
        if self.as_json:
            self.has_streamed = True
            print(json.dumps(value, ensure_ascii=False), file=self.stdout, flush=True)

    def error(self, error: UserError) -> None:
        """Why the command was not done."""
        if self.as_json:
            self.result({"error": error.to_json()})
            return
        problems = error.problems if isinstance(error, SettingsError) else [error]
        for problem in problems:
            self.note(problem.sentence(), "red")

    @contextmanager
    def progress(self, total: int, label: str, unit: str = "") -> Iterator[Advance]:
        """Yields what to call with each advance: a bar on a terminal, plain lines elsewhere."""
        if self.as_json:
            yield lambda amount: None
        elif is_terminal(self.stderr):
            # Only here, so that commands without progress start without it.
            from tqdm import tqdm

            with tqdm(total=total, desc=label, unit=unit or "it", file=self.stderr) as bar:
                yield lambda amount: bar.update(amount) and None
        else:
            yield PlainProgress(self.note, total, label).advance

    @contextmanager
    def counting(self, label: str) -> Iterator[Callable[[int, int], None]]:
        """Progress of work that tells how much is done, and of how much, as it goes."""
        with ExitStack() as stack:
            advances: list[Advance] = []
            before = 0

            def tell(done: int, total: int) -> None:
                nonlocal before
                if not advances:
                    advances.append(stack.enter_context(self.progress(total, label)))
                if done > before:
                    advances[0](done - before)
                    before = done

            yield tell


class PlainProgress:
    """Progress as a line at each tenth, for logs and pipes."""

    def __init__(self, say: Callable[[str, str], None], total: int, label: str) -> None:
        self.say = say
        self.total = max(1, total)
        self.label = label
        self.done = 0

    def advance(self, amount: int) -> None:
        """Adds to what is done."""
        before = self.done * PLAIN_PARTS // self.total
        self.done += amount
        if self.done * PLAIN_PARTS // self.total > before:
            self.say(f"{self.label}: {self.done} of {self.total}", "")


def painted(text: str, colour: str, stream: TextIO) -> str:
    """The text in a colour where a stream shows colours."""
    if colour not in COLOURS or not shows_colours(stream):
        return text
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


def shows_colours(stream: TextIO) -> bool:
    """Whether it is a terminal that understands colours, and nobody asked for none."""
    if not is_terminal(stream) or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    # The old Windows console prints the codes themselves; newer ones tell that they are newer.
    return os.name != "nt" or any(
        name in os.environ for name in ("WT_SESSION", "ANSICON", "TERM", "ConEmuANSI")
    )


def is_terminal(stream: TextIO) -> bool:
    """Whether a person sees the stream as it is written."""
    return bool(getattr(stream, "isatty", lambda: False)())


def standard(*, as_json: bool = False) -> Out:
    """The process's own streams; a console that cannot show a character shows a question mark."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    # JSON is UTF-8 by definition, whatever the console's code page. A broken name of a file comes out as
    # \udcff, which is how JSON writes it; naming an encoding alone would turn errors back to strict.
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if as_json and reconfigure is not None:
        reconfigure(encoding="utf-8", errors="backslashreplace")
    return Out(sys.stdout, sys.stderr, as_json=as_json)
