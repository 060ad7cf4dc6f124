"""Parts back into the single file that every host reads.

Nothing is loaded before its turn to be written: a source is a tensor at hand or a `Pending` one of a file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.base.files import write_text
from lib_dreambooth.formats.checkpoint import is_average
from lib_dreambooth.formats.clip_keys import ClipLayout
from lib_dreambooth.formats.finite import is_finite
from lib_dreambooth.formats.folder import EXTRAS_PREFIX
from lib_dreambooth.formats.host_yaml import host_yaml, needs_yaml, prediction_of_yaml, yaml_path
from lib_dreambooth.formats.keymap import (
    LDM,
    OPEN_CLIP,
    OWN,
    PLACES,
    TEXT,
    TEXT_2,
    UNET,
    VAE,
    Layout,
    Place,
    layout_at,
    links_at,
)
from lib_dreambooth.formats.kinds import FileKind
from lib_dreambooth.formats.links import Link, Shape, to_file
from lib_dreambooth.formats.safetensors_write import Pending, write_safetensors

Source = Tensor | Pending

# Where the parts of each family lie in the file that every host reads.
_UNET_PLACE, _VAE_PLACE = ("model.diffusion_model.", LDM), ("first_stage_model.", LDM)
HOST_PLACES: dict[str, dict[str, tuple[str, str]]] = {
    "sd1": {UNET: _UNET_PLACE, VAE: _VAE_PLACE, TEXT: ("cond_stage_model.transformer.", OWN)},
    "sd2": {UNET: _UNET_PLACE, VAE: _VAE_PLACE, TEXT: ("cond_stage_model.model.", OPEN_CLIP)},
    "sdxl": {
        UNET: _UNET_PLACE,
        VAE: _VAE_PLACE,
        TEXT: ("conditioner.embedders.0.transformer.", OWN),
        TEXT_2: ("conditioner.embedders.1.model.", OPEN_CLIP),
    },
    "sdxl-refiner": {
        UNET: _UNET_PLACE,
        VAE: _VAE_PLACE,
        TEXT_2: ("conditioner.embedders.0.model.", OPEN_CLIP),
    },
}
# OpenCLIP's logit scale after training, which no host uses.
LOGIT_SCALE = math.log(100)


def write_checkpoint(
    path: Path | str,
    parts: Mapping[str, Mapping[str, Source]],
    kind: FileKind,
    *,
    dtype: torch.dtype | None = None,
    extras: Mapping[str, Source] | None = None,
    metadata: Mapping[str, str] | None = None,
    file_shapes: Mapping[str, Shape] | None = None,
) -> list[Path]:
    """Writes one .safetensors file, and the YAML beside it where hosts need one; gives what was written.

    `kind` says where each part lay, so that a file that was read comes back with the same keys, shapes and
    bits; parts of a folder go where hosts look for them. `dtype` casts all parts; without it nothing changes.
    """
    path = Path(path)
    _refuse_stale_yaml(path, kind)
    tensors: dict[str, Source] = {}
    for part, state in parts.items():
        layout = own_layout(part, state)
        place = target_place(kind, part, num_parts=len(parts))
        links = links_at(place, layout)
        tensors.update(file_tensors(links, state, dtype, file_shapes or {}))
        if part == TEXT and isinstance(layout, ClipLayout) and _has_left_folder(kind, part, place):
            tensors.update(_unused_of_sd2(tensors, layout, place.prefix))
    for key, source in moved_extras(kind, extras or {}, num_parts=len(parts)).items():
        tensors[key] = cast(key, source, dtype if is_average(key) else None)
    tensors.update({key: tensor for key, tensor in markers(kind).items() if key not in tensors})
    write_safetensors(path, tensors, metadata)
    if not needs_yaml(kind):
        return [path]
    write_text(yaml_path(path), host_yaml(kind))
    return [path, yaml_path(path)]


def _refuse_stale_yaml(path: Path, kind: FileKind) -> None:
    """A YAML file that was there before and says something else would make hosts misread the model."""
    said = prediction_of_yaml(path)
    if kind.parts and not needs_yaml(kind) and said not in ("", kind.prediction or said):
        raise FileError(
            f"{yaml_path(path).name} beside it says that the model predicts {said}, which this one does not.",
            where=str(path),
            todo="Choose another name, or delete that file.",
            code="stale-yaml",
        )


def own_layout(part: str, state: Mapping[str, Source]) -> Layout:
    """The layout of a part that is at hand under our names."""
    return layout_at(Place(part, "", OWN, ()), {name: tuple(source.shape) for name, source in state.items()})


def target_place(kind: FileKind, part: str, *, num_parts: int) -> Place:
    """Where the part goes: where it was, if hosts look there or the file holds nothing else."""
    found = kind.parts.get(part)
    if found is not None and (is_host_place(found.place) or num_parts == 1):
        return found.place
    prefix, naming = HOST_PLACES[kind.family][part]
    return next(place for place in PLACES if (place.prefix, place.naming) == (prefix, naming))


def is_host_place(place: Place) -> bool:
    """Whether hosts look for the part there."""
    return place in PLACES and not place.prefix.endswith("/")


def file_tensors(
    links: Sequence[Link],
    state: Mapping[str, Source],
    dtype: torch.dtype | None,
    file_shapes: Mapping[str, Shape],
) -> Iterator[tuple[str, Pending]]:
    """The file's tensors, each made from ours when its turn comes."""
    for link in links:
        missing = [name for name in link.names if name not in state]
        assert not missing, f"{missing[0]} is not among the tensors to be written"
        sources = [state[name] for name in link.names]
        shape = file_shapes.get(link.key, link.file_shape)
        yield link.key, cast(link.key, Pending(sources[0].dtype, shape, _maker(link, sources, shape)), dtype)


