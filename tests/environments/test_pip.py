"""What pip prints when something outside of it is wrong, and the sentence made of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.environments import pip

NO_NAME = """\
WARNING: Retrying (Retry(total=4, connect=None, read=None)) after connection broken by 'NewConnectionError(
'<HTTPSConnection object at 0x7f>: Failed to establish a new connection: [Errno -3] Temporary failure in name
resolution')': /simple/torch/
ERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from versions: none)
ERROR: No matching distribution found for torch==2.13.0
"""
NO_WHEEL = """\
ERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from versions: 2.2.0)
ERROR: No matching distribution found for torch==2.13.0 (from -r requirements/standalone.txt (line 86))
"""
OS_ERROR = "ERROR: Could not install packages due to an OSError: "

# What was printed, the code, words of the sentence.
CASES = {
    "no name resolution": (NO_NAME, "no-network", "cannot be reached"),
    "slow network": (
        "HTTPSConnectionPool(host='example.org'): Read timed out.",
        "no-network",
        "cannot be reached",
    ),
    "windows, no network": ("[Errno 11001] getaddrinfo failed", "no-network", "cannot be reached"),
    "company proxy": ("SSLError: CERTIFICATE_VERIFY_FAILED", "no-network", "certificate"),
    "disk": (OS_ERROR + "[Errno 28] No space left on device", "disk-full", "disk is full"),
    "windows disk": ("[WinError 112] There is not enough space on the disk", "disk-full", "disk is full"),
    "windows, in use": (OS_ERROR + "[WinError 5] Access is denied: '_C.pyd'", "file-in-use", "in use"),
    "debian": ("... because ensurepip is not available.", "no-venv", "python3-venv"),
    "no wheel": (NO_WHEEL, "no-such-package", "It is torch==2.13.0."),
    "rights": ("PermissionError: [Errno 13] Permission denied: '/x'", "not-writable", "written to"),
    "unknown": ("Segmentation fault", "pip-failed", "ended with 9"),
}


@pytest.mark.parametrize(("output", "code", "words"), CASES.values(), ids=CASES)
def test_each_failure_has_its_sentence(output: str, code: str, words: str) -> None:
    error = pip.failure(output, 9, where="install.log")
    assert error.code == code
    assert words in error.sentence()
    assert error.todo


def test_a_failing_install_raises_what_its_log_says(tmp_path: Path) -> None:
    # A program in place of the environment's Python: writes the log that pip is told to write, and fails.
    fake = tmp_path / "fake.py"
    fake.write_text(
        "import sys\n"
        "log = sys.argv[sys.argv.index('--log') + 1]\n"
        "open(log, 'w', encoding='utf-8').write('x' * 500000 + 'ERROR: [Errno 28] No space left on device')\n"
        "sys.exit(1)\n",
        encoding="utf-8",
    )
    launcher = stand_in(tmp_path, fake)
    with (tmp_path / "lock").open("w+b") as lock, pytest.raises(UserError) as caught:
        pip.install(launcher, ["-r", "x.txt"], log=tmp_path / "install.log", lock=lock)
    assert caught.value.code == "disk-full"


def stand_in(folder: Path, script: Path) -> Path:
    """An executable file that runs a script with this Python."""
    if sys.platform == "win32":
        launcher = folder / "python.bat"
        launcher.write_text(f'@"{sys.executable}" "{script}" %*\n', encoding="utf-8")
        return launcher
    launcher = folder / "python"
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n', encoding="utf-8")
    launcher.chmod(0o755)
    return launcher


def test_the_child_holds_the_lock_file_open(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_bytes(b"held")
    with path.open("rb") as lock:
        code = pip.run([sys.executable, "-c", "import sys; sys.exit(len(sys.stdin.read()))"], lock=lock)
    assert code == 4


def test_a_missing_log_reads_as_empty(tmp_path: Path) -> None:
    assert pip.read_tail(tmp_path / "no.log") == ""


def test_a_child_that_will_not_stop_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pip, "STOP_TIMEOUT_S", 0.1)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    pip.stop(process)
    assert process.returncode != 0
