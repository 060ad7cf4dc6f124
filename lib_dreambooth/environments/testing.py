"""`run.py test`: format, lint, types and tests, in the standalone environment or under a host's packages."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.environments import children, known, places, venvs

MOST_WORKERS = 4
CHECKS = (
    ("format", ("ruff", "format", "--check")),
    ("lint", ("ruff", "check")),
    ("types", ("mypy",)),
)
ENVIRON = {
    # One thread for each worker: several pools of threads on the same cores make all of them slow.
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    # Bytecode is kept: every process that a test starts would compile the program anew, a second each.
    "PYTHONDONTWRITEBYTECODE": "",
}


@dataclass(frozen=True)
class Request:
    """What was asked of `run.py test`."""

    host: str | None
    fast: bool
    pytest: tuple[str, ...]


def parse(arguments: Sequence[str]) -> Request:
    """Takes our own options out; everything else is pytest's."""
    host: str | None = None
    fast = False
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--fast":
            fast = True
        elif word == "--host":
            host = next(words, "")
        elif word.startswith("--host="):
            host = word.removeprefix("--host=")
        else:
            rest.append(word)
    if host is not None and host not in known.HOSTS:
        raise UserError(
            f"--host {host or 'without a name'} is not known.",
            todo=f"Known: {', '.join(known.HOSTS)}.",
            code="unknown-host",
        )
    return Request(host, fast, tuple(rest))


def run(root: Path, arguments: Sequence[str], say: venvs.Say) -> int:
    """Runs what was asked for; the last lines are pytest's."""
    request = parse(arguments)
    environment = known.HOSTS[request.host] if request.host else known.STANDALONE
    layers = [*environment.base, *environment.for_tests]
    python = venvs.ready(places.Place(environment, root), layers, say)
    failed = [] if request.host or request.pytest else check(root, python, say)
    say(f"tests, in {environment.folder}")
    command = [str(python), "-m", "pytest", *pytest_arguments(request)]
    code = children.run(command, cwd=root, environ=ENVIRON)
    if failed:
        say(f"Failed before the tests: {', '.join(failed)} (see above).")
    return code or (1 if failed else 0)


def check(root: Path, python: Path, say: venvs.Say) -> list[str]:
    """Runs every check and returns the names of those that failed."""
    failed = []
    for name, command in CHECKS:
        say(f"{name}: {' '.join(command)}")
        if children.run([str(python), "-m", *command], cwd=root) != 0:
            failed.append(name)
    return failed


def pytest_arguments(request: Request) -> list[str]:
    """Named tests run in one process, where a debugger works; the whole suite runs on several.

    Under a host's packages it does without what is slow and depends on none of them.
    """
    arguments = ["-m", "not slow and not network"] if request.fast else []
    if request.pytest:
        return [*arguments, *request.pytest]
    if request.host and not request.fast:
        arguments = ["-m", "not (slow and once)"]
    workers = min(os.cpu_count() or 1, MOST_WORKERS)
    return [*arguments, "-n", str(workers), "--dist", "worksteal"]
