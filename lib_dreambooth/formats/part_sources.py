"""The tensors of an open file under our names, each read only when it is written somewhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from torch import Tensor

from lib_dreambooth.formats.checkpoint import is_average, part_links
from lib_dreambooth.formats.checkpoint_write import Source
from lib_dreambooth.formats.container import TensorFile
from lib_dreambooth.formats.kinds import FileKind
from lib_dreambooth.formats.links import Link, Shape, from_file
from lib_dreambooth.formats.safetensors_write import Pending


@dataclass
class Sources:
    """Parts by name, what belongs to no part by its key, and shapes that the file has in its own way."""

    parts: dict[str, dict[str, Source]] = field(default_factory=dict)
    extras: dict[str, Source] = field(default_factory=dict)
    file_shapes: dict[str, Shape] = field(default_factory=dict)


def part_sources(
    file: TensorFile, kind: FileKind, *, prefer_ema: bool = False, keep_ema: bool = True
) -> Sources:
    """All of an open file, for writing it again; damaged parts are kept among the extras.

    With `prefer_ema` the averaged UNet takes the other one's place, and is not kept twice.
    """
    is_ema = prefer_ema and kind.has_ema
    sources = Sources()
    used: set[str] = set()
    for name, part in kind.parts.items():
        if not part.is_whole:
            continue
        live = part_links(file, kind, name)
        used.update(link.key for link in live)
        chosen = part_links(file, kind, name, is_ema=is_ema)
        sources.parts[name] = {own: tensor for link in chosen for own, tensor in _named(file, link)}
        sources.file_shapes.update(
            (link.key, file.shape(read.key))
            for link, read in zip(live, chosen, strict=True)
            if file.shape(read.key) != link.file_shape
        )
    drops_ema = is_ema or not keep_ema
    for key in file.entries:
        if key not in used and not (drops_ema and is_average(key)):
            sources.extras[key] = Pending(file.dtype(key), file.shape(key), _whole(file, key))
    return sources


def _named(file: TensorFile, link: Link) -> Iterator[tuple[str, Pending]]:
    for name in link.names:
        yield name, Pending(file.dtype(link.key), link.shape, _piece(file, link, name))


def _piece(file: TensorFile, link: Link, name: str) -> Callable[[], Tensor]:
    return lambda: from_file(link, file.read(link.key))[name]


def _whole(file: TensorFile, key: str) -> Callable[[], Tensor]:
    return lambda: file.read(key)
