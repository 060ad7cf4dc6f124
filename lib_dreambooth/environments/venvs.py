"""Makes an environment and keeps it up to date with its locks; what is half made is made again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from lib_dreambooth.base import files
from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.environments import exclusive, pip, pythons

Say = Callable[[str], None]

MARK = "dreambooth-environment.json"
GIB = 1 << 30


@dataclass(frozen=True)
class Layer:
    """Packages that go into an environment together: those of a lock, or what install.py adds under one."""

    name: str
    lock: str
    by_installer: bool = False
    sources: tuple[str, ...] = ()  # further files that decide what the layer holds


@dataclass(frozen=True)
class Environment:
    """A folder with a Python and packages. `python` None: the one that runs this, if it is supported."""

    name: str
    folder: str
    base: tuple[Layer, ...]
    for_tests: tuple[Layer, ...]
    needed_bytes: int
    python: pythons.Version | None = None


@dataclass(frozen=True)
class Place:
    """An environment in a checkout."""

    environment: Environment
    root: Path

    @property
    def folder(self) -> Path:
        return self.root / self.environment.folder

    @property
    def python(self) -> Path:
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def mark(self) -> Path:
        return self.folder / MARK

    @property
    def log(self) -> Path:
        return self.folder / "install.log"


def ready(place: Place, layers: Iterable[Layer], say: Say) -> Path:
    """The environment's Python, after making or updating whatever is not as the locks want it."""
    layers = list(layers)
    if not missing(place, layers):
        return place.python
    lock_path = place.root / f"{place.environment.folder}.lock"
    with exclusive.held(
        lock_path, lambda: say("Another start is making the environment; waiting for it ...")
    ) as lock:
        wanted = missing(place, layers)
        if wanted:
            make(place, wanted, say, lock)
    return place.python


def missing(place: Place, layers: Iterable[Layer]) -> list[Layer]:
    """The layers that have to be installed: all of them if the folder is not whole."""
    mark = read_mark(place)
    if mark.get("state") != "whole" or not has_python(place):
        return list(layers)
    return [layer for layer in layers if mark["layers"].get(layer.name) != fingerprint(place.root, layer)]


