"""An extension for the measurement alone: the WebUI's record of its start gets what it does not note itself.

That is the callbacks within "create ui", each by the file that registered it.
"""

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modules import script_callbacks
from modules.timer import startup_timer

KINDS = ("ui_settings", "ui_tabs")


def note_callbacks() -> None:
    """Every script is loaded by now, and none has been called back."""
    for kind in KINDS:
        for one in script_callbacks.callback_map[f"callbacks_{kind}"]:
            one.callback = noted(one.callback, f"create ui/{kind}/{Path(one.script).name}")


def noted(callback: Callable[[], Any], entry: str) -> Callable[[], Any]:
    def called() -> Any:
        # Looking through all that a WebUI has made takes 0.4 s, at whoever's turn that falls due.
        gc.disable()
        began = time.perf_counter()
        try:
            return callback()
        finally:
            startup_timer.add_time_to_record(entry, time.perf_counter() - began)
            gc.enable()

    return called


script_callbacks.on_before_ui(note_callbacks)
