"""Networks of any kind out of a file beside a model, and new plain LoRA to train."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from lib_dreambooth.adapters.attached import Attached, Beside
from lib_dreambooth.adapters.chaining import seen_after
from lib_dreambooth.adapters.kinds import beside_from_file
from lib_dreambooth.adapters.low_rank import NO_DROPOUTS, Dropouts, fresh
from lib_dreambooth.base.errors import FileError
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.formats.adapter_names import AdapterNames, Target
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.formats.kinds import FAMILIES, FileKind
from lib_dreambooth.formats.lora import AdapterFile, AdapterModule

log = logging.getLogger(__name__)

NUM_SHOWN = 3


def attach_file(
    adapter: AdapterFile,
    roots: Mapping[str, nn.Module],
    names: AdapterNames,
    family: str,
    *,
    unet_strength: float = 1.0,
    text_strength: float = 1.0,
    after: Sequence[Attached] = (),
) -> Attached:
    """Puts a file's weights beside the modules of `roots`, by part, in their precision.

    Strengths are those of `<lora:name:text:unet>`. Modules of parts that `roots` lack are left out. A network
    `after` others starts from what those have made of a weight.
    Raises FileError for other families, and for shapes that do not fit.
    """
    placed, unknown = placed_in(adapter, names, family)
    if unknown:
        log.warning(
            "%s: %d modules are not in this model and do nothing, such as %s.",
            adapter.path.name,
            len(unknown),
            ", ".join(unknown[:NUM_SHOWN]),
        )
    adapters = {
        target: fitted(adapter.path, target, module, names, family)
        for target, module in placed.items()
        if target.part in roots
    }
    for target, beside in adapters.items():
        weight = weight_at(roots, target)
        place(beside, weight.device, weight.dtype)
        for _, parameter in beside.named_parameters():
            parameter.requires_grad_(False)
    strengths = {part: unet_strength if part == UNET else text_strength for part in roots}
    seen = seen_after(after, adapters, lambda target: roots[target.part].get_submodule(target.path))
    attached = Attached(roots, names, adapters, strengths=strengths, seen=seen)
    attached.training(False)
    return attached


def attach_new(
    targets: Iterable[tuple[Target, int, float]],
    roots: Mapping[str, nn.Module],
    names: AdapterNames,
    seed: int,
) -> Attached:
    """New trainable weights in float32 for (module, rank, alpha); the same for the same seed and module."""
    adapters = {}
    for target, rank, alpha in targets:
        draw = Draw(seed, "adapter", names.written[target])
        adapters[target] = fresh(names.shapes[target], rank, alpha, draw)
        place(adapters[target], weight_at(roots, target).device)
    return Attached(roots, names, adapters)


def placed_in(
    adapter: AdapterFile, names: AdapterNames, family: str
) -> tuple[dict[Target, AdapterModule], list[str]]:
    """A file's modules by the layers they are for, and the names that fit no layer; raises FileError."""
    require_family(adapter.kind, adapter.path, family)
    placed, unknown = adapter.placed(names)
    if not placed:
        raise does_not_fit(adapter.path, f"none of its {len(unknown)} modules is in this model", family)
    return placed, unknown


def require_family(kind: FileKind, path: Path, family: str) -> None:
    """Raises FileError for files of another family."""
    if kind.family and kind.family != family:
        raise FileError(
            f"is a LoRA for {FAMILIES[kind.family]}, and the model is of {FAMILIES[family]}.",
            where=str(path),
            todo="Choose a LoRA that was trained on this family.",
            code="wrong-family",
        )


def weight_at(roots: Mapping[str, nn.Module], target: Target) -> nn.Parameter:
    """The weight that an adapter stands beside."""
    return next(roots[target.part].get_submodule(target.path).parameters())


def place(beside: Beside, device: torch.device, dtype: torch.dtype | None = None) -> None:
    """`Module.to`, which does nothing while a WebUI loads a model."""
    for _, parameter in beside.named_parameters():
        parameter.data = parameter.data.to(device, dtype)


def fitted(
    path: Path,
    target: Target,
    module: AdapterModule,
    names: AdapterNames,
    family: str,
    dropouts: Dropouts = NO_DROPOUTS,
) -> Beside:
    """A file's network for one layer. Raises FileError where it is for another shape."""
    shape = names.shapes[target]
    found = beside_from_file(module, shape, dropouts)
    if found is None:
        sizes = "x".join(map(str, shape))
        raise does_not_fit(path, f"`{names.written[target]}` does not fit a weight of {sizes}", family)
    return found


def does_not_fit(path: Path, why: str, family: str) -> FileError:
    """The sentence for a file that is for another model."""
    return FileError(
        f"does not fit this model: {why}.",
        where=str(path),
        todo=f"Choose a LoRA that was trained on {FAMILIES[family]}.",
        code="wrong-family",
    )
