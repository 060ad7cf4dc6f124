"""A model as a diffusers folder: weights and the JSON files that say how to build each part."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.base.files import folder_made, replace, temporary_name, unwritable
from lib_dreambooth.formats.checkpoint_write import Source, cast, file_tensors, own_layout
from lib_dreambooth.formats.clip_keys import ClipLayout, open_clip_links
from lib_dreambooth.formats.folder import EXTRAS_NAME
from lib_dreambooth.formats.host_yaml import SD_LATENT_SCALE, SDXL_LATENT_SCALE
from lib_dreambooth.formats.keymap import OPEN_CLIP, OWN, TEXT, TEXT_2, UNET, VAE, Layout, Place, links_at
from lib_dreambooth.formats.kinds import FileKind, activation_of
from lib_dreambooth.formats.safetensors_write import write_safetensors
from lib_dreambooth.formats.unet_layout import UNetLayout
from lib_dreambooth.formats.vae_keys import VaeLayout

PIPELINES = {
    "sd1": "StableDiffusionPipeline",
    "sd2": "StableDiffusionPipeline",
    "sdxl": "StableDiffusionXLPipeline",
    "sdxl-refiner": "StableDiffusionXLImg2ImgPipeline",
}
STEMS = {UNET: "diffusion_pytorch_model", VAE: "diffusion_pytorch_model", TEXT: "model", TEXT_2: "model"}
CLASSES = {
    UNET: ("diffusers", "UNet2DConditionModel"),
    VAE: ("diffusers", "AutoencoderKL"),
    TEXT: ("transformers", "CLIPTextModel"),
    TEXT_2: ("transformers", "CLIPTextModelWithProjection"),
}
SAMPLE_SIZES = {"sd1": 64, "sd2": 96, "sdxl": 128, "sdxl-refiner": 128}
SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def write_folder(
    folder: Path | str,
    parts: Mapping[str, Mapping[str, Source]],
    kind: FileKind,
    *,
    dtype: torch.dtype | None = None,
    extras: Mapping[str, Source] | None = None,
    metadata: Mapping[str, str] | None = None,
    more_files: Mapping[str, bytes] | None = None,
) -> Path:
    """Writes a new folder, whole or not at all; `more_files` (tokenizers) by their path inside it."""
    folder = Path(folder)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FileError(
                "is there already and not empty.", where=str(folder), todo="Choose a new name.", code="exists"
            )
        temporary = temporary_name(folder)
        with folder_made(folder.parent, blamed=folder):
            try:
                _fill(temporary, parts, kind, dtype, dict(extras or {}), metadata, more_files or {})
                if folder.exists():
                    folder.rmdir()
                replace(temporary, folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder


def _fill(
    folder: Path,
    parts: Mapping[str, Mapping[str, Source]],
    kind: FileKind,
    dtype: torch.dtype | None,
    extras: dict[str, Source],
    metadata: Mapping[str, str] | None,
    more_files: Mapping[str, bytes],
) -> None:
    layouts = {part: own_layout(part, state) for part, state in parts.items()}
    for part, state in parts.items():
        layout = layouts[part]
        if _has_unused_layer(kind, part) and isinstance(layout, ClipLayout):
            layout, unused = _without_last_layer(layout, state)
            extras = {**unused, **extras}
        links = links_at(Place(part, "", OWN, ()), layout)
        tensors = dict(file_tensors(links, state, dtype, {}))
        write_safetensors(folder / part / f"{STEMS[part]}.safetensors", tensors, {"format": "pt"})
        _json(folder / part / "config.json", part_config(kind, part, layout, layouts))
    for name, data in more_files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    _json(folder / "scheduler" / "scheduler_config.json", scheduler_config(kind))
    _json(folder / "model_index.json", model_index(kind, tuple(parts), tuple(more_files)))
    if extras:
        kept = {key: cast(key, source, None) for key, source in extras.items()}
        write_safetensors(folder / EXTRAS_NAME, kept, metadata)


def part_config(kind: FileKind, part: str, layout: Layout, layouts: Mapping[str, Layout]) -> dict[str, Any]:
    """The part's config.json."""
    if isinstance(layout, UNetLayout):
        second = layouts.get(TEXT_2)
        pooled = second.projection_width if isinstance(second, ClipLayout) else None
        size = SAMPLE_SIZES.get(kind.family, 64)
        return {"_class_name": CLASSES[UNET][1], "sample_size": size, **layout.diffusers_config(pooled)}
    if isinstance(layout, VaeLayout):
        is_xl = kind.family.startswith("sdxl")
        scale = SDXL_LATENT_SCALE if is_xl else SD_LATENT_SCALE
        config = {"_class_name": CLASSES[VAE][1], "scaling_factor": scale, **layout.diffusers_config()}
        return {**config, "force_upcast": True} if is_xl else config
    return {
        "architectures": [CLASSES[part][1]],
        "model_type": "clip_text_model",
        **layout.hf_config(activation_of(kind.family, part)),
        "bos_token_id": layout.vocabulary - 2,
        "eos_token_id": layout.vocabulary - 1,
        "pad_token_id": 1,
    }


def scheduler_config(kind: FileKind) -> dict[str, Any]:
    """What the folder says of the noise schedule."""
    config: dict[str, Any] = dict(SCHEDULER)
    config["prediction_type"] = {"v": "v_prediction", "sample": "sample"}.get(kind.prediction, "epsilon")
    if kind.is_zero_terminal:
        config.update(rescale_betas_zero_snr=True, timestep_spacing="trailing")
    return config


def model_index(kind: FileKind, parts: tuple[str, ...], more_files: tuple[str, ...]) -> dict[str, Any]:
    """What the folder holds."""
    index: dict[str, Any] = {"_class_name": PIPELINES[kind.family], "_diffusers_version": "0.31.0"}
    index["scheduler"] = ["diffusers", SCHEDULER["_class_name"]]
    for part in parts:
        index[part] = list(CLASSES[part])
    for name in sorted({name.partition("/")[0] for name in more_files}):
        index[name] = ["transformers", "CLIPTokenizer"]
    if kind.family in ("sd1", "sd2"):
        index.update(feature_extractor=[None, None], safety_checker=[None, None])
    return index


def _has_unused_layer(kind: FileKind, part: str) -> bool:
    """SD2 uses the last but one layer; diffusers leaves the last one out and uses the new last."""
    found = kind.parts.get(part)
    return kind.family == "sd2" and part == TEXT and found is not None and found.place.naming == OPEN_CLIP


def _without_last_layer(
    layout: ClipLayout, state: Mapping[str, Source]
) -> tuple[ClipLayout, dict[str, Source]]:
    last = f"transformer.resblocks.{layout.num_layers - 1}."
    unused = [link for link in open_clip_links(layout) if link.key.startswith(last)]
    links = [link.with_prefix("cond_stage_model.model.") for link in unused]
    return dataclasses.replace(layout, num_layers=layout.num_layers - 1), dict(
        file_tensors(links, state, None, {})
    )


def _json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
