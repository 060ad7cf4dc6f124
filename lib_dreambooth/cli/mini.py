"""The command `mini`: the miniature into a WebUI."""

from __future__ import annotations

import argparse
from pathlib import Path

from lib_dreambooth.cli.output import Out


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--into", metavar="WEBUI", type=Path, required=True, help="the WebUI's folder")


def run(args: argparse.Namespace, out: Out) -> int:
    from lib_dreambooth.tools.mini import put_into_webui

    installed = put_into_webui(args.into)
    out.line(f"wrote {installed.checkpoint}")
    out.line("Press the refresh button beside the checkpoint list and choose it; pictures are 128 x 128.")
    out.line("It knows prompts such as: a red circle on a blue background")
    out.result({"checkpoint": str(installed.checkpoint), "config": str(installed.config)})
    return 0
