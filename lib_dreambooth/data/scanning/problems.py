"""The sentences for what a scan finds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.data.item import Finding
from lib_dreambooth.data.pictures.opening import MAX_PIXELS
from lib_dreambooth.data.scanning.facts import FileFacts
from lib_dreambooth.settings.length import plural


def unusable(path: str, problem: str) -> Finding:
    """A picture that is left out."""
    return Finding(
        "picture-unreadable",
        "error",
        (path,),
        f"The picture {problem}.",
        "It is left out.",
        "Save it again with a picture editor, or take it out of the folder.",
    )


def gone(path: str) -> Finding:
    """A picture that was removed while it was being read."""
    return Finding(
        "picture-gone",
        "warning",
        (path,),
        "The picture was removed while the folder was being read.",
        "It is left out.",
        "Put it back and scan again if it was meant to be trained.",
    )


def mislabelled(paths: Sequence[str]) -> Finding:
    """Pictures whose ending is not that of their format."""
    return Finding(
        "picture-mislabelled",
        "note",
        tuple(paths),
        f"{len(paths)} {plural(len(paths), 'picture is', 'pictures are')} of another format than the ending "
        f"says, the first is `{name(paths)}`.",
        "None: their content decides.",
        "Other programs may stumble over them; rename them if you like.",
    )


def read_reduced(path: str, fact: FileFacts) -> Finding:
    """A JPEG so large that it is read smaller."""
    width, height = fact.stored_size
    return Finding(
        "picture-read-reduced",
        "note",
        (path,),
        f"The picture has {width}x{height} pixels, more than the {MAX_PIXELS // 1_000_000} million "
        "that are read whole.",
        "It is read at a fraction of its size, which is still far more than is trained.",
    )


def mask_of_other_shape(path: str, mask: str) -> Finding:
    """A mask that does not have its picture's shape."""
    return Finding(
        "mask-shape",
        "warning",
        (path, mask),
        "The mask has another shape than its picture.",
        "It is stretched over the picture, so it may cover the wrong parts.",
        "Make the mask from the picture as it is now.",
    )


def mask_unusable(path: str, mask: str, problem: str) -> Finding:
    """A mask file that cannot be read."""
    return Finding(
        "mask-unreadable",
        "error",
        (path, mask),
        f"The picture's mask {problem}.",
        "The picture is left out, so that nothing is learned that the mask was to keep out.",
        "Save the mask again, or remove it.",
    )


def no_pictures(folder: Path, mode: str) -> UserError:
    """The refusal where a concept's folder holds nothing to train on."""
    todo = "Check that the folder is the right one and that its pictures can be opened."
    if mode == "ignore":
        todo = 'Check the folder; sub-folders are not read while Sub-folders is "Ignore".'
    elif mode == "repeats":
        todo = 'Check the folder; with "Repeats only" just sub-folders named like 10_name are read.'
    return UserError(
        "there are no pictures in this folder.", where=str(folder), todo=todo, code="no-pictures"
    )


def none_named(folder: Path | str, metadata_file: str) -> UserError:
    """The refusal of a metadata file that speaks of other pictures."""
    return UserError(
        f"the metadata file {metadata_file} names no picture that lies in this folder.",
        where=str(folder),
        todo="Only pictures that it names are trained on: choose the file made for this folder, or none.",
        code="no-pictures",
    )


def none_readable(folder: Path, unusable: Sequence[Finding]) -> UserError:
    """The refusal where a concept's folder has pictures and not one of them can be read."""
    first = unusable[0]
    reason = first.what[0].lower() + first.what[1:].removesuffix(".")
    count = "the one picture" if len(unusable) == 1 else f"none of the {len(unusable)} pictures"
    state = "cannot be used" if len(unusable) == 1 else "can be used"
    return UserError(
        f"{count} in this folder {state}; in `{name(first.paths)}` {reason}.",
        where=str(folder),
        todo="Copy the pictures here again, or save them again with a picture editor.",
        code="no-pictures",
    )


def nothing_to_train() -> UserError:
    """The refusal where no concept is trained."""
    return UserError(
        "there is no concept with training pictures.",
        where="concepts",
        todo="Add a concept and choose the folder with its pictures.",
        code="no-concepts",
    )


def same_folder_twice(folder: str) -> Finding:
    """A folder that several concepts take their training pictures from."""
    return Finding(
        "folder-twice",
        "warning",
        (folder,),
        "Several concepts take their training pictures from this folder.",
        "Each picture is trained once for each of them.",
        "Remove one of the concepts unless that is meant, for example for two resolutions.",
    )


def name(paths: Sequence[str]) -> str:
    """The first file's name, short enough for a sentence."""
    return Path(paths[0]).name[:80]
