"""Findings about class pictures' own words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from lib_dreambooth.data.captions.prompts import PLACEHOLDER_PATTERN
from lib_dreambooth.data.captions.read import caption_lines
from lib_dreambooth.data.item import Finding, Item
from lib_dreambooth.settings.length import plural
from lib_dreambooth.settings.sections.captions import Captions
from lib_dreambooth.settings.sections.concept import Concept

WRITTEN = ("txt", "caption", "json", "metadata")


def ignored_captions(
    items: Iterable[Item], settings_of: Callable[[Item], tuple[Captions, Concept]]
) -> list[Finding]:
    """Captions of class pictures that go unread because their concept has a class prompt of its own."""
    by_prompt: dict[tuple[str, bool], list[str]] = {}
    for item in items:
        if not (item.is_class and item.caption.origin in WRITTEN and caption_lines(item.caption.text)):
            continue
        captions, concept = settings_of(item)
        prompt = concept.class_prompt.strip()
        if prompt and not PLACEHOLDER_PATTERN.search(prompt):
            by_prompt.setdefault((prompt, captions.wildcards and "{" in prompt), []).append(item.path)
    return [_ignored(paths, prompt, chooses=chooses) for (prompt, chooses), paths in by_prompt.items()]


def _ignored(paths: Sequence[str], prompt: str, *, chooses: bool) -> Finding:
    count = len(paths)
    effect = f"All of them are trained on the class prompt, `{prompt[:80]}`."
    if chooses:
        effect = (
            f"Each is trained on a choice of the class prompt, `{prompt[:80]}`, whatever it shows: "
            "that teaches wrong words."
        )
    return Finding(
        "class-captions-unused",
        "warning",
        tuple(sorted(paths)),
        f"{count} class {plural(count, 'picture has a caption', 'pictures have captions')} that will not be "
        "read.",
        effect,
        "Put [filewords] into the class prompt to use them.",
    )
