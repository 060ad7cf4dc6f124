"""What a file is, from its keys, shapes and metadata alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.adapter_parts import adapter_kinds, has_bundled_embedding, split_key
from lib_dreambooth.formats.clip_keys import ClipLayout
from lib_dreambooth.formats.container import TensorFile
from lib_dreambooth.formats.entries import DTYPE_NAMES
from lib_dreambooth.formats.folder import STATE_MARK
from lib_dreambooth.formats.foreign import foreign_family
from lib_dreambooth.formats.keymap import (
    OPEN_CLIP,
    TEXT,
    TEXT_2,
    UNET,
    VAE,
    Place,
    find_places,
    layout_at,
    links_at,
)
from lib_dreambooth.formats.kinds import FileKind, Part
from lib_dreambooth.formats.links import LayoutError, Shapes
from lib_dreambooth.formats.unet_layout import UNetLayout
from lib_dreambooth.formats.vae_keys import VaeLayout

EMA_PREFIX = "model_ema."
LATENT_CHANNELS = 4
VARIANTS = {4: "", 9: "inpainting", 8: "instruct"}
OTHER_VARIANTS = {
    5: "the depth-to-image form of Stable Diffusion 2",
    7: "the x4 upscaler of Stable Diffusion 2",
}
CHOOSE_ANOTHER = "Choose a model of Stable Diffusion 1, 2 or SDXL."
# Widths of the text states that a UNet's or a LoRA's cross-attention takes.
CONTEXT_FAMILIES = {768: "sd1", 1024: "sd2", 2048: "sdxl", 1280: "sdxl-refiner"}
MAX_EMBEDDING_VECTORS = 512
# Of CLIP-L, OpenCLIP-H, OpenCLIP-bigG, and of the first and last beside each other.
EMBEDDING_WIDTHS = (768, 1024, 1280, 2048)
# Where the UNet lies in a whole checkpoint.
WHOLE_PREFIXES = ("model.diffusion_model.", "unet/")
OTHER_TEXT_PREFIX = "cond_stage_model.roberta."

LOOKED_FOR = (
    "`model.diffusion_model.*` (checkpoint), `first_stage_model.*` or `encoder.*` (VAE), `*.lora_up.weight`, "
    "`*.hada_*`, `*.lokr_*` (LoRA), `emb_params`, `string_to_param` (embedding)"
)


def detect_file(file: TensorFile) -> FileKind:
    """What an opened file is."""
    return detect(file.shapes, file.metadata, file.dtypes, where=str(file.path))


def detect(
    shapes: Shapes,
    metadata: Mapping[str, str] | None = None,
    dtypes: Mapping[str, torch.dtype] | None = None,
    *,
    where: str = "",
) -> FileKind:
    """What the tensors are. Raises FileError, with `where`, for everything that is none of ours."""
    metadata = metadata or {}
    common: dict[str, Any] = {"num_tensors": len(shapes), "dtypes": _count(dtypes)}
    if STATE_MARK in metadata:
        return FileKind("state", **common)
    if not shapes:
        raise _unknown(shapes, where, "holds no tensors")
    kinds = adapter_kinds(shapes)
    own = _own_keys(shapes)
    if (kinds or has_bundled_embedding(shapes)) and not own:
        return _adapter(shapes, metadata, kinds, where, common)
    foreign = foreign_family(own or shapes, is_adapter=False)
    if foreign:
        raise _foreign(f"is a model of another kind: {foreign}.", where)
    places = find_places(shapes)
    if places:
        return _model(shapes, metadata, places, where, common)
    if is_embedding(shapes):
        return FileKind("embedding", _embedding_family(shapes), **common)
    raise _unknown(shapes, where, "is no model that is known here")


def _own_keys(shapes: Shapes) -> list[str]:
    """What tells a whole checkpoint's family: its UNet's keys, and those that name another text encoder.

    Empty for all else. Merges carry LoRA, ControlNet and CLIP keys along, which make it nothing else.
    """
    plain = [key for key in shapes if split_key(key) is None]
    unet = find_places(plain).get(UNET)
    if unet is None or unet.prefix not in WHOLE_PREFIXES:
        return []
    return [key for key in plain if key.startswith((unet.prefix, OTHER_TEXT_PREFIX))]


def is_embedding(shapes: Shapes) -> bool:
    """Whether the tensors are the vectors of words."""
    if "clip_g" in shapes or "clip_l" in shapes:
        return set(shapes) <= {"clip_g", "clip_l"} and all(map(_are_vectors, shapes.values()))
    named = [key for key in shapes if key == "emb_params" or key.startswith("string_to_param.")]
    chosen = named or list(shapes)
    if len(chosen) != 1 or not _are_vectors(shapes[chosen[0]]):
        return False
    # A concept of diffusers is one tensor under the word's own name.
    is_word = chosen[0].startswith("<") or chosen[0] == "*"
    return bool(named) or is_word or shapes[chosen[0]][-1] in EMBEDDING_WIDTHS


def _are_vectors(shape: tuple[int, ...]) -> bool:
    return len(shape) in (1, 2) and 0 not in shape and (len(shape) == 1 or shape[0] <= MAX_EMBEDDING_VECTORS)


def _embedding_family(shapes: Shapes) -> str:
    if "clip_g" in shapes:
        return "sdxl"
    widths = {shape[-1] for key, shape in shapes.items() if shape and key != "string_to_token"}
    return {768: "sd1", 1024: "sd2"}.get(max(widths, default=0), "")


def _model(
    shapes: Shapes, metadata: Mapping[str, str], places: dict[str, Place], where: str, common: dict[str, Any]
) -> FileKind:
    parts = {name: _part(place, shapes) for name, place in places.items()}
    unet, vae = parts.get(UNET), parts.get(VAE)
    unet_layout = unet.layout if unet and isinstance(unet.layout, UNetLayout) else None
    if vae and isinstance(vae.layout, VaeLayout) and vae.layout.latent_channels != LATENT_CHANNELS:
        channels = vae.layout.latent_channels
        raise _foreign(f"has a VAE of {channels} latent channels, as SD3 and Flux have.", where)
    family = _family(places, unet_layout, where)
    prediction, source = _prediction(shapes, metadata, family)
    linked = sum(part.num_keys for part in parts.values())
    return FileKind(
        role=_role(parts),
        family=family,
        variant=_variant(unet_layout, where),
        layout=_layout(places),
        prediction=prediction,
        prediction_source=source,
        is_zero_terminal="ztsnr" in shapes or metadata.get("scheduler.rescale_betas_zero_snr") == "True",
        has_ema=any(key.startswith(EMA_PREFIX) for key in shapes),
        parts=parts,
        num_extras=len(shapes) - linked,
        **common,
    )


def _part(place: Place, shapes: Shapes) -> Part:
    try:
        layout = layout_at(place, shapes)
    except LayoutError:
        return Part(place, 0, None)
    links = links_at(place, layout, shapes)
    missing = tuple(link.key for link in links if link.key not in shapes)
    if place.part == TEXT_2 and isinstance(layout, ClipLayout) and not layout.projection_width:
        # Its pooled state is of no use without.
        missing += (f"{place.prefix}text_projection",)
    misshapen = tuple(link.key for link in links if link.key in shapes and not link.fits(shapes[link.key]))
    num_keys = sum(link.key in shapes for link in links)
    return Part(place, num_keys, layout, missing, misshapen)


def _role(parts: Mapping[str, Part]) -> str:
    if UNET in parts and len(parts) > 1:
        return "checkpoint"
    if UNET in parts:
        return "unet"
    if VAE in parts:
        return "vae" if len(parts) == 1 else "checkpoint"
    return "text-encoder"


def _family(places: Mapping[str, Place], unet: UNetLayout | None, where: str) -> str:
    text, text_2 = places.get(TEXT), places.get(TEXT_2)
    if unet is not None:
        return _unet_family(unet, text, text_2, where)
    if text_2 is not None:
        return "sdxl-refiner" if text is None and "embedders.0" in text_2.prefix else "sdxl"
    if text is not None and text.prefix.startswith("conditioner."):
        return "sdxl"
    if text is not None and text.prefix:
        return "sd2" if text.naming == OPEN_CLIP else "sd1"
    return ""


def _unet_family(unet: UNetLayout, text: Place | None, text_2: Place | None, where: str) -> str:
    if not unet.addition_width:
        return "sd2" if unet.is_linear else "sd1"
    if any(unet.down_depths[0]):
        raise _foreign("is the unCLIP form of Stable Diffusion 2, which takes pictures for prompts.", where)
    if text is not None or (text_2 is not None and "embedders.1" in text_2.prefix):
        return "sdxl"
    if text_2 is not None and "embedders.0" in text_2.prefix:
        return "sdxl-refiner"
    # Alone, the refiner is known by its four levels; the base and its pruned forms have three.
    return "sdxl-refiner" if len(unet.widths) == 4 else "sdxl"


def _variant(unet: UNetLayout | None, where: str) -> str:
    channels = unet.in_channels if unet else LATENT_CHANNELS
    if channels in VARIANTS:
        return VARIANTS[channels]
    title = OTHER_VARIANTS.get(channels, f"a UNet with {channels} channels in")
    raise _foreign(f"is {title}, which cannot be trained here.", where)


def _layout(places: Mapping[str, Place]) -> str:
    first = next(iter(places.values()))
    return "diffusers" if first.naming == "own" and not first.prefix.startswith(("cond", "first")) else "ldm"


def _prediction(shapes: Shapes, metadata: Mapping[str, str], family: str) -> tuple[str, str]:
    if "v_pred" in shapes:
        return "v", "marker"
    if any(key.startswith("edm_") for key in shapes):
        return "edm", "marker"
    said = metadata.get("modelspec.prediction_type") or metadata.get("scheduler.prediction_type", "")
    if said.startswith("v") or metadata.get("modelspec.architecture", "").endswith("-768-v"):
        return "v", "metadata"
    if said == "epsilon" or metadata.get("modelspec.architecture", "").endswith("v2-512"):
        return "epsilon", "metadata"
    if said == "sample":
        return "sample", "metadata"
    if family in ("", "sd2"):
        return "", ""
    return "epsilon", "family"


def _adapter(
    shapes: Shapes, metadata: Mapping[str, str], kinds: tuple[str, ...], where: str, common: dict[str, Any]
) -> FileKind:
    foreign = foreign_family(shapes, is_adapter=True)
    if foreign:
        raise _foreign(f"is a LoRA for {foreign}.", where)
    family = adapter_family(shapes, metadata)
    prediction = "v" if metadata.get("ss_base_model_version", "").endswith("_v") else ""
    return FileKind("adapter", family, prediction=prediction, adapter_kinds=kinds, **common)


def adapter_family(shapes: Shapes, metadata: Mapping[str, str]) -> str:
    """The family that a LoRA was trained on: from its metadata, else its names, else its widths."""
    version = metadata.get("ss_base_model_version", "")
    architecture = metadata.get("modelspec.architecture", "")
    for start, spec, family in (
        ("sdxl_", "stable-diffusion-xl", "sdxl"),
        ("sd_v2", "stable-diffusion-v2", "sd2"),
        ("sd_v1", "stable-diffusion-v1", "sd1"),
    ):
        if version.startswith(start) or (not version and architecture.startswith(spec)):
            return family
    if any(key.startswith(("lora_te1_", "lora_te2_", "text_encoder_2.")) for key in shapes):
        return "sdxl"
    for key, shape in shapes.items():
        split = split_key(key)
        is_context = split and split[0].replace(".", "_").endswith(("attn2_to_k", "attn2_to_v"))
        if split and is_context and split[1] in ("lora_down", "hada_w1_b", "diff") and len(shape) >= 2:
            return CONTEXT_FAMILIES.get(shape[1], "")
    return ""


def _count(dtypes: Mapping[str, torch.dtype] | None) -> dict[str, int]:
    return dict(Counter(DTYPE_NAMES.get(dtype, str(dtype)) for dtype in (dtypes or {}).values()))


def _foreign(what: str, where: str) -> FileError:
    return FileError(what, where=where, todo=CHOOSE_ANOTHER, code="unsupported-model")


def _unknown(shapes: Shapes, where: str, what: str) -> FileError:
    some = ", ".join(f"`{key[:60]}`" for key in list(shapes)[:3]) or "none"
    return FileError(
        f"{what}. Looked for {LOOKED_FOR}; found {some}.",
        where=where,
        todo=CHOOSE_ANOTHER,
        code="unknown-model",
    )
