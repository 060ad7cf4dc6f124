"""The page of the tab until there is a better one, and where packages are missing."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

WAYS = (
    "Trainings of this WebUI's models can be started over its API (<code>/dreambooth/v1</code>, described at "
    "<code>/docs</code>), and from a console in this extension's folder with "
    "<code>python run.py train SETTINGS.toml --name NAME</code>. While one runs, pictures are made between "
    "two of its steps; what it has learned stands among the LoRAs and checkpoints when it is done."
)
HOW = (
    "The installer adds them at the next start of the WebUI, unless that is started with --skip-install. By "
    "hand: run <code>install.py</code> in this extension's folder with the WebUI's own Python, then restart "
    "the WebUI."
)


def placeholder(off: Sequence[str]) -> Any:
    """Blocks with one paragraph, and with what is off."""
    import gradio

    with gradio.Blocks(analytics_enabled=False) as page:
        gradio.HTML(text(off), elem_id="dreambooth_placeholder")
    return page


def text(off: Sequence[str]) -> str:
    """The page's HTML."""
    parts = [f"<p>{WAYS}</p>"]
    if off:
        lines = "".join(f"<li>{html.escape(line)}</li>" for line in off)
        parts.append(f"<p>Missing here:</p><ul>{lines}</ul><p>{HOW}</p>")
    return "".join(parts)
