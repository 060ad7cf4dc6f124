"""Programs in processes of their own, measured by turns."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

CHILD = Path(__file__).with_name("child.py")
LIMIT_S = 1800.0


class Died(RuntimeError):
    """A program ended before it was told to."""


class Runner:
    """A program that trains; it waits whenever it is not asked for steps."""

    def __init__(
        self,
        program: str,
        folder: Path,
        size: str,
        arguments: Sequence[str],
        log: Path,
        python: str = sys.executable,
    ) -> None:
        self.command = [program, *arguments]
        self.log = log
        listener = Listener(("127.0.0.1", 0))
        self._file = log.open("wb")
        started = time.time()
        call = [python, str(CHILD), str(listener.address[1]), str(started), program, str(folder), size]
        environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "HF_HUB_OFFLINE": "1"}
        self._process = subprocess.Popen(
            [*call, *arguments], stdout=self._file, stderr=subprocess.STDOUT, env=environment
        )
        self.link = self._joined(listener)
        self.first = self._heard()

    def steps(self, number: int) -> dict[str, Any]:
        """Takes so many steps and gives their time and the most memory since the last order."""
        found = self._asked("steps", number)
        return {**found, "steps": number}

    def counted(self) -> dict[str, Any]:
        """Takes one step whose operator calls and waits are counted."""
        return self._asked("count", 1)

    def operations(self) -> dict[str, Any]:
        """Takes one step whose arithmetic is counted."""
        return self._asked("operations", 1)

    def finish(self) -> None:
        """Lets the program go on to its end."""
        self.link.send(("finish", 0))
        if self._process.wait(LIMIT_S):
            raise Died(self._last_lines())
        self._file.close()

    def end(self) -> None:
        """Ends the program where it stands."""
        if self._process.poll() is None:
            self.link.send(("end", 0))
            self._process.wait(60)
        self._file.close()

    def _asked(self, order: str, number: int) -> dict[str, Any]:
        self.link.send((order, number))
        return self._heard()

    def _joined(self, listener: Listener) -> Connection:
        """The child's connection; Listener itself would wait for ever where the child died."""
        socket: Any = listener._listener._socket  # type: ignore[attr-defined]
        socket.settimeout(1.0)
        while True:
            try:
                return listener.accept()
            except TimeoutError:
                self._require_alive()

    def _heard(self) -> dict[str, Any]:
        end = time.monotonic() + LIMIT_S
        while not self.link.poll(1.0):
            self._require_alive()
            if time.monotonic() > end:
                self._process.kill()
                raise Died(f"{self.command[0]} took too long; {self.log}")
        try:
            found: dict[str, Any] = self.link.recv()
        except EOFError:
            self._process.wait(60)
            raise Died(self._last_lines()) from None
        return found

    def _require_alive(self) -> None:
        if self._process.poll() is not None:
            raise Died(self._last_lines())

    def _last_lines(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-30:]
        return "\n".join([f"{self.command[0]} ended by itself:", *lines])
