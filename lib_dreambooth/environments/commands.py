"""What `run.py` does with its arguments: the tests, or a command of the program inside its environment."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.environments import children, known, places, testing, venvs

ROOT = Path(__file__).resolve().parents[2]
BAD_INPUT = 2

USAGE = """\
python run.py [COMMAND ...]     makes or updates its environment (.venv), then runs the command in it
python run.py test              checks and tests; --fast leaves out what is slow, further words go to pytest
python run.py test --host NAME  the tests in an environment with a WebUI's own packages: {hosts}
python run.py --help            the commands, once the environment is made"""


def main(arguments: list[str], say: venvs.Say, root: Path = ROOT) -> int:
    """The exit code: 0 done, 1 failed, 2 bad input, 130 cancelled."""
    try:
        if arguments[:1] == ["test"]:
            return testing.run(root, arguments[1:], say)
        return program(root, arguments, say)
    except UserError as error:
        say(error.sentence())
        return BAD_INPUT
    except KeyboardInterrupt:
        say("Stopped. The next start makes good what is half done.")
        return children.CANCELLED


def program(root: Path, arguments: list[str], say: venvs.Say) -> int:
    """Runs the program's own command line, in the folder the user is in."""
    place = places.Place(known.STANDALONE, root)
    if Path(sys.prefix).resolve() == place.folder.resolve():
        return run_here(arguments)
    asks_for_help = arguments[:1] in (["-h"], ["--help"])
    if asks_for_help and places.missing(place, place.environment.base):
        say(USAGE.format(hosts=", ".join(known.HOSTS)))
        return 0
    python = venvs.ready(place, place.environment.base, say)
    return children.run([str(python), str(root / "run.py"), *arguments])


def run_here(arguments: Sequence[str]) -> int:
    """The program in this process, which is the environment's own Python."""
    sys.argv = ["run.py", *arguments]
    runpy.run_module("lib_dreambooth", run_name="__main__", alter_sys=True)
    return 0
