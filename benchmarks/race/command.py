"""What the commands of side-by-side measurements have in common."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.race.contest import Bench, Peer


def parser(description: str | None) -> argparse.ArgumentParser:
    """Options for the peer and for where files are made."""
    found = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument(
        "--peer", type=Path, help="the folder of kohya's sd-scripts; without it only ours runs"
    )
    found.add_argument(
        "--peer-python", default=sys.executable, help="a Python with its packages; default: this one"
    )
    found.add_argument(
        "--diffusers", type=Path, help="the folder of diffusers' sources, for the commands that measure it"
    )
    found.add_argument(
        "--diffusers-python", default=sys.executable, help="a Python with its packages; default: this one"
    )
    found.add_argument("--folder", type=Path, help="where files are made for as long as this runs")
    found.add_argument("--rounds", type=int, default=5)
    return found


@contextmanager
def bench(args: argparse.Namespace) -> Iterator[Bench]:
    """A folder for the length of a measurement."""
    peer = None if args.peer is None else Peer(args.peer.resolve(), args.peer_python)
    other = None if args.diffusers is None else Peer(args.diffusers.resolve(), args.diffusers_python)
    with TemporaryDirectory(dir=args.folder, ignore_cleanup_errors=True) as folder:
        yield Bench(Path(folder), peer, other)
