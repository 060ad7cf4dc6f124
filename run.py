"""Runs sd-webui-dreambooth without a WebUI: makes its environment at the first start, then runs the command.

An old Python has to get as far as the sentence that says so: this file stays readable for Python 2.7, and
everything else is imported after the check.
"""

import os
import sys

ROOT = os.path.dirname(os.path.abspath(__file__))
OLDEST_PYTHON = (3, 10)


def say(line):
    # type: (str) -> None
    print(line)
    sys.stdout.flush()


def main(arguments):
    # type: (list[str]) -> int
    if sys.version_info < OLDEST_PYTHON:
        say("This is Python %d.%d; sd-webui-dreambooth needs Python 3.10 to 3.13." % sys.version_info[:2])
        say("Get one from python.org, or with pyenv, uv or conda, and start with it: python3.11 run.py")
        return 2
    if hasattr(sys.stdout, "reconfigure"):
        # A pipe on Windows takes the system's own letters alone; a path may have others.
        sys.stdout.reconfigure(errors="backslashreplace")
    if ROOT not in sys.path:
        sys.path.insert(0, ROOT)
    from lib_dreambooth.environments import commands

    return commands.main(arguments, say)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