def cast(key: str, source: Source, dtype: torch.dtype | None) -> Pending:
    """The source in another precision where it holds fractions; values that do not fit are refused."""
    target = dtype if dtype is not None and source.dtype.is_floating_point else source.dtype

    def load() -> Tensor:
        tensor = loaded(source)
        changed = tensor.to(target)
        if target == torch.float16 != tensor.dtype and not is_finite(changed) and is_finite(tensor):
            raise FileError(
                "holds values that are too large for fp16.", where=f"`{key[:80]}`", todo="Write bf16 or fp32."
            )
        return changed

    return Pending(target, tuple(source.shape), load)


def loaded(source: Source) -> Tensor:
    """The tensor itself, on the CPU."""
    return source.load() if isinstance(source, Pending) else source.detach().cpu()


def moved_extras(kind: FileKind, extras: Mapping[str, Source], *, num_parts: int) -> dict[str, Source]:
    """Extras of a folder under the keys that they have in a single file; all others as they are."""
    prefixes = {EXTRAS_PREFIX: ""}
    for part, found in kind.parts.items():
        if found.place.prefix.endswith("/"):
            prefixes[found.place.prefix] = target_place(kind, part, num_parts=max(num_parts, 2)).prefix
    moved: dict[str, Source] = {}
    for key, source in extras.items():
        prefix = next((prefix for prefix in prefixes if key.startswith(prefix)), "")
        moved[prefixes.get(prefix, "") + key.removeprefix(prefix)] = source
    return moved


def markers(kind: FileKind) -> dict[str, Tensor]:
    """Empty tensors by which Forge and others know the prediction of an SDXL model."""
    if kind.family != "sdxl" or kind.prediction != "v":
        return {}
    found = {"v_pred": torch.zeros(0)}
    if kind.is_zero_terminal:
        found["ztsnr"] = torch.zeros(0)
    return found


def _has_left_folder(kind: FileKind, part: str, place: Place) -> bool:
    found = kind.parts.get(part)
    return kind.family == "sd2" and found is not None and found.place != place


def _unused_of_sd2(tensors: Mapping[str, Source], layout: ClipLayout, prefix: str) -> dict[str, Source]:
    """What hosts build SD2's text encoder with and never use: a last layer, the projection and a scale.

    A diffusers folder leaves them out. The unused layer becomes a copy of the last one that is used.
    """
    last, unused = (f"{prefix}transformer.resblocks.{layout.num_layers - back}." for back in (1, 0))
    made = {
        unused + key.removeprefix(last): source for key, source in tensors.items() if key.startswith(last)
    }
    dtype = next(iter(made.values())).dtype
    made[f"{prefix}text_projection"] = torch.eye(layout.width, dtype=dtype)
    made[f"{prefix}logit_scale"] = torch.tensor(LOGIT_SCALE, dtype=dtype)
    return made


def _maker(link: Link, sources: list[Source], shape: Shape) -> Callable[[], Tensor]:
    return lambda: to_file(link, [loaded(source) for source in sources], shape)
