"""Finds a Python of a given version on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

Version = tuple[int, int]

OLDEST: Version = (3, 10)
NEWEST: Version = (3, 13)
PROBE_TIMEOUT_S = 20

# Prints the version if an environment can be made with it: Debian ships Pythons without venv or ensurepip.
PROBE = "import sys, venv, ensurepip; print('%d.%d.%d' % sys.version_info[:3])"


def text(version: Version) -> str:
    """`3.10` for (3, 10)."""
    return f"{version[0]}.{version[1]}"


def is_supported(version: Version) -> bool:
    """Whether the locks hold versions for this Python."""
    return OLDEST <= version <= NEWEST


def find(version: Version) -> Path | None:
    """The first Python of that version that can make an environment, or None."""
    if sys.version_info[:2] == version:
        return Path(sys.executable)
    seen: set[Path] = set()
    for candidate in candidates(version, os.environ, Path.home()):
        if candidate not in seen and probe(candidate, version):
            return candidate
        seen.add(candidate)
    return None


def probe(python: Path, version: Version) -> bool:
    """Whether this file is a Python of that version with venv and ensurepip."""
    try:
        done = subprocess.run(
            [str(python), "-c", PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip().startswith(text(version) + ".")


def candidates(version: Version, environ: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Every file that may be that Python: version managers, the Windows launcher, the usual folders, PATH."""
    for folder in managed(version, environ, home) + usual(version, environ):
        yield from existing(folder, version)
    if sys.platform == "win32":
        yield from from_launcher(version)
    for name in (f"python{text(version)}", "python3", "python"):
        found = shutil.which(name, path=environ.get("PATH"))
        if found:
            yield Path(found)


def existing(folder: Path, version: Version) -> Iterator[Path]:
    """The interpreters in an installation's folder, by any of the names in use."""
    for name in (f"bin/python{text(version)}", "bin/python3", "bin/python", "python.exe"):
        path = folder / name
        if path.is_file():
            yield path


def managed(version: Version, environ: Mapping[str, str], home: Path) -> list[Path]:
    """Folders of pyenv, uv and conda that hold this version, the newest patch release first."""
    pyenv = Path(environ.get("PYENV_ROOT") or home / ".pyenv")
    uv = [Path(environ["UV_PYTHON_INSTALL_DIR"])] if environ.get("UV_PYTHON_INSTALL_DIR") else []
    uv += [home / ".local" / "share" / "uv" / "python"]
    uv += [Path(environ["APPDATA"]) / "uv" / "python"] if environ.get("APPDATA") else []
    found = newest_first(pyenv / "versions", f"{text(version)}.*")
    found += newest_first(pyenv / "pyenv-win" / "versions", f"{text(version)}.*")
    for folder in uv:
        found += newest_first(folder, f"cpython-{text(version)}.*")
    return found + conda_environments(home)


def newest_first(folder: Path, pattern: str) -> list[Path]:
    """Matching sub-folders, by the numbers in their names."""
    return sorted(
        folder.glob(pattern), key=lambda path: [int(n) for n in re.findall(r"\d+", path.name)], reverse=True
    )


def conda_environments(home: Path) -> list[Path]:
    """The environments conda knows of; which Python each has is found by asking it."""
    listed = home / ".conda" / "environments.txt"
    try:
        lines = listed.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [Path(line.strip()) for line in lines if line.strip()]


def usual(version: Version, environ: Mapping[str, str]) -> list[Path]:
    """Where installers put Python."""
    digits = f"Python{version[0]}{version[1]}"
    windows = [environ.get("LOCALAPPDATA"), environ.get("ProgramFiles"), environ.get("SystemDrive", "")]
    folders = [Path(windows[0]) / "Programs" / "Python" / digits] if windows[0] else []
    folders += [Path(windows[1]) / digits] if windows[1] else []
    folders += [Path(windows[2] + "\\") / digits] if windows[2] else []
    return [
        *folders,
        Path("/Library/Frameworks/Python.framework/Versions") / text(version),
        Path("/opt/homebrew/opt") / f"python@{text(version)}",
        Path("/usr/local/opt") / f"python@{text(version)}",
        Path("/usr/local"),
        Path("/usr"),
    ]


def from_launcher(version: Version) -> Iterator[Path]:
    """What the Windows launcher `py` starts for this version."""
    try:
        done = subprocess.run(
            ["py", f"-{text(version)}", "-c", "import sys; print(sys.executable)"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return
    if done.returncode == 0 and done.stdout.strip():
        yield Path(done.stdout.strip())


def how_to_get(version: Version, platform: str = sys.platform) -> str:
    """What to type to have this Python."""
    wanted = text(version)
    if platform == "win32":
        return f"Get it with `winget install Python.Python.{wanted}` or from python.org, then start again."
    if platform == "darwin":
        return (
            f"Get it with `brew install python@{wanted}` or `uv python install {wanted}`, then start again."
        )
    return f"Get it with `uv python install {wanted}` or `pyenv install {wanted}`, then start again."
