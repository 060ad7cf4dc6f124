"""Runs pip (or what a child process does with it) and puts its failures into sentences."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from lib_dreambooth.base.errors import UserError

STOP_TIMEOUT_S = 20
TAIL_BYTES = 400_000

# What pip and venv print when something outside of them is the cause; the first that matches names it.
FAILURES = (
    (
        "disk-full",
        r"No space left on device|\[Errno 28\]|\[Errno 122\]|Disk quota exceeded|WinError 112"
        r"|not enough space on the disk",
        "The disk is full.",
        "Free some space (the packages, pip's cache and the temporary folder all need it) and start again.",
    ),
    (
        "no-network",
        r"NewConnectionError|NameResolutionError|Temporary failure in name resolution|getaddrinfo failed"
        r"|Name or service not known|nodename nor servname|Network is unreachable|Connection refused"
        r"|ConnectTimeoutError|ReadTimeoutError|Read timed out|ProxyError|Cannot connect to proxy"
        r"|RemoteDisconnected|ConnectionResetError|Failed to establish a new connection"
        r"|error sending request|dns error",
        "The package index cannot be reached.",
        "Check the network (and the proxy or mirror, if pip is set up with one) and start again.",
    ),
    (
        "no-network",
        r"SSLError|CERTIFICATE_VERIFY_FAILED",
        "The package index does not show a certificate that this machine trusts.",
        "Behind a company proxy, point PIP_CERT at its certificate and start again.",
    ),
    (
        "file-in-use",
        r"WinError 32|being used by another process|WinError 5\]|Access is denied",
        "A file of the environment is in use.",
        "Close every program that runs from it (the page, a training, an editor's terminal) and start again.",
    ),
    (
        "no-venv",
        r"ensurepip is not available|No module named ensurepip|No module named venv",
        "This Python cannot make environments.",
        "On Debian and Ubuntu install the package python3-venv, then start again.",
    ),
    (
        "no-such-package",
        r"No matching distribution found for|Could not find a version that satisfies",
        "The package index has no file of a package for this Python and system.",
        "Supported are 64-bit Python 3.10 to 3.13 on Windows, Linux and macOS 14 (Apple silicon). "
        "If pip is set up with a mirror, the mirror may be behind.",
    ),
    (
        "not-writable",
        r"Permission denied|\[Errno 13\]|Read-only file system|\[Errno 30\]",
        "A folder cannot be written to.",
        "Put the program where you may write, and start again.",
    ),
)  # fmt: skip


def install(
    python: Path,
    arguments: Sequence[str],
    *,
    log: Path,
    lock: BinaryIO,
    environ: Mapping[str, str] | None = None,
) -> None:
    """`pip install` in an environment, its output going to the terminal; raises a UserError if it fails."""
    log.unlink(missing_ok=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "--log", str(log)]
    code = run([*pip, "install", *arguments], lock=lock, environ=environ)
    if code != 0:
        raise failure(read_tail(log), code, where=str(log))


def run(command: Sequence[str], *, lock: BinaryIO, environ: Mapping[str, str] | None = None) -> int:
    """Runs a command that changes an environment; it keeps the lock while it lives. Returns its exit code."""
    process = subprocess.Popen(command, stdin=lock, env={**os.environ, **(environ or {})})
    try:
        return process.wait()
    except KeyboardInterrupt:
        # Ctrl-C reached the child too; give it time to stop by itself.
        stop(process)
        raise


def stop(process: subprocess.Popen[bytes]) -> None:
    """Waits for a child that was asked to end, then ends it."""
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def failure(output: str, code: int, where: str) -> UserError:
    """The sentence for what went wrong, from what was printed."""
    for name, pattern, what, todo in FAILURES:
        if re.search(pattern, output):
            detail = missing_package(output) if name == "no-such-package" else ""
            return UserError(what + detail, todo=todo, code=name)
    return UserError(
        f"Installing the packages failed (pip ended with {code}).",
        todo=f"The whole story is in {where}; start again when its cause is gone.",
        code="pip-failed",
    )


def missing_package(output: str) -> str:
    """` It is NAME==VERSION.` if pip named it."""
    found = re.search(r"No matching distribution found for ([^\s(]+)", output)
    return f" It is {found[1]}." if found else ""


def read_tail(path: Path) -> str:
    """The end of a log that may be long, or not there."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
