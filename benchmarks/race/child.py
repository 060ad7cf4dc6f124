"""A process that trains with one of the programs, and measures what it is told to.

    python benchmarks/race/child.py PORT STARTED PROGRAM FOLDER SIZE ARGUMENTS...

`PROGRAM` is "ours", "plain", "kohya" or "diffusers", `FOLDER` where that lies.
"""

from __future__ import annotations

import sys
from multiprocessing.connection import Client
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    port, started, program, folder, size = sys.argv[1:6]
    arguments = sys.argv[6:]
    link = Client(("127.0.0.1", int(port)))
    sys.path.insert(0, str(ROOT))
    from benchmarks.race.watch import Watch

    Watch(link, float(started)).watch()
    if program == "plain":
        from benchmarks.race.plain import make_plain

        make_plain()
    if program == "kohya":
        from benchmarks.race.kohya import train as train_kohya

        train_kohya(Path(folder), size, arguments)
    elif program == "diffusers":
        from benchmarks.race.diffusers_scripts import train as train_diffusers

        train_diffusers(Path(folder), arguments)
    else:
        from lib_dreambooth.app import main as train

        sys.exit(train(arguments))


if __name__ == "__main__":
    main()
