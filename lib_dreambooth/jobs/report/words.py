"""Numbers, sizes and times as people read them."""

from __future__ import annotations

import datetime
import math

UNKNOWN = "not known"
NONE = "–"


def number(value: float | None) -> str:
    """Four digits, the way 1e-5 is written by hand."""
    if value is None:
        return NONE
    if not math.isfinite(value):
        return str(value)
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        mantissa, _, power = f"{value:.3e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(power)}"
    return f"{value:.4g}"


def size(num_bytes: int) -> str:
    """Bytes, in units of a thousand."""
    for unit, count in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= count:
            return f"{num_bytes / count:.1f} {unit}"
    return f"{num_bytes} bytes"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {whole % 60:02d} s" if minutes else f"{whole} s"


def moment(seconds: float) -> str:
    """A time of events, in UTC."""
    try:
        found = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    except (OverflowError, OSError, ValueError):
        return UNKNOWN
    return found.strftime("%Y-%m-%d %H:%M UTC") if seconds > 0 else UNKNOWN


def beginning(text: str) -> str:
    """The text with its first letter large, the others as they are."""
    return text[:1].upper() + text[1:]


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its word."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
