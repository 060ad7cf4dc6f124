"""Run by the WebUI at every launch, in a process of its own: adds what training needs, changes nothing else.

Ends with 0 whatever happens: a missing package switches a feature off, never the WebUI.
"""

import os
import sys
import traceback

ROOT = os.path.dirname(os.path.abspath(__file__))
OLDEST_PYTHON = (3, 10)


def say(line):
    # type: (str) -> None
    print("Dreambooth: " + line)
    sys.stdout.flush()


def main():
    # type: () -> None
    if sys.version_info < OLDEST_PYTHON:
        say(
            "training is off: it needs Python 3.10 or newer, this WebUI runs on %d.%d." % sys.version_info[:2]
        )
        return
    if hasattr(sys.stdout, "reconfigure"):
        # A pipe on Windows takes the system's own letters alone; a path may have others.
        sys.stdout.reconfigure(errors="backslashreplace")
    if ROOT not in sys.path:
        sys.path.insert(0, ROOT)
    try:
        from lib_dreambooth.environments import settled

        last = os.path.join(ROOT, settled.FILE_NAME)
        if settled.is_settled(last):
            return
        from lib_dreambooth.environments import installer

        installer.run(say, settled_path=last)
    except Exception:  # noqa: BLE001 - the edge of this process: the WebUI must start whatever is wrong here
        say("adding packages failed; the WebUI is as it was. Please report this:")
        traceback.print_exc(file=sys.stdout)


if __name__ == "__main__":
    main()
