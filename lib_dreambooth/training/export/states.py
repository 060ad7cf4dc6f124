"""A model's tensors for a checkpoint: what was trained from memory, all else from the base file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from torch import Tensor, nn

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.adapter_names import Target
from lib_dreambooth.formats.checkpoint import kind_of
from lib_dreambooth.formats.checkpoint_write import Source, loaded
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.formats.finite import is_finite
from lib_dreambooth.formats.keymap import VAE
from lib_dreambooth.formats.kinds import FileKind
from lib_dreambooth.formats.links import Shape
from lib_dreambooth.formats.part_sources import Sources, part_sources
from lib_dreambooth.formats.safetensors_write import Pending
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.training.export.facts import BaseFacts

log = logging.getLogger(__name__)

COMPILED = "_orig_mod."
# By part and name: the tensors that stand in for the modules' own, such as averages or merged weights.
Replaced = Mapping[str, Mapping[str, Source]]


@dataclass(frozen=True)
class ModelSources:
    """What a writer of `formats` takes."""

    kind: FileKind
    parts: dict[str, dict[str, Source]]
    extras: Mapping[str, Source]
    file_shapes: Mapping[str, Shape]

    @property
    def tensors(self) -> Iterator[Source]:
        """Every tensor, for reckoning with."""
        for state in self.parts.values():
            yield from state.values()
        yield from self.extras.values()


@contextmanager
def model_sources(
    model: LoadedModel,
    base: BaseFacts,
    *,
    trained: Collection[str],
    replaced: Replaced | None = None,
    own_vae: bool = False,
    prefer_ema: bool = False,
) -> Iterator[ModelSources]:
    """Sources that can be read while the block is open.

    Parts that were not trained come from the base file bit for bit, together with everything in it that we
    do not know; old averages of the weights are left out, or taken where `prefer_ema` says that the run began
    with them. Where the base file is gone or was replaced by
    another one, all parts come from memory.
    """
    given = replaced or {}
    kind = replace(
        model.source.kind, prediction=base.prediction, is_zero_terminal=base.is_zero_terminal, has_ema=False
    )
    from_memory = {*trained, *given} | ({VAE} if own_vae else set())
    with base_sources(model, prefer_ema) as found:
        parts: dict[str, dict[str, Source]] = {}
        for part, module in model.modules.items():
            if part in from_memory or part not in found.parts:
                parts[part] = checked(part, {**module_tensors(module), **given.get(part, {})})
            else:
                parts[part] = dict(found.parts[part])
        # Parts that were never loaded.
        parts |= {part: dict(state) for part, state in found.parts.items() if part not in parts}
        yield ModelSources(kind, parts, found.extras, found.file_shapes)


@contextmanager
def base_sources(model: LoadedModel, prefer_ema: bool) -> Iterator[Sources]:
    """What the base file holds; nothing if it is not the one any more that was read."""
    try:
        file = open_tensors(model.source.path)
    except FileError as error:
        log.warning("The base cannot be read for parts that were not trained: %s", error)
        yield Sources()
        return
    with file:
        if kind_of(file) != model.source.kind:
            log.warning("%s is another model than the one that was trained on.", model.source.path)
            yield Sources()
        else:
            yield part_sources(file, model.source.kind, prefer_ema=prefer_ema, keep_ema=False)


def module_tensors(module: nn.Module) -> dict[str, Tensor]:
    """A module's parameters under our names."""
    inner = getattr(module, COMPILED[:-1], module)
    return {name.replace(COMPILED, ""): parameter.detach() for name, parameter in inner.named_parameters()}


def merged(model: LoadedModel, changes: Mapping[Target, Mapping[str, Callable[[], Tensor]]]) -> Replaced:
    """The model's weights with an adapter's changes of each tensor added, each made when it is written."""
    found: dict[str, dict[str, Source]] = {}
    tensors = {part: module_tensors(model.modules[part]) for part in {key.part for key in changes}}
    for target, change_of in changes.items():
        for tensor, change in change_of.items():
            name = f"{target.path}.{tensor}"
            found.setdefault(target.part, {})[name] = _sum(tensors[target.part][name], change)
    return found


def _sum(weight: Tensor, change: Callable[[], Tensor]) -> Pending:
    def load() -> Tensor:
        delta = change().to(weight.device).float().reshape(weight.shape)
        return (weight.float() + delta).to("cpu", weight.dtype)

    return Pending(weight.dtype, tuple(weight.shape), load)


def checked(part: str, state: Mapping[str, Source]) -> dict[str, Source]:
    """Sources that refuse NaN and infinity when their turn comes."""
    return {
        name: Pending(source.dtype, tuple(source.shape), _finite(f"{part}.{name}", source))
        for name, source in state.items()
    }


def require_finite(name: str, tensor: Tensor) -> Tensor:
    """The tensor; raises FileError for NaN and infinity."""
    if not is_finite(tensor):
        raise FileError(
            "what was trained holds values that are no numbers (NaN or infinity), so it was not saved; files"
            " that were saved before are as they were.",
            where=f"`{name[:80]}`",
            todo="Go on from an earlier state with a lower learning rate.",
            code="not-finite",
        )
    return tensor


def _finite(name: str, source: Source) -> Callable[[], Tensor]:
    return lambda: require_finite(name, loaded(source))
