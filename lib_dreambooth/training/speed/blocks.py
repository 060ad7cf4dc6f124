"""A UNet's transformers in a few expressions each, with the plain networks beside their layers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib_dreambooth.adapters.attached import Attached
from lib_dreambooth.adapters.joint import computed_in, is_joinable
from lib_dreambooth.adapters.low_rank import LowRank
from lib_dreambooth.base.forwards import forwards_taken
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.models.unet_layers import SDPA, BasicTransformerBlock, Transformer2DModel
from lib_dreambooth.training.speed.expressions import (
    Closed,
    Entered,
    Fed,
    GroupNorm,
    Norm,
    Opened,
    Passed,
    Read,
)
from lib_dreambooth.training.speed.products import Product

QUERY_KEY_VALUE = ("attn1.to_q", "attn1.to_k", "attn1.to_v")
KEY_VALUE = ("attn2.to_k", "attn2.to_v")
NORMS = ("norm1", "norm2", "norm3")
# By the layer's identity the plain network beside it.
Beside = Mapping[int, LowRank]


class Block:
    """A block whose layers are plain, and so are the networks beside them."""

    def __init__(self, module: nn.Module, beside: Beside, reader: Reader) -> None:
        first, second, third = [module.get_submodule(name) for name in NORMS]
        self.norms = [Norm(one.weight, one.bias, one.eps) for one in (first, second, third)]  # type: ignore[arg-type]
        self.heads: int = module.attn1.heads  # type: ignore[assignment, union-attr]
        make = functools.partial(product_of, module, beside)
        self.enter = make(*QUERY_KEY_VALUE)
        self.out, self.query = make("attn1.to_out.0"), make("attn2.to_q")
        self.last_out = make("attn2.to_out.0")
        self.wide, self.narrow = make("ff.net.0.proj"), make("ff.net.2")
        self.reader = reader
        self.place = reader.add(module)
        self.dtype_of = self.enter.weights[0]

    def fits(self, x: Tensor) -> bool:
        """Whether an input is as the expressions want it."""
        return is_computed(x, self.dtype_of, self.norms[0].weight)

    def output(self, strength: float, x: Tensor, states: Tensor) -> Tensor:
        """What the block gives."""
        with native(x):
            return self._output(strength, x.to(self.dtype_of.dtype), states)

    def _output(self, strength: float, x: Tensor, states: Tensor) -> Tensor:
        first, second, third = self.norms
        parts = Entered.apply(x, first, self.enter.operands(strength), self.heads, *self.enter.learned)
        out, query = self.out.operands(strength), self.query.operands(strength)
        learned = (*self.out.learned, *self.query.learned)
        x, queries = Passed.apply(attended(*parts), x, out, second, query, *learned)
        keys, values = self.reader.read(self.place, states, strength)
        last = [one.operands(strength) for one in (self.last_out, self.wide, self.narrow)]
        learned = (*self.last_out.learned, *self.wide.learned, *self.narrow.learned)
        found = attended(queries, keys, values)
        given: Tensor = Fed.apply(found, x, last[0], third, *last[1:], *learned)
        return given


class Reader:
    """Keys and values of all blocks of one width, which read the same states."""

    def __init__(self, beside: Beside) -> None:
        self._beside = beside
        self._layers: list[Any] = []
        self._heads = 0
        self._product: Product | None = None
        self._asked: Tensor | None = None
        self._found: Sequence[Tensor] = ()

    def add(self, module: nn.Module) -> int:
        """A block's place among those that read together."""
        self._layers += [module.get_submodule(name) for name in KEY_VALUE]
        self._heads = module.attn2.heads  # type: ignore[assignment, union-attr]
        return len(self._layers) // len(KEY_VALUE) - 1

    def begin(self, sample: Tensor, states: Tensor, strength: float) -> None:
        """Reads for all blocks, before any of them is asked: what is computed twice finds it there again."""
        self.end()
        if is_computed(sample, self._layers[0].weight):
            self._found, self._asked = self._read(states, strength), states

    def end(self) -> None:
        """Forgets what was read."""
        self._asked, self._found = None, ()

    def read(self, place: int, states: Tensor, strength: float) -> Sequence[Tensor]:
        """The keys and values of a block."""
        # Not by identity: what waited in system memory comes back as another tensor.
        is_asked = self._asked is not None and states.shape == self._asked.shape
        found = self._found if is_asked else self._read(states, strength)
        return found[2 * place : 2 * place + 2]

    def _read(self, states: Tensor, strength: float) -> Sequence[Tensor]:
        if self._product is None:
            beside = [self._beside[id(one)] for one in self._layers if id(one) in self._beside]
            self._product = Product(self._layers, beside)
        product = self._product
        with native(states):
            made_of = product.operands(strength)
            states = states.to(made_of.base.dtype)
            found: Sequence[Tensor] = Read.apply(states, made_of, self._heads, *product.learned)
        return found


