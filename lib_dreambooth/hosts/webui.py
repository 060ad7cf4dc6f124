"""Life in a WebUI: AUTOMATIC1111's or one of the Forges, told apart by what they can do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from lib_dreambooth.base.host import ADAPTERS, Guest, HostPaths, HostSettings, HostTagger
from lib_dreambooth.hosts import forge_models, webui_settings
from lib_dreambooth.hosts.turns import Residents, Turns
from lib_dreambooth.hosts.waiting_picture import WaitingPicture, refuse
from lib_dreambooth.hosts.webui_deepbooru import deepbooru_of_webui
from lib_dreambooth.hosts.webui_line import WebuiLine, doing
from lib_dreambooth.hosts.webui_lists import refresh_list
from lib_dreambooth.hosts.webui_models import WebuiModels
from lib_dreambooth.hosts.webui_paths import paths_of_webui
from lib_dreambooth.hosts.webui_reads import what_is_read

log = logging.getLogger(__name__)


class WebuiHost:
    """The Host of base for the WebUI around us; one for the whole process, over every Reload UI."""

    def __init__(self) -> None:
        from modules import call_queue, sd_models

        self._queue_lock = call_queue.queue_lock
        manager = forge_models.manager()
        residents: Residents = WebuiModels() if manager is None else forge_models.ForgeModels(manager)
        self._name = "the WebUI" if manager is None else "Forge"
        self.turns = Turns(
            self._queue_lock,
            residents,
            WebuiLine(self._queue_lock),
            webui_settings.is_training_first,
            # A1111 loads its first model in a thread that passes no queue, and patches torch meanwhile.
            getattr(getattr(sd_models, "model_data", None), "lock", None),
        )
        self._trains_in: int | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def paths(self) -> HostPaths:
        return paths_of_webui()

    @property
    def language(self) -> str:
        return webui_settings.language_of_webui()

    @property
    def settings(self) -> HostSettings:
        return webui_settings.settings_of_webui()

    @property
    def reads(self) -> frozenset[str] | None:
        """By what its Lora extension looks for."""
        return what_is_read()

    @property
    def tagger(self) -> HostTagger | None:
        """Its DeepBooru."""
        return deepbooru_of_webui()

    @contextmanager
    def lend_gpu(self) -> Iterator[None]:
        """The WebUI's queue waits, its models are away; both as they were in any ending."""
        with self.turns.lend():
            self._trains_in = threading.get_ident()
            try:
                yield
            finally:
                self._trains_in = None

    def yield_point(self, guest: Guest) -> None:
        """Pictures that somebody asked for, token counters and settings take their turn."""
        self.turns.yield_point(guest)

    def away(self, guest: Guest) -> AbstractContextManager[None]:
        """The WebUI as if nothing was running."""
        return self.turns.away(guest)

    def refresh(self, kind: str) -> None:
        """Lists anew; between two jobs of the WebUI where a list is read by them."""
        is_safe = kind == ADAPTERS or self._trains_in == threading.get_ident()
        try:
            with nullcontext() if is_safe else self._queue_lock:
                refresh_list(kind)
        except Exception:  # whatever a host's lists run into, the file is saved
            log.exception("the WebUI could not list its %s anew", kind)

    def busy(self) -> str:
        """What the WebUI is doing."""
        return doing()

    def before_picture(self, processing: Any) -> None:
        """A picture is about to be made, in this thread, which has passed the queue."""
        if forge_models.is_the_one_thread():
            if self.turns.makes_wait:
                refuse(processing)
            self.turns.before_picture(gives_up=lambda: True)
            return
        picture = WaitingPicture()
        if self.turns.before_picture(picture.show, picture.is_given_up):
            picture.begin_again()
