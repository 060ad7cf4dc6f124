"""What ties a tensor of a module to a tensor of a file: two names, two shapes, and how one becomes the other.

"Ours" is the naming of diffusers (UNet, VAE) and Hugging Face (text encoders, with `text_model.`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lib_dreambooth.base.errors import UserError

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


class LayoutError(UserError):
    """A part's tensors do not make up a network of a known form."""

    code = "unknown-layout"


class Module(NamedTuple):
    """A module with parameters: its path in our naming, in the original one, and its parameters' shapes."""

    name: str
    ldm: str
    shapes: dict[str, Shape]


@dataclass(frozen=True)
class Link:
    """One tensor of a file and the one of ours that it holds, or the three that are stacked in it."""

    names: tuple[str, ...]
    shape: Shape
    key: str
    file_shape: Shape
    is_transposed: bool = False

    def fits(self, shape: Shape) -> bool:
        """Whether a file's shape holds the same numbers; sizes of 1 at the end do not matter."""
        return _without_ones(shape) == _without_ones(self.file_shape)

    def with_prefix(self, prefix: str) -> Link:
        return Link(self.names, self.shape, f"{prefix}{self.key}", self.file_shape, self.is_transposed)


def from_file(link: Link, tensor: Tensor) -> dict[str, Tensor]:
    """The file's tensor as ours; views of it where that is enough."""
    if link.is_transposed:
        tensor = tensor.t().contiguous()
    pieces = tensor.chunk(len(link.names)) if len(link.names) > 1 else (tensor,)
    return {name: piece.reshape(link.shape) for name, piece in zip(link.names, pieces, strict=True)}


def to_file(link: Link, tensors: Sequence[Tensor], shape: Shape | None = None) -> Tensor:
    """Ours as the file's tensor; `shape` where the file it came from had sizes of 1 at the end."""
    tensor = torch.cat(list(tensors)) if len(tensors) > 1 else tensors[0]
    if link.is_transposed:
        tensor = tensor.t()
    return tensor.reshape(shape or link.file_shape)


def same(name: str, shape: Shape, key: str, file_shape: Shape | None = None) -> Link:
    """A link whose tensor only changes its name, or sizes of 1 at its end."""
    return Link((name,), shape, key, file_shape or shape)


def links_of(modules: Iterable[Module]) -> Iterator[Link]:
    """The links from our naming to the original one."""
    for module in modules:
        for parameter, shape in module.shapes.items():
            yield same(f"{module.name}.{parameter}", shape, f"{module.ldm}.{parameter}")


def own_links(links: Iterable[Link]) -> Iterator[Link]:
    """The links of a file in our own naming."""
    for link in links:
        for name in link.names:
            yield same(name, link.shape, name)


def norm(width: int) -> dict[str, Shape]:
    return {"weight": (width,), "bias": (width,)}


def linear(outputs: int, inputs: int, *, bias: bool = True) -> dict[str, Shape]:
    return {"weight": (outputs, inputs), **({"bias": (outputs,)} if bias else {})}


def conv(outputs: int, inputs: int, kernel: int) -> dict[str, Shape]:
    return {"weight": (outputs, inputs, kernel, kernel), "bias": (outputs,)}


def _without_ones(shape: Shape) -> Shape:
    end = len(shape)
    while end and shape[end - 1] == 1:
        end -= 1
    return shape[:end]