def fingerprint(root: Path, layer: Layer) -> str:
    """Changes when what the layer holds should change; the same for both kinds of line end."""
    digest = hashlib.sha256()
    for name in (layer.lock, *layer.sources):
        digest.update((root / name).read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def read_mark(place: Place) -> dict[str, Any]:
    """What the folder says of itself; empty if it says nothing that can be read."""
    try:
        mark = json.loads(place.mark.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    whole = isinstance(mark, dict) and isinstance(mark.get("layers"), dict)
    return mark if whole else {}


def has_python(place: Place) -> bool:
    """Whether the interpreter is there and the installation it was made from still is."""
    if not place.python.is_file():
        return False
    try:
        lines = (place.folder / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    homes = [line.split("=", 1)[1].strip() for line in lines if line.split("=")[0].strip() == "home"]
    return bool(homes) and Path(homes[0]).is_dir()


def make(place: Place, layers: list[Layer], say: Say, lock: BinaryIO) -> None:
    """Installs layers, into a new folder if what is there is not whole."""
    mark = read_mark(place)
    is_whole = mark.get("state") == "whole" and has_python(place)
    if not is_whole:
        python = choose_python(place.environment, say)
        check_space(place)
        clear(place, say)
        create(place, python, say, lock)
        mark = {"layers": {}}
    # From here on the folder is in between: a start that finds it so begins again.
    mark["state"] = "making"
    files.write_json(place.mark, mark)
    with making_room(place):
        for layer in layers:
            say(f"Installing {layer.name} ({layer.lock}) into {place.environment.folder} ...")
            install_layer(place, layer, lock)
            mark["layers"][layer.name] = fingerprint(place.root, layer)
    mark["state"] = "whole"
    files.write_json(place.mark, mark)
    say(f"{place.environment.folder} is ready.")


@contextlib.contextmanager
def making_room(place: Place) -> Iterator[None]:
    """Gives the space back if the disk filled up: the next start would begin again anyway."""
    try:
        yield
    except UserError as error:
        if error.code == "disk-full":
            with contextlib.suppress(OSError):
                remove(place)
        raise


def choose_python(environment: Environment, say: Say) -> Path:
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


def clear(place: Place, say: Say) -> None:
    """Takes a half-made folder away; leaves alone what we did not make."""
    if not place.folder.exists():
        return
    if not place.mark.exists() and any(path.suffix != ".tmp" for path in place.folder.iterdir()):
        raise UserError(
            "this folder was not made by run.py.",
            where=str(place.folder),
            todo="Rename or delete it and start again.",
            code="foreign-environment",
        )
    say(f"{place.environment.folder} is not whole; making it again ...")
    try:
        remove(place)
    except OSError as error:
        raise FileError(
            "this folder is half made and cannot be removed.",
            where=str(place.folder),
            todo="Close every program that runs from it, or delete it by hand, and start again.",
            code="file-in-use",
        ) from error


def remove(place: Place) -> None:
    """Removes the folder, its mark last: a removal that was cut short must still look half made."""
    # Only where it says otherwise: on a full disk nothing can be written, and this is how to make room.
    if read_mark(place).get("state") == "whole":
        files.write_json(place.mark, {"state": "making", "layers": {}})
    for path in place.folder.iterdir():
        if path == place.mark:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    place.mark.unlink(missing_ok=True)
    place.folder.rmdir()


def create(place: Place, python: Path, say: Say, lock: BinaryIO) -> None:
    """An empty environment with pip in it, marked as being made before anything else is there."""
    say(f"Making {place.environment.folder} with {python} ...")
    files.write_json(place.mark, {"state": "making", "layers": {}})
    done = subprocess.run(
        [str(python), "-m", "venv", str(place.folder)],
        stdin=lock,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        files.write_text(place.log, done.stdout)
        raise pip.failure(done.stdout, done.returncode, where=str(place.log))


def install_layer(place: Place, layer: Layer, lock: BinaryIO) -> None:
    """One layer, by pip or by the extension's own installer."""
    if layer.by_installer:
        run_installer(place, layer, lock)
        return
    pip.install(
        place.python, ["-r", str(place.root / layer.lock), *index_arguments()], log=place.log, lock=lock
    )


def index_arguments() -> list[str]:
    """Where CUDA builds of torch are: on Windows the public index holds CPU builds alone."""
    if sys.platform == "win32" and shutil.which("nvidia-smi"):
        return ["--extra-index-url", os.environ.get("TORCH_INDEX_URL") or CUDA_BUILDS]
    return []


CUDA_BUILDS = "https://download.pytorch.org/whl/cu130"


def run_installer(place: Place, layer: Layer, lock: BinaryIO) -> None:
    """Runs install.py as a WebUI does, and keeps a list of what was installed before and after."""
    before = listed(place)
    constraints = {"PIP_CONSTRAINT": str(place.root / layer.lock)}
    code = pip.run([str(place.python), str(place.root / "install.py")], lock=lock, environ=constraints)
    assert code == 0, f"install.py ended with {code}"
    after = listed(place)
    absent = sorted(lock_names(place.root / layer.lock) - {normal(name) for name in after})
    if absent:
        raise UserError(
            f"install.py could not add {', '.join(absent)}; its reason is above.",
            todo="Start again.",
            code="pip-failed",
        )
    files.write_json(place.folder / f"{layer.name}.json", {"before": before, "after": after})


LIST = (
    "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
)


def listed(place: Place) -> dict[str, str]:
    """Every distribution in the environment, with its version."""
    done = subprocess.run(
        [str(place.python), "-I", "-c", LIST],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(sorted(json.loads(done.stdout).items(), key=lambda pair: pair[0].lower()))


def normal(name: str) -> str:
    """A distribution's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def lock_names(lock: Path) -> set[str]:
    """The names in a lock, without those for other systems."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    return {normal(line.split("==")[0]) for line in lines if "==" in line and ";" not in line}
