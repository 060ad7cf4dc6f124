"""Use this one: the chosen file under a plain name in the folder that hosts list."""

from __future__ import annotations

import shutil
from pathlib import Path

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.base.files import replacing
from lib_dreambooth.training.export.names import LONGEST_ENDING, Taken, clean_name, shortened
from lib_dreambooth.training.export.own_settings import metadata_of
from lib_dreambooth.training.export.placing import discard, require_space
from lib_dreambooth.training.export.result import beside, side_files, stem_of
from lib_dreambooth.training.export.rewriting import rewrite_adapter

ALIAS_KEY = "ss_output_name"


def promote(chosen: Path, folder: Path, name: str, *, replace: bool = False, move: bool = False) -> Path:
    """Copies a result with its side files into `folder` under `name`; with `move` the original goes.

    Raises FileError with the code "exists" where hosts know that name already, also in a sub-folder; ask the
    user, then call again with `replace`, which takes the place of a file in `folder` itself. A running WebUI
    may use the replaced file's old weights until the prompt's LoRAs change.
    """
    if not chosen.is_file():
        raise FileError(
            "is not there any more.", where=str(chosen), todo="Choose another file.", code="missing"
        )
    stem = shortened(clean_name(name), folder, LONGEST_ENDING)
    target = folder / f"{stem}{chosen.suffix}"
    if target.exists() and target.samefile(chosen):
        return target
    require_free(folder, stem, target, replace)
    require_space(folder, chosen.stat().st_size, "the copy")
    copy_result(chosen, target, stem)
    for side in side_files(chosen):
        # Never with its old time: hosts notice newer side files alone.
        copy(side, beside(target, side.name.removeprefix(stem_of(chosen))))
    if move:
        for path in (*side_files(chosen), chosen):
            discard(path)
    return target


def require_free(folder: Path, stem: str, target: Path, replace: bool) -> None:
    """Raises FileError unless the name is free, or may be taken from the file that has it."""
    if target.exists() and replace:
        return
    if target.exists() or Taken(folder, folder)(stem):
        raise FileError(
            f"there is a file named {stem} already; hosts tell files apart by their names alone.",
            where=str(target if target.exists() else folder),
            todo="Replace it, or choose another name.",
            code="exists",
        )


def copy_result(chosen: Path, target: Path, stem: str) -> None:
    """A copy that is called by its new name in prompts."""
    metadata = metadata_of(chosen) if chosen.suffix == ".safetensors" else {}
    if ALIAS_KEY in metadata and "ss_network_module" in metadata:
        # Two files that call themselves the same would both lose that name in the WebUI.
        rewrite_adapter(chosen, target, {ALIAS_KEY: stem})
    else:
        copy(chosen, target)


def copy(source: Path, target: Path) -> None:
    """A copy of a file, whole or not at all."""
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
