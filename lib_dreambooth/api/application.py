"""The routes as an app of their own, for where there is no WebUI's to put them into."""

from __future__ import annotations

from fastapi import FastAPI

from lib_dreambooth import __version__
from lib_dreambooth.api.access import LOCAL_NAMES, Access, open_to_all
from lib_dreambooth.api.routes import router
from lib_dreambooth.base.host import Host
from lib_dreambooth.jobs.worker import Worker

TITLE = "sd-webui-dreambooth"


def application(worker: Worker, host: Host, access: Access | None = None) -> FastAPI:
    """An app with the routes and their documentation; by default for this machine alone."""
    app = FastAPI(title=TITLE, version=__version__)
    app.include_router(router(worker, host, access or Access(open_to_all, LOCAL_NAMES)))
    return app
