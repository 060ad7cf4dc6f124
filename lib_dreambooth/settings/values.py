"""Values with a text form of their own."""

from __future__ import annotations

import re
from dataclasses import dataclass

SIZE = re.compile(r"(\d{1,6})(?:\s*[x×,]\s*(\d{1,6}))?", re.IGNORECASE)


@dataclass(frozen=True)
class Size:
    """Width and height in pixels; 0 x 0 means what the base model was made for."""

    width: int
    height: int

    def __str__(self) -> str:
        if self.is_auto:
            return "auto"
        return f"{self.width}x{self.height}"

    @property
    def is_auto(self) -> bool:
        """Whether the size is left to the base model."""
        return self.width == 0 and self.height == 0

    @property
    def area(self) -> int:
        """Pixels in all."""
        return self.width * self.height


AUTO_SIZE = Size(0, 0)


def parse_size(text: str) -> Size:
    """The size that "auto", "512" or "512x768" says; raises ValueError for anything else."""
    words = text.strip().lower()
    if words == "auto":
        return AUTO_SIZE
    match = SIZE.fullmatch(words)
    if match is None:
        raise ValueError(f"not a size: {text!r}")
    width = int(match[1])
    return Size(width, int(match[2]) if match[2] else width)
