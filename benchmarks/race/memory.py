"""The most memory that this process had at once since it was last asked."""

from __future__ import annotations

from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
# Sets the system's own highest mark back to what is there now.
RESTART = "5"


def restart_peaks() -> None:
    """Counts from now on, where the system can."""
    import torch

    if CLEAR.exists():
        CLEAR.write_text(RESTART, encoding="ascii")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peaks() -> dict[str, int]:
    """Resident memory of the process, and what PyTorch had of a card, in bytes."""
    import torch

    found = {"peak_resident_bytes": resident()}
    if torch.cuda.is_available():
        found["peak_allocated_bytes"] = torch.cuda.max_memory_allocated()
        found["peak_reserved_bytes"] = torch.cuda.max_memory_reserved()
    return found


def resident() -> int:
    """The highest mark of resident memory; of the whole process' life where the system knows no other."""
    if STATUS.exists():
        for line in STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import psutil

    memory = psutil.Process().memory_info()
    return int(getattr(memory, "peak_wset", memory.rss))
