"""Adds the missing packages to the Python that runs this, every installed one held at its version."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lib_dreambooth.base import files
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.environments import additions, notes, pip, settled
from lib_dreambooth.environments.additions import Addition, Host

Say = Callable[[str], None]

NOTES = Path(__file__).resolve().parents[2] / notes.FILE_NAME
PIP_TIMEOUT_S = 20
PIP_RETRIES = 1
VERSION = re.compile(r"\d+(\.\d+)*[A-Za-z0-9.+!_-]*")

NO_FILE = UserError("The package index has no file of it for this Python and system.", code="no-such-package")


def run(say: Say, notes_path: Path = NOTES, settled_path: Path | str | None = None) -> None:
    """Adds what is missing and says what stays off. With nothing to add: no pip, no network, no output.

    That it was so is left at `settled_path` for the next launch.
    """
    # Before looking: what is put there meanwhile is looked for next time.
    marks = settled.marks()
    planned = additions.plan(this_host())
    if settled_path is not None and not planned.add and not planned.off:
        with contextlib.suppress(UserError, OSError):
            files.write_text(settled_path, marks)
    for off in planned.off:
        say(off.sentence())
    wanted, given_up = notes.split(planned.add, notes.read(notes_path), time.time())
    for addition, note in given_up:
        say(f"{addition.package.feature}: off. {note['why']} It is tried again a day after the last try.")
    if not wanted:
        return
    if is_forbidden():
        say(f"not installed because of --skip-install: {listing(wanted)}")
        return
    failures = add(wanted, say)
    for addition, why in failures:
        say(f"{addition.package.feature}: off. {addition.requirement} could not be installed. {why}")
    notes.write(notes_path, given_up, failures, time.time())


def this_host() -> Host:
    """The Python that runs this, as far as a plan asks."""
    found = {name: version_of(name) for name in additions.names()}
    return Host(
        python=tuple(sys.version_info[:2]),
        installed={name: version for name, version in found.items() if version is not None},
    )


def version_of(name: str) -> str | None:
    """An installed distribution's version, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def is_forbidden() -> bool:
    """Whether the WebUI was started with --skip-install. Only it knows; by hand there is nothing to ask."""
    try:
        launch = importlib.import_module("launch")
    except (ImportError, SystemExit):
        return False
    return bool(getattr(getattr(launch, "args", None), "skip_install", False))


def add(wanted: Sequence[Addition], say: Say) -> list[tuple[Addition, str]]:
    """Installs all at once; if that fails one by one, so that what cannot be had takes no other with it."""
    before = everything_installed()
    say(f"adding {listing(wanted)} (nothing that is installed changes; this takes a while the first time)")
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text(constraint_lines(before), encoding="utf-8")
        failures = attempt(wanted, constraints)
    changed = changes(before, everything_installed())
    if changed:
        say(f"WARNING: packages changed, which must never happen; please report: {', '.join(changed)}")
    added = [addition for addition in wanted if addition not in [failed for failed, _ in failures]]
    if added:
        say(f"added {listing(added)}")
    return failures


def attempt(wanted: Sequence[Addition], constraints: Path) -> list[tuple[Addition, str]]:
    """Asks pip; returns what could not be had and why."""
    why = ask_pip([addition.requirement for addition in wanted], constraints)
    if why is None:
        return []
    # Without a network each further try would cost the same wait and end the same way.
    if len(wanted) == 1 or why.code in ("no-network", "disk-full"):
        return [(addition, why.sentence()) for addition in wanted]
    return [failure for addition in wanted for failure in attempt([addition], constraints)]


def ask_pip(requirements: Sequence[str], constraints: Path) -> UserError | None:
    """One call of pip: wheels alone, so that nothing is compiled on the user's machine."""
    arguments = ["install", "--only-binary=:all:", "--constraint", str(constraints), *requirements]
    index = os.environ.get("INDEX_URL")
    if index:
        arguments += ["--index-url", index]
    environ = {
        **os.environ,
        "PIP_NO_INPUT": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_RETRIES": str(PIP_RETRIES),
        "PIP_DEFAULT_TIMEOUT": str(PIP_TIMEOUT_S),
    }
    # subprocess.run, by that name: a WebUI that works with uv has replaced it to turn pip into uv.
    done = subprocess.run(
        [*installer_command(), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environ,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return None
    return reason(done.stdout or "", done.returncode)


def reason(output: str, code: int) -> UserError:
    """Why pip or uv refused: a version held in place, or one of the failures it has in common with run.py."""
    if re.search(r"not found in the package registry|has no wheels with a matching", output):
        return NO_FILE
    if "ResolutionImpossible" in output or "No solution found" in output:
        return UserError("It asks for another version of a package that this WebUI holds.", code="conflict")
    found = pip.failure(output, code, where="pip's output")
    if found.code == "pip-failed":
        return UserError(f"pip ended with {code}: {last_line(output)}", code=found.code)
    return NO_FILE if found.code == NO_FILE.code else found


def last_line(output: str) -> str:
    """The last thing pip said."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def installer_command() -> list[str]:
    """pip of this Python; uv where the environment was made without pip."""
    uv = shutil.which("uv")
    if importlib.util.find_spec("pip") is None and uv:
        # uv takes the Python after its own `install`, which the caller's list begins with.
        os.environ.setdefault("UV_PYTHON", sys.executable)
        return [uv, "pip"]
    return [sys.executable, "-m", "pip"]


def everything_installed() -> dict[str, str]:
    """Every distribution that this Python can import, at the version that it imports."""
    importlib.invalidate_caches()
    found = {name_of(distribution) for distribution in importlib.metadata.distributions()}
    # Asked by name: an interrupted pip leaves folders such as `~umpy-1.26.2.dist-info` that nothing imports.
    versions = {name: version_of(name) for name in found if name}
    return {name: version for name, version in versions.items() if version}


def name_of(distribution: importlib.metadata.Distribution) -> str | None:
    """A distribution's name; None for a folder without metadata, to which Python 3.10 says TypeError."""
    try:
        return distribution.metadata["Name"]
    except TypeError:
        return None


def constraint_lines(installed: Mapping[str, str]) -> str:
    """A constraints file that holds everything where it is."""
    held = {name: version for name, version in installed.items() if version and VERSION.fullmatch(version)}
    return "".join(f"{name}=={version}\n" for name, version in sorted(held.items()))


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What is not as it was, in words; additions are not changes."""
    return [
        f"{name} {version} -> {after.get(name, 'gone')}"
        for name, version in before.items()
        if after.get(name) != version
    ]


def listing(wanted: Sequence[Addition]) -> str:
    return ", ".join(f"{addition.package.name} {addition.version}" for addition in wanted)
