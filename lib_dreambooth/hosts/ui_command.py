"""The command `ui`: the page on this machine, without a WebUI."""

from __future__ import annotations

import argparse
import os
import socket
import threading
import webbrowser
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.cli.output import Out
from lib_dreambooth.hosts.door import Door

if TYPE_CHECKING:
    from lib_dreambooth.base.host import Host, HostPaths
    from lib_dreambooth.jobs.worker import Worker

HERE, EVERYWHERE = "127.0.0.1", "0.0.0.0"
PORT = 7865
LAST_PORT = 65535
SHORTEST_PASSWORD = 8
CLOSING_S = 60.0
CLOSING = "Stopping: what is under way saves after its step."


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models",
        metavar="DIR",
        type=Path,
        help="the folder of models; default: the environment variable DREAMBOOTH_MODELS, else that of the "
        "WebUI around this program, else `models` in this program's own folder",
    )
    parser.add_argument("--port", type=int, default=PORT, help=f"default: {PORT}, or the next that is free")
    parser.add_argument(
        "--listen", action="store_true", help="let other machines come in; needs --user and --password"
    )
    parser.add_argument("--user", metavar="NAME", default="", help="who may log in")
    parser.add_argument("--password", metavar="TEXT", default="", help=f"at least {SHORTEST_PASSWORD} signs")
    parser.add_argument("--browser", action="store_true", help="open the page in this machine's browser")


def run(args: argparse.Namespace, out: Out) -> int:
    users = users_of(args)
    # Only here, so that a wrong argument is said at once.
    import uvicorn

    from lib_dreambooth.hosts.standalone import StandaloneHost
    from lib_dreambooth.jobs.places import library
    from lib_dreambooth.jobs.registry import worker_for

    host = StandaloneHost(library(args.models).models)
    put_mini(host.paths)
    worker = worker_for(host)
    sockets = [bound(EVERYWHERE if args.listen else HERE, args.port)]
    port = sockets[0].getsockname()[1]
    address = f"http://{HERE}:{port}/"
    app = made_app(host, worker, users)
    out.line(f"The page is at {address} (Ctrl+C ends it)")
    out.line(f"Models are in {host.paths.models}")
    out.event({"address": address, "models": str(host.paths.models)})
    if args.browser:
        threading.Timer(1.0, partial(webbrowser.open, address)).start()
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
    try:
        server.run(sockets=sockets)
    finally:
        if worker.current is not None:
            out.note(CLOSING)
        worker.close(CLOSING_S)
    return 0


def users_of(args: argparse.Namespace) -> dict[str, str]:
    """Who may log in; raises UserError where others may come in without a password."""
    if bool(args.user) != bool(args.password):
        raise UserError(
            "a login is a name and a password.", where="--user", todo="Give both --user and --password."
        )
    if args.password and len(args.password) < SHORTEST_PASSWORD:
        raise UserError(
            "is too short for a password.",
            where="--password",
            todo=f"Use at least {SHORTEST_PASSWORD} signs.",
        )
    if args.listen and not args.password:
        raise UserError(
            "whoever reaches the page can train and read folders: others only come in with a password.",
            where="--listen",
            todo="Add --user NAME --password TEXT.",
            code="needs-password",
        )
    return {args.user: args.password} if args.user else {}


def bound(address: str, port: int) -> socket.socket:
    """A socket at the port or the next one that is free; raises UserError."""
    for number in range(port, min(port + 20, LAST_PORT)):
        found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if os.name != "nt":
            # On Windows this would let two programs share the port.
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((address, number))
            # Of two that are bound to it only one can listen; and who is told the address may come at once.
            found.listen()
        except (OSError, OverflowError):
            found.close()
            continue
        return found
    raise UserError(
        f"no port from {port} on is free.", where="--port", todo="Give another one.", code="no-port"
    )


def put_mini(paths: HostPaths) -> None:
    """The miniature among the checkpoints, ready to be trained, where it is not there already."""
    from lib_dreambooth.tools.mini import MODEL_NAME, put_into_webui

    if not (paths.checkpoints / f"{MODEL_NAME}.safetensors").exists():
        paths.checkpoints.mkdir(parents=True, exist_ok=True)
        put_into_webui(paths.models)


def made_app(host: Host, worker: Worker, users: dict[str, str]) -> Any:
    """Routes and page in one app, behind a door where somebody has to log in."""
    # Before gradio is imported, which asks the network for its newest version otherwise.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    from lib_dreambooth.api.access import LOCAL_NAMES, Access, open_to_all
    from lib_dreambooth.api.application import application
    from lib_dreambooth.hosts.standalone_page import add_page
    from lib_dreambooth.ui import page

    # Who listens for others is called by names that only its user knows.
    access = Access(open_to_all, frozenset() if users else LOCAL_NAMES)
    app = add_page(application(worker, host, access), partial(page.build, host, worker))
    if users:
        app.add_middleware(Door, users=users)
    return app
