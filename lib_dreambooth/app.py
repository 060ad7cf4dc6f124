"""Puts the parts together: which host, which page, which command."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lib_dreambooth.hosts.webui import WebuiHost
    from lib_dreambooth.jobs.worker import Worker

log = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str]) -> int:
    """The command line; returns its exit code."""
    from lib_dreambooth.cli import program, table

    # A command that needs a host: those of `cli` know of none.
    page = table.Row("ui", "lib_dreambooth.hosts.ui_command", "opens the page, without a WebUI")
    return program.main(arguments, (page, *table.ROWS))


class InWebui:
    """The one program of a WebUI's process: Reload UI registers it anew, runs go on meanwhile."""

    def __init__(self, host: WebuiHost) -> None:
        self.host = host

    @property
    def worker(self) -> Worker:
        """The queue and its thread, from when they are first needed."""
        from lib_dreambooth.jobs.registry import worker_for

        return worker_for(self.host)

    def tab(self) -> Any:
        """The page as Blocks; never an error, which would leave the user without a tab."""
        from lib_dreambooth.hosts.placeholder import placeholder

        off = what_is_off()
        if not off:
            try:
                from lib_dreambooth.api.access import page_token
                from lib_dreambooth.ui import page

                # Without the worker: it brings the settings of the engine, and each start would wait for it.
                return page.build(self.host, token=page_token())
            except Exception as error:  # the edge of a page: the WebUI would drop the tab without a word
                log.exception("the page could not be made")
                off = [
                    f"the page: something went wrong that should not ({error}). The console has the details."
                ]
        return placeholder(off)

    def mount(self, app: Any) -> None:
        """The routes of /dreambooth/v1 into the WebUI's app."""
        if what_is_off():
            log.warning("training is off: packages are missing; the Dreambooth tab says which.")
            return
        from lib_dreambooth.hosts.lazy_routes import LazyRoutes

        LazyRoutes(app, self._routes).stand_in()

    def _routes(self) -> Any:
        from lib_dreambooth.api.routes import router

        return router(self.worker, self.host)


_here: InWebui | None = None


def in_webui(script: str) -> tuple[type | None, type | None]:
    """Called by the WebUI's script: registers tab, settings and routes, gives what it has to find there.

    None where another copy of this program was there first.
    """
    global _here
    if Path(script).resolve().parent.parent != ROOT:
        log.error("Dreambooth is installed twice: %s is used, remove %s", ROOT, Path(script).parent.parent)
        return None, None
    from lib_dreambooth.hosts.registration import register

    if _here is None:
        from lib_dreambooth.hosts.webui import WebuiHost

        _here = InWebui(WebuiHost())
    return register(_here.tab, _here.mount, _here.host.before_picture)


def what_is_off() -> list[str]:
    """What the packages here do not allow, as sentences, where that is training itself.

    Looks closely only where something is missing: asking for every version takes a WebUI's start a while.
    """
    from lib_dreambooth.environments import additions

    ours = additions.packages(sys.version_info[:2])
    if all(importlib.util.find_spec(one.name) for one in ours if one.is_required):
        return []
    from lib_dreambooth.environments import installer

    found = additions.missing(installer.this_host())
    return (
        [one.sentence() for one in found] if any(one.feature == additions.TRAINING for one in found) else []
    )