class Transformer:
    """The way into a transformer's blocks and out of them."""

    def __init__(self, module: Any, beside: Beside) -> None:
        self.module = module
        self.norm = norm_of(module.norm)
        self.enter = product_of(module, beside, "proj_in")
        self.leave = product_of(module, beside, "proj_out")

    def fits(self, x: Tensor) -> bool:
        """Whether an input is as the expressions want it."""
        return is_computed(x, self.enter.weights[0], self.norm.weight)

    def output(self, strength: float, x: Tensor, states: Tensor) -> Tensor:
        """What the transformer gives."""
        with native(x):
            x = x.to(self.norm.weight.dtype)
            tokens = Opened.apply(x, self.norm, self.enter.operands(strength), *self.enter.learned)
        for block in self.module.transformer_blocks:
            tokens = block(tokens, states)
        with native(x):
            leave = self.leave.operands(strength)
            given: Tensor = Closed.apply(tokens.to(x.dtype), x, leave, *self.leave.learned)
        return given


def norm_of(layer: Any) -> GroupNorm:
    """A group norm's own."""
    return GroupNorm(layer.weight, layer.bias, layer.num_groups, layer.eps)


def attended(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """PyTorch's own attention."""
    return F.scaled_dot_product_attention(queries, keys, values)


def is_computed(x: Tensor, *weights: Tensor) -> bool:
    """Whether products with `x` are computed in the weights' own numbers."""
    wanted = computed_in(x)
    return all(weight.dtype == wanted for weight in weights)


def product_of(module: nn.Module, beside: Beside, *names: str) -> Product:
    """Layers of one input with their networks."""
    layers = [module.get_submodule(name) for name in names]
    return Product(layers, [beside[id(layer)] for layer in layers if id(layer) in beside])


@contextmanager
def in_expressions(unet: nn.Module, network: Attached) -> Iterator[int]:
    """While inside, passes with gradients take the short way; gives through how many blocks.

    Enter it where no plain network is at work by a hook, inside of `joined`.
    """
    beside = {
        id(network.layer(target)): adapter
        for target, adapter in network.adapters.items()
        if isinstance(adapter, LowRank) and is_joinable(adapter, network.layer(target))
    }
    readers: dict[Any, Reader] = {}
    num_blocks = 0
    with forwards_taken() as take:
        for module in unet.modules():
            if isinstance(module, Transformer2DModel) and not any(map(is_watched, outer(module))):
                short: Any = Transformer(module, beside)
            elif isinstance(module, BasicTransformerBlock) and is_plain(module, beside):
                reader = readers.setdefault(shape_of(module, KEY_VALUE, beside), Reader(beside))
                short = Block(module, beside, reader)
                num_blocks += 1
            else:
                continue
            take(module, functools.partial(either, short, module.forward, network.strengths))
        take(unet, functools.partial(reading, list(readers.values()), unet.forward, network.strengths))
        try:
            yield num_blocks
        finally:
            for reader in readers.values():
                reader.end()


def reading(
    readers: Sequence[Reader],
    plain: Callable[..., Any],
    strengths: Mapping[str, float],
    sample: Tensor,
    timestep: Any,
    states: Tensor,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """A pass of the UNet whose states are read for all blocks at once."""
    strength = strengths.get(UNET, 0.0)
    if strength and torch.is_grad_enabled():
        for reader in readers:
            reader.begin(sample, states, strength)
    return plain(sample, timestep, states, *args, **kwargs)


def either(short: Any, plain: Any, strengths: Mapping[str, float], x: Tensor, states: Tensor) -> Tensor:
    """The short way where gradients are wanted and the network is at work."""
    strength = strengths.get(UNET, 0.0)
    is_short = strength and torch.is_grad_enabled() and short.fits(x)
    found: Tensor = short.output(strength, x, states) if is_short else plain(x, states)
    return found


def outer(module: Transformer2DModel) -> tuple[nn.Module, ...]:
    """A transformer and its own layers without its blocks."""
    return module, module.norm, module.proj_in, module.proj_out


def native(x: Tensor) -> AbstractContextManager[Any]:
    """No mixed precision: all is in that of the weights by itself, and norms add up in float32 inside."""
    kind = x.device.type
    is_mixed = torch.is_autocast_cpu_enabled() if kind == "cpu" else torch.is_autocast_enabled()
    return torch.autocast(kind, enabled=False) if is_mixed else nullcontext()


def is_plain(module: BasicTransformerBlock, beside: Beside) -> bool:
    """Whether a block has nothing hung on it, and layers of one input can be one product."""
    if {module.attn1.kind, module.attn2.kind} != {SDPA} or any(map(is_watched, module.modules())):
        return False
    return all(shape_of(module, names, beside) is not None for names in (QUERY_KEY_VALUE, KEY_VALUE))


def is_watched(module: nn.Module) -> bool:
    """Whether somebody wants to see what goes in or out, or trains the weights themselves."""
    has_hooks = bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)
    return has_hooks or any(one is not None and one.requires_grad for one in module._parameters.values())


def shape_of(module: nn.Module, names: Sequence[str], beside: Beside) -> tuple[Any, ...] | None:
    """What layers with their networks have in common; None where one is different."""
    found = set()
    for name in names:
        layer: Any = module.get_submodule(name)
        network = beside.get(id(layer))
        own = () if network is None else (network.scale, network.down.dtype, network.rank)
        found.add((tuple(layer.weight.shape), layer.weight.dtype, layer.bias is None, own))
    return found.pop() if len(found) == 1 else None
