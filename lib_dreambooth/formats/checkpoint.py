"""A checkpoint's parts out of a file, under our names, in the file's precision."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.container import TensorFile, open_tensors
from lib_dreambooth.formats.detect import EMA_PREFIX, detect_file
from lib_dreambooth.formats.finite import is_finite
from lib_dreambooth.formats.host_yaml import prediction_of_yaml
from lib_dreambooth.formats.keymap import UNET, VAE, ema_key, links_at
from lib_dreambooth.formats.kinds import FAMILIES, NEEDED, PART_TITLES, FileKind
from lib_dreambooth.formats.links import Link, Shape, from_file

StateDict = dict[str, Tensor]

OTHER_VAES = {
    "sd1": "Choose a separate VAE file, such as vae-ft-mse-840000.",
    "sd2": "Choose a separate VAE file, such as vae-ft-mse-840000.",
    "sdxl": "Choose a separate VAE file, such as sdxl_vae.",
}


@dataclass
class Checkpoint:
    """Tensors by part and name; `file_shapes` holds the shapes in the file where reading changed them."""

    path: Path
    kind: FileKind
    parts: dict[str, StateDict]
    extras: StateDict = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    file_shapes: dict[str, Shape] = field(default_factory=dict)


def identify(path: Path | str) -> FileKind:
    """What a file is, with what a YAML file beside it says; reads no tensor."""
    with open_tensors(path) as file:
        return kind_of(file)


def kind_of(file: TensorFile) -> FileKind:
    """What an opened file is, with what a YAML file beside it says."""
    kind = detect_file(file)
    said = prediction_of_yaml(file.path) if kind.parts and kind.prediction_source in ("", "family") else ""
    return replace(kind, prediction=said, prediction_source="yaml") if said else kind


def read_checkpoint(
    path: Path | str,
    *,
    parts: Collection[str] | None = None,
    family: str | None = None,
    vae_path: Path | str | None = None,
    prefer_ema: bool = False,
    with_extras: bool = False,
) -> Checkpoint:
    """Reads the parts (all that the family needs, unless named) in one pass over the disk.

    `family` refuses another one; `vae_path` takes the VAE from a file of its own; `prefer_ema` takes the
    averaged UNet where there is one. Raises FileError for a missing or damaged part and for NaN or infinity.
    """
    path = Path(path)
    with open_tensors(path) as file:
        kind = kind_of(file)
        require_checkpoint(kind, path, family)
        wanted = tuple(parts) if parts is not None else NEEDED[kind.family]
        own = [part for part in wanted if part != VAE or vae_path is None]
        for part in own:
            require_part(kind, part, path)
        found: dict[str, StateDict] = {}
        file_shapes: dict[str, Shape] = {}
        for part in own:
            found[part] = read_part(file, kind, part, file_shapes, is_ema=prefer_ema and kind.has_ema)
        extras = file.read_all(extra_keys(file, kind)) if with_extras else {}
    if vae_path is not None and VAE in wanted:
        found[VAE] = read_vae(vae_path)
    return Checkpoint(path, kind, found, extras, file.metadata, file_shapes)


def read_vae(path: Path | str) -> StateDict:
    """The VAE of a VAE file or of a whole checkpoint, under diffusers' names."""
    path = Path(path)
    with open_tensors(path) as file:
        kind = detect_file(file)
        require_part(kind, VAE, path)
        return read_part(file, kind, VAE)


def part_links(file: TensorFile, kind: FileKind, part: str, *, is_ema: bool = False) -> Sequence[Link]:
    """The links of a part of this very file."""
    found = kind.parts[part]
    assert found.layout is not None, f"{part} is damaged"
    links = links_at(found.place, found.layout, file.entries)
    if is_ema and part == UNET:
        averaged = [replace(link, key=ema_key(link, found.place.prefix)) for link in links]
        return [twin if twin.key in file else link for twin, link in zip(averaged, links, strict=True)]
    return links


def extra_keys(file: TensorFile, kind: FileKind) -> list[str]:
    """Keys that belong to no part: averages, schedules, position ids, what a merge left behind."""
    whole = [name for name, part in kind.parts.items() if part.layout is not None]
    used = {link.key for name in whole for link in part_links(file, kind, name)}
    return [key for key in file.entries if key not in used]


