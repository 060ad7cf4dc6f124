"""All routes as a router for the host's app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request
from fastapi.responses import Response

from lib_dreambooth.api.access import Access, gradio_login
from lib_dreambooth.api.answering import Threads, answered
from lib_dreambooth.api.calls import Route, Site
from lib_dreambooth.api.describing import operation
from lib_dreambooth.api.tables import (
    data,
    dataset,
    models,
    old,
    old_files,
    old_settings,
    page,
    queue,
    results,
    runs,
    settings,
    tools,
)
from lib_dreambooth.base.host import Host
from lib_dreambooth.jobs.worker import Worker

PREFIX = "/dreambooth/v1"
TAG = "Dreambooth"
ROUTES: tuple[Route, ...] = (
    *models.ROUTES,
    *settings.ROUTES,
    *data.ROUTES,
    *dataset.ROUTES,
    *queue.ROUTES,
    *runs.ROUTES,
    *results.ROUTES,
    *tools.ROUTES,
    *page.ROUTES,
)
OLD_PREFIX = "/dreambooth"
OLD_ROUTES: tuple[Route, ...] = (*old.ROUTES, *old_files.ROUTES, *old_settings.ROUTES)


def router(worker: Worker, host: Host, access: Access | None = None) -> APIRouter:
    """Every route, for `app.include_router`; may be called again for a new app.

    Without an `access` callers need what gradio's login and the host's API users ask for.
    """
    worker.host = host
    site = Site(worker, access or Access(gradio_login))
    threads = Threads()
    made = APIRouter(tags=[TAG])
    for prefix, routes in ((PREFIX, ROUTES), (OLD_PREFIX, OLD_ROUTES)):
        for route in routes:
            made.add_api_route(
                prefix + route.path,
                endpoint(route, site, threads),
                methods=[route.method],
                summary=route.about,
                name=f"{route.method} {prefix}{route.path}",
                operation_id=operation_id(route, prefix),
                openapi_extra=operation(route),
                response_class=Response,
                status_code=route.status,
            )
    return made


def endpoint(route: Route, site: Site, threads: Threads) -> Callable[[Request], Awaitable[Response]]:
    """What the app calls: it waits for nothing itself, so that the server answers others meanwhile."""

    async def call(request: Request) -> Response:
        return await answered(route, site, threads, request)

    return call


def operation_id(route: Route, prefix: str) -> str:
    """A name for generated clients."""
    words = (prefix + route.path).replace("{", "").replace("}", "").replace("-", "_").strip("/").split("/")
    return "_".join([route.method.lower(), *words])
