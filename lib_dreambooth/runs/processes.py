"""Whether a process of this machine still lives: its number alone can belong to a later one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
START_FIELD = 19  # of /proc/PID/stat, counted behind the closing bracket of the name
PS_TIMEOUT_S = 5


def start_of(pid: int) -> str:
    """When a process began, in a form that no later process of that number has; empty if it is not there."""
    if pid <= 0:
        return ""
    if sys.platform == "win32":
        return _start_windows(pid)
    if Path("/proc/self/stat").exists():
        return _start_linux(pid)
    return _start_posix(pid)


def is_alive(pid: int, start: str) -> bool:
    """Whether the very process that began then is there."""
    now = start_of(pid)
    return bool(now) and (not start or now == start)


def _start_linux(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        fields = stat.rpartition(")")[2].split()
        if fields[0] in "ZX":
            # Ended, and only waits for its parent to notice.
            return ""
        boot = BOOT_ID.read_text(encoding="utf-8").strip() if BOOT_ID.exists() else ""
        return f"{boot}:{fields[START_FIELD]}"
    except (OSError, IndexError):
        return ""


def _start_posix(pid: int) -> str:
    # macOS: the time of the start to the second.
    try:
        found = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)],
            capture_output=True,
            text=True,
            timeout=PS_TIMEOUT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return " ".join(found.stdout.split())


def _start_windows(pid: int) -> str:
    if sys.platform != "win32":
        return ""
    import ctypes
    from ctypes import wintypes

    query_limited, still_active = 0x1000, 259
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel.OpenProcess.restype = wintypes.HANDLE
    kernel.OpenProcess.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
    handle = kernel.OpenProcess(query_limited, False, pid)
    if not handle:
        return ""
    handle = wintypes.HANDLE(handle)
    try:
        code = wintypes.DWORD()
        if not kernel.GetExitCodeProcess(handle, ctypes.byref(code)) or code.value != still_active:
            return ""
        times = [wintypes.FILETIME() for _ in range(4)]
        if not kernel.GetProcessTimes(handle, *(ctypes.byref(time) for time in times)):
            return "unknown"
        return str((times[0].dwHighDateTime << 32) | times[0].dwLowDateTime)
    finally:
        kernel.CloseHandle(handle)
