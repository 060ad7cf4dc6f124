"""The page as gradio has it: a place, and the words in the language of the host. JavaScript does the rest.

One component: A1111's gradio 3.41 grows slow with hundreds, and events of gradio would be polled.
"""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any

from lib_dreambooth.ui.words import catalogue

if TYPE_CHECKING:
    from lib_dreambooth.base.host import Host

ROOT = "dreambooth_root"
WAITING = "The page is coming. If it does not, reload it; the browser's console says why."


def build(host: Host, worker: object = None, token: str = "", **blocks: Any) -> Any:
    """The tab as gradio Blocks, for every gradio from 3.41 on; `blocks` go to gradio's own class.

    What the page shows and does goes through the routes, which know the `worker`; `token` opens them.
    """
    import gradio

    with gradio.Blocks(analytics_enabled=False, title="Dreambooth", **blocks) as page:
        gradio.HTML(place(host.language, token), elem_id="dreambooth_page")
    return page


def place(language: str = "", token: str = "") -> str:
    """The element that the page is put into."""
    words = html.escape(json.dumps(catalogue(language), ensure_ascii=False), quote=True)
    attributes = f'id="{ROOT}" class="dreambooth-root" data-token="{html.escape(token)}" data-words="{words}"'
    return f"<div {attributes}><p>{WAITING}</p></div>"
