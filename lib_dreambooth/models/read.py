"""From one file to modules: no network, one copy in memory, about as fast as reading the file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.diffusion.schedule import stable_diffusion_schedule
from lib_dreambooth.formats.checkpoint import (
    kind_of,
    part_links,
    require_checkpoint,
    require_finite,
    require_part,
    taken,
)
from lib_dreambooth.formats.container import TensorFile, open_tensors
from lib_dreambooth.formats.keymap import OWN, TEXT, TEXT_2, UNET, VAE, links_at
from lib_dreambooth.formats.kinds import FAMILIES as FAMILY_TITLES
from lib_dreambooth.formats.kinds import PART_TITLES, FileKind
from lib_dreambooth.formats.links import Link
from lib_dreambooth.models.build import build_text_encoder, build_unet, build_vae, fill
from lib_dreambooth.models.families import FAMILIES, Family, TextRule
from lib_dreambooth.models.loaded import LoadedModel, Source, safe_vae_dtype
from lib_dreambooth.models.prediction import measured_prediction
from lib_dreambooth.models.tokenizer import END_ID

ALL_PARTS = (UNET, VAE, TEXT, TEXT_2)

# The precision for a part of a family; None for the file's.
DtypeOf = Callable[[Family, str], "torch.dtype | None"]


def read_model(
    path: Path | str,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | DtypeOf | None = None,
    vae_path: Path | str | None = None,
    text_path: Path | str | None = None,
    prefer_ema: bool = False,
    parts: Collection[str] = ALL_PARTS,
    expect_family: str | None = None,
) -> LoadedModel:
    """Reads a checkpoint's parts onto a device, in the file's precision unless `dtype` names another, for all
    or by part.

    `vae_path` takes the VAE from another file, `text_path` the text encoders; `parts` leaves out what is not
    needed. Raises FileError for anything that is not a whole checkpoint of a family that can be used.
    """
    path = Path(path)
    target = torch.device(device)
    # Under a host's inference mode parameters could never be trained.
    with torch.inference_mode(mode=False), torch.no_grad():
        with open_tensors(path) as file:
            kind = kind_of(file)
            require_usable(kind, path, expect_family)
            family = FAMILIES[kind.family]
            needed = [part for part in ALL_PARTS if part in parts and part in (UNET, VAE, *family.text)]
            elsewhere = {VAE: vae_path} | dict.fromkeys(family.text, text_path)
            own = [part for part in needed if elsewhere.get(part) is None]
            for part in own:
                require_part(kind, part, path)
            reader = _Reader(family, target, dtype)
            reader.take(file, kind, own, prefer_ema=prefer_ema)
        for other in {str(elsewhere[part]) for part in needed if part not in own}:
            reader.take_from(Path(other), [part for part in needed if str(elsewhere.get(part)) == other])
        prediction = _prediction(kind, reader.modules.get(UNET))
    return LoadedModel(
        family=family,
        rules=reader.rules,
        schedule=stable_diffusion_schedule(is_zero_terminal=kind.is_zero_terminal),
        prediction=prediction,
        source=Source(path, kind),
        modules={part: reader.modules[part] for part in needed},
        vae_source=Path(vae_path) if vae_path is not None else None,
    )


def require_usable(kind: FileKind, path: Path, expect_family: str | None = None) -> None:
    """Raises FileError unless the file is a checkpoint of a family that can be drawn with and trained."""
    require_checkpoint(kind, path, expect_family)
    if kind.family not in FAMILIES:
        raise FileError(
            f"is a checkpoint of {FAMILY_TITLES[kind.family]}, which only finishes other models' pictures.",
            where=str(path),
            todo="Choose the base model that belongs to it.",
            code="unsupported-model",
        )
    if kind.prediction == "edm":
        raise FileError(
            "predicts in EDM's form, which is not supported.",
            where=str(path),
            todo="Choose a checkpoint that predicts noise or velocity.",
            code="unsupported-model",
        )


@dataclass
class _Reader:
    """Builds each part and fills it with its tensors as they come, so that one copy of them is alive."""

    family: Family
    device: torch.device
    dtype: torch.dtype | DtypeOf | None
    modules: dict[str, nn.Module] = field(default_factory=dict)
    rules: dict[str, TextRule] = field(default_factory=dict)

    def take(self, file: TensorFile, kind: FileKind, parts: list[str], *, prefer_ema: bool = False) -> None:
        is_ema = prefer_ema and kind.has_ema
        links = {part: part_links(file, kind, part, is_ema=is_ema) for part in parts}
        part_of = {key: part for part in parts for key in file.in_order(link.key for link in links[part])}
        dtypes = {part: self._dtype_of(part, file.dtype(links[part][0].key)) for part in parts}
        changed = {
            key
            for key, part in part_of.items()
            if dtypes[part] not in (None, file.dtype(key)) and file.dtype(key).is_floating_point
        }

        def turned(key: str, tensor: Tensor) -> Tensor:
            require_finite(kind, part_of[key], key, tensor, file.path)
            return tensor.to(dtypes[part_of[key]]).contiguous() if key in changed else tensor

        # The disk is read while modules are made.
        with file.ahead(part_of, turned, passing=changed) as read:
            for part in parts:
                module = self._built(part, links[part], kind)
                fill(module, taken(file, links[part], read), self.device)
                self.modules[part] = module
                if part in self.family.text:
                    require_vocabulary(kind, part, file.path)
                    self.rules[part] = text_rule(self.family, part, kind)

    def take_from(self, path: Path, parts: list[str]) -> None:
        """Parts out of another file; it may be of any kind that has them."""
        with open_tensors(path) as file:
            kind = kind_of(file)
            for part in parts:
                require_part(kind, part, path)
            self.take(file, kind, parts)

    def _built(self, part: str, links: Sequence[Link], kind: FileKind) -> nn.Module:
        """The part's module, still without memory."""
        return built(self.family, part, links, kind)

    def _dtype_of(self, part: str, in_file: torch.dtype) -> torch.dtype | None:
        dtype = self.dtype(self.family, part) if callable(self.dtype) else self.dtype
        return safe_vae_dtype(self.family, dtype or in_file) if part == VAE else dtype


