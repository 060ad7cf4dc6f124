"""What there is of the computer's memory and what a process has of it, as the system counts it."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

STATUS, OF_ALL = Path("/proc/self/status"), Path("/proc/meminfo")
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


class _Memory(ctypes.Structure):
    """Windows' MEMORYSTATUSEX."""

    _fields_ = (
        ("dwLength", ctypes.c_ulong),
        ("dwMemoryLoad", ctypes.c_ulong),
        ("ullTotalPhys", ctypes.c_ulonglong),
        ("ullAvailPhys", ctypes.c_ulonglong),
        *((f"other{number}", ctypes.c_ulonglong) for number in range(5)),
    )


def free_in_system() -> int | None:
    """Bytes that a process could have without others being written to the disk; None where nobody says."""
    if sys.platform == "win32":
        memory = _Memory()
        memory.dwLength = ctypes.sizeof(memory)
        is_told = kernel().GlobalMemoryStatusEx(ctypes.byref(memory))
        return int(memory.ullAvailPhys) if is_told else None
    try:
        found = lines_of(OF_ALL.read_text(encoding="utf-8")).get("MemAvailable")
    except OSError:
        return None
    return None if found is None else in_bytes(found)


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
    lines = lines_of(text)
    now, most = (in_bytes(lines.get(name, "0 kB")) for name in ("VmRSS", "VmHWM"))
    return now, most


def lines_of(text: str) -> dict[str, str]:
    """What stands behind each name."""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def in_bytes(shown: str) -> int:
    """The number in "12 kB", which is what the kernel calls KiB."""
    return int(shown.split()[0]) * KIB


def kernel() -> ctypes.CDLL:
    """Windows' own functions."""
    found: ctypes.CDLL = getattr(ctypes, "windll").kernel32  # noqa: B009 - not there for mypy elsewhere
    return found


def _on_windows() -> tuple[int, int]:
    counters = _Counters()
    counters.cb = ctypes.sizeof(counters)
    system = kernel()
    system.GetCurrentProcess.restype = ctypes.c_void_p
    ask = system.K32GetProcessMemoryInfo
    ask.argtypes = (ctypes.c_void_p, ctypes.POINTER(_Counters), ctypes.c_ulong)
    if not ask(system.GetCurrentProcess(), ctypes.byref(counters), counters.cb):
        return 0, 0
    return int(counters.WorkingSetSize), int(counters.PeakWorkingSetSize)
