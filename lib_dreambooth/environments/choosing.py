"""What has to be there before an environment is made: a Python that will do, and room."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.environments import pythons
from lib_dreambooth.environments.places import GIB, Environment, Place

Say = Callable[[str], None]


def python_for(environment: Environment, say: Say) -> Path:
    """The interpreter to make the environment with."""
    if sys.maxsize < 2**32:
        raise UserError(
            "This is a 32-bit Python; torch exists only for 64 bits.", todo="Install a 64-bit Python."
        )
    running = (sys.version_info[0], sys.version_info[1])
    if environment.python is None and pythons.is_supported(running):
        return Path(sys.executable)
    accepted = [environment.python] if environment.python else newest_first()
    for version in accepted:
        found = pythons.find(version)
        if found:
            say(f"Using Python {pythons.text(version)} at {found}.")
            return found
    if environment.python:
        version_text = pythons.text(environment.python)
        what = f"{environment.name} needs Python {version_text}, and none was found on this machine."
        raise UserError(what, todo=pythons.how_to_get(environment.python), code="no-python")
    raise UserError(
        f"This is Python {pythons.text(running)}; {pythons.text(pythons.OLDEST)} to "
        f"{pythons.text(pythons.NEWEST)} will do, and none of them was found on this machine.",
        todo=pythons.how_to_get((3, 12)),
        code="no-python",
    )


def newest_first() -> list[pythons.Version]:
    """Every Python the locks hold versions for."""
    return [(3, minor) for minor in range(pythons.NEWEST[1], pythons.OLDEST[1] - 1, -1)]


def check_space(place: Place) -> None:
    """Refuses to begin what cannot end."""
    free = shutil.disk_usage(place.root).free
    needed = place.environment.needed_bytes
    if free < needed:
        raise UserError(
            f"The packages need at least {needed / GIB:.1f} GiB, and {free / GIB:.1f} GiB are free.",
            where=str(place.root),
            todo="Free some space and start again.",
            code="disk-full",
        )