def built(family: Family, part: str, links: Sequence[Link], kind: FileKind) -> nn.Module:
    """A part's module on `meta`, for tensors of these shapes."""
    shaped = {name: torch.empty(link.shape, device="meta") for link in links for name in link.names}
    if part == UNET:
        second = kind.text_encoder(TEXT_2)
        module: nn.Module = build_unet(shaped, family, second.projection_width if second else None)
    elif part == VAE:
        module = build_vae(shaped, family)
    else:
        module = build_text_encoder(shaped, family, part)
    return module


def blank_model(kind: FileKind, path: Path) -> LoadedModel:
    """A model of this kind on `meta`: every size is real, and nothing was read."""
    family = FAMILIES[kind.family]
    modules: dict[str, nn.Module] = {}
    for part in (one for one in ALL_PARTS if one in kind.parts and one in (UNET, VAE, *family.text)):
        found = kind.parts[part]
        assert found.layout is not None, f"{part} is damaged"
        modules[part] = built(family, part, links_at(found.place, found.layout), kind)
        modules[part].requires_grad_(False).eval()
    return LoadedModel(
        family=family,
        rules={part: text_rule(family, part, kind) for part in family.text if part in modules},
        schedule=stable_diffusion_schedule(is_zero_terminal=kind.is_zero_terminal),
        prediction=kind.prediction or "epsilon",
        source=Source(path, kind),
        modules=modules,
    )


def require_vocabulary(kind: FileKind, part: str, path: Path) -> None:
    """Refuses a text encoder that was made for other words than CLIP's; more than those do no harm."""
    layout = kind.text_encoder(part)
    if layout is not None and layout.vocabulary <= END_ID:
        raise FileError(
            f"{PART_TITLES[part]} knows {layout.vocabulary:,} of CLIP's {END_ID + 1:,} words.",
            where=str(path),
            todo="Choose another checkpoint.",
            code="unsupported-model",
        )


def text_rule(family: Family, part: str, kind: FileKind) -> TextRule:
    """How a text encoder of this file is used: diffusers' SD2 folders lack the last, unused layer."""
    rule = family.text[part]
    lacks_last = family.name == "sd2" and kind.parts[part].place.naming == OWN
    return replace(rule, layer=rule.layer - 1) if lacks_last else rule


def _prediction(kind: FileKind, unet: nn.Module | None) -> str:
    """What the file says; SD2 files mostly do not, and then trying it out tells."""
    if kind.prediction or unet is None:
        return kind.prediction or "epsilon"
    return measured_prediction(unet)
