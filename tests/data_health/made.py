"""Items with captions and settings, made in one line each."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from lib_dreambooth.data.captions.compose import prepare
from lib_dreambooth.data.health.captions import Captioned
from lib_dreambooth.data.item import NO_CAPTION, CaptionText, Item
from lib_dreambooth.settings.sections.captions import Captions
from lib_dreambooth.settings.sections.concept import Concept


def item(path: str, text: str | None = "", **changes: Any) -> Item:
    """A picture with a caption file holding `text`; None: without a caption."""
    source = str(PurePosixPath(path).with_suffix(".txt"))
    caption = NO_CAPTION if text is None else CaptionText(text, "txt", source)
    known: dict[str, Any] = {
        "id": path, "content": path, "path": path, "caption": caption, "concept": 0, "is_class": False,
        "repeats": 1, "size": (512, 512),
    }  # fmt: skip
    return Item(**(known | changes))


def captioned(
    path: str,
    text: str | None = "",
    captions: Captions | None = None,
    concept: Concept | None = None,
    **changes: Any,
) -> Captioned:
    one = item(path, text, **changes)
    captions, concept = captions or Captions(), concept or Concept()
    return Captioned(one, prepare(one.caption.text, captions, concept), captions, concept)


def captioned_all(texts: list[str], folder: str = "set", **options: Any) -> list[Captioned]:
    return [captioned(f"{folder}/{i}.png", text, **options) for i, text in enumerate(texts)]
