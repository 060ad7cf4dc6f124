"""What a process has of the computer's memory, now and at its highest, as the system counts it."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")
KIB = 1024


class _Counters(ctypes.Structure):
    """Windows' PROCESS_MEMORY_COUNTERS."""

    _fields_ = (
        ("cb", ctypes.c_ulong),
        ("PageFaultCount", ctypes.c_ulong),
        ("PeakWorkingSetSize", ctypes.c_size_t),
        ("WorkingSetSize", ctypes.c_size_t),
        *((f"other{number}", ctypes.c_size_t) for number in range(6)),
    )


def resident() -> tuple[int, int]:
    """Bytes now, and the most since the process began; zeros where the system does not say."""
    if sys.platform == "win32":
        return _on_windows()
    try:
        return in_status(STATUS.read_text(encoding="utf-8"))
    except OSError:
        return 0, 0


def in_status(text: str) -> tuple[int, int]:
    """The same out of Linux' own description of a process."""
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    now, most = (int(lines.get(name, "0 kB").split()[0]) * KIB for name in ("VmRSS", "VmHWM"))
    return now, most


def _on_windows() -> tuple[int, int]:
    counters = _Counters()
    counters.cb = ctypes.sizeof(counters)
    system: ctypes.CDLL = getattr(ctypes, "windll").kernel32  # noqa: B009 - not there for mypy elsewhere
    system.GetCurrentProcess.restype = ctypes.c_void_p
    ask = system.K32GetProcessMemoryInfo
    ask.argtypes = (ctypes.c_void_p, ctypes.POINTER(_Counters), ctypes.c_ulong)
    if not ask(system.GetCurrentProcess(), ctypes.byref(counters), counters.cb):
        return 0, 0
    return int(counters.WorkingSetSize), int(counters.PeakWorkingSetSize)
