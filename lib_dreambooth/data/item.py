"""What the parts of this package pass to each other: a picture, its caption, and what was found wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CaptionOrigin = Literal["txt", "caption", "json", "metadata", "name", "setting", "folder", "drawn", "none"]
# "both": a mask file and alpha, multiplied.
MaskKind = Literal["none", "file", "alpha", "both"]
Severity = Literal["note", "warning", "error"]


@dataclass(frozen=True, slots=True)
class CaptionText:
    """What stands in a caption's source, decoded but otherwise as written.

    `text` keeps its lines; `source` is the file it came from, or "" for a name. "drawn" is what we drew a
    picture from: whole already, prompt and all.
    """

    text: str
    origin: CaptionOrigin
    source: str = ""


NO_CAPTION = CaptionText("", "none")


@dataclass(frozen=True, slots=True)
class Item:
    """One picture of one concept. Paths are text because ten thousand `Path` objects weigh too much.

    `id` is unique and is what draws are keyed by: the hash of the file's bytes, and for the second and later
    copies of the same picture in a run that hash with `-2`, `-3` behind it. `content` is the hash alone.
    """

    id: str
    content: str
    path: str
    caption: CaptionText
    concept: int
    is_class: bool
    repeats: int
    # Width and height as a viewer shows it: after the rotation that EXIF asks for.
    size: tuple[int, int]
    mask_kind: MaskKind = "none"
    mask_path: str = ""
    mask_content: str = ""
    has_alpha: bool = False
    # left, top, right, bottom of a face in pixels of `size`, where a source names one.
    face: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the data that the user should know; nothing is changed because of it.

    `code` is stable and meant for programs. `effect` says what it does to training, `todo` what to do.
    """

    code: str
    severity: Severity
    paths: tuple[str, ...]
    what: str
    effect: str = ""
    todo: str = ""

    def sentence(self) -> str:
        """All of it for people, without the files."""
        return " ".join(part for part in (self.what, self.effect, self.todo) if part)

    def to_json(self) -> dict[str, object]:
        """The form that `--json` and the page print."""
        return {
            "code": self.code,
            "severity": self.severity,
            "paths": list(self.paths),
            "what": self.what,
            "effect": self.effect,
            "todo": self.todo,
        }
