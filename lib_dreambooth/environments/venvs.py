"""Makes an environment and keeps it up to date with its locks; what is half made is made again."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from lib_dreambooth.base import files
from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.environments import choosing, exclusive, pip, recorded
from lib_dreambooth.environments.places import (
    MAKING,
    WHOLE,
    Layer,
    Place,
    fingerprint,
    has_python,
    missing,
    read_mark,
)

Say = Callable[[str], None]

# On Windows the public index holds torch's CPU builds alone.
CUDA_BUILDS = "https://download.pytorch.org/whl/cu130"


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


def make(place: Place, layers: list[Layer], say: Say, lock: BinaryIO) -> None:
    """Installs layers, into a new folder if what is there is not whole."""
    mark = read_mark(place)
    is_whole = mark.get("state") == WHOLE and has_python(place)
    if not is_whole:
        python = choosing.python_for(place.environment, say)
        choosing.check_space(place)
        clear(place, say)
        create(place, python, say, lock)
        mark = {"layers": {}}
    # From here on the folder is in between: a start that finds it so begins again.
    mark["state"] = MAKING
    files.write_json(place.mark, mark)
    with making_room(place):
        for layer in layers:
            say(f"Installing {layer.name} ({layer.lock}) into {place.environment.folder} ...")
            install_layer(place, layer, lock)
            mark["layers"][layer.name] = fingerprint(place.root, layer)
        compile_all(place, lock)
    mark["state"] = WHOLE
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
    if read_mark(place).get("state") == WHOLE:
        files.write_json(place.mark, {"state": MAKING, "layers": {}})
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
    files.write_json(place.mark, {"state": MAKING, "layers": {}})
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
        recorded.run_installer(place, layer, lock)
        return
    lock_path = str(place.root / layer.lock)
    arguments = ["--no-compile", "-r", lock_path, *index_arguments()]
    pip.install(place.python, arguments, log=place.log, lock=lock)


def compile_all(place: Place, lock: BinaryIO) -> None:
    """Makes bytecode with every core there is, where pip takes one; what cannot be read is passed over."""
    pip.run([str(place.python), "-m", "compileall", "-qq", "-j", "0", str(place.folder)], lock=lock)


def index_arguments() -> list[str]:
    """A further index with CUDA builds of torch, where there is a card and the first lacks them."""
    if sys.platform == "win32" and shutil.which("nvidia-smi"):
        return ["--extra-index-url", os.environ.get("TORCH_INDEX_URL") or CUDA_BUILDS]
    return []