def is_average(key: str) -> bool:
    """Whether an extra key belongs to the averaged weights."""
    return key.startswith(EMA_PREFIX)


def require_checkpoint(kind: FileKind, path: Path, family: str | None = None) -> None:
    """Raises FileError where the file is something else, or of another family than asked for."""
    if kind.role not in ("checkpoint", "unet"):
        raise FileError(
            f"is {kind.title()}, and a checkpoint is needed here.",
            where=str(path),
            todo="Choose the checkpoint that it goes with."
            if kind.role != "state"
            else "Choose a checkpoint.",
            code="wrong-kind",
        )
    if kind.family not in NEEDED:
        raise FileError(
            "is so damaged that its family cannot be told.",
            where=str(path),
            todo="Choose another checkpoint.",
            code="missing-part",
        )
    if family is not None and kind.family != family:
        raise FileError(
            f"is a checkpoint of {FAMILIES[kind.family]}, and {FAMILIES[family]} was asked for.",
            where=str(path),
            todo=f"Choose a checkpoint of {FAMILIES[family]}, or change the model family.",
            code="wrong-family",
        )


def require_part(kind: FileKind, part: str, path: Path) -> None:
    """Raises FileError where a part is missing or damaged."""
    found = kind.parts.get(part)
    if found is not None and found.is_whole:
        return
    if not kind.parts:
        raise FileError(
            f"is {kind.title()}, and {PART_TITLES[part]} of a model is needed here.",
            where=str(path),
            todo=_offer(kind, part),
            code="wrong-kind",
        )
    state = "is missing" if found is None else f"is damaged: {found.damage()}"
    raise FileError(
        f"{PART_TITLES[part]} {state}.", where=str(path), todo=_offer(kind, part), code="missing-part"
    )


def _offer(kind: FileKind, part: str) -> str:
    if part == VAE:
        return OTHER_VAES.get(kind.family, "Choose a file that is a VAE.")
    family = FAMILIES.get(kind.family, "the same family")
    return f"Choose another checkpoint of {family}, or merge this one again with its parts."


def read_part(
    file: TensorFile,
    kind: FileKind,
    part: str,
    file_shapes: dict[str, Shape] | None = None,
    *,
    is_ema: bool = False,
) -> StateDict:
    """One whole part of an opened file under our names; `file_shapes` takes the shapes that this changed."""
    links = part_links(file, kind, part, is_ema=is_ema)

    def read(key: str) -> Tensor:
        return require_finite(kind, part, key, file.read(key), file.path)

    return taken(file, links, read, file_shapes)


def taken(
    file: TensorFile,
    links: Sequence[Link],
    read: Callable[[str], Tensor],
    file_shapes: dict[str, Shape] | None = None,
) -> StateDict:
    """A part's tensors, as `read` gives them, under our names."""
    by_key = {link.key: link for link in links}
    state: StateDict = {}
    for key in file.in_order(by_key):
        tensor = read(key)
        link = by_key[key]
        if file_shapes is not None and tuple(tensor.shape) != link.file_shape:
            file_shapes[key] = tuple(tensor.shape)
        state.update(from_file(link, tensor))
    return state


def require_numbers(
    file: TensorFile, kind: FileKind, parts: Collection[str], *, is_ema: bool = False
) -> None:
    """Raises FileError where a part holds NaN or infinity; holds one tensor at a time."""
    for part in parts:
        for key, tensor in file.items(link.key for link in part_links(file, kind, part, is_ema=is_ema)):
            require_finite(kind, part, key, tensor, file.path)


def require_finite(kind: FileKind, part: str, key: str, tensor: Tensor, path: Path) -> Tensor:
    """The tensor. Raises FileError where it holds NaN or infinity."""
    if is_finite(tensor):
        return tensor
    raise FileError(
        f"{PART_TITLES[part]} holds values that are no numbers (NaN or infinity), in `{key[:80]}`.",
        where=str(path),
        todo=_offer(kind, part),
        code="not-finite",
    )
