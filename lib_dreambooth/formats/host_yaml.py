"""The YAML file beside a checkpoint, from which a WebUI builds the model where keys alone do not tell.

A WebUI learns of velocity prediction from nothing else (SDXL on A1111) or by trying the UNet out (SD2).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lib_dreambooth.formats.keymap import TEXT_2
from lib_dreambooth.formats.kinds import FileKind
from lib_dreambooth.formats.links import LayoutError
from lib_dreambooth.formats.unet_layout import HEAD_WIDTH, SD1_NUM_HEADS, SIZE_ID_WIDTH, UNetLayout
from lib_dreambooth.formats.vae_keys import VaeLayout

MAX_YAML_BYTES = 1_000_000
_V_PARAMETERIZATION = re.compile(r"""^\s*parameterization\s*:\s*["']?v["']?\s*(#.*)?$""", re.MULTILINE)
_V_SCALING = re.compile(r"\bVScaling\b")

SD_LATENT_SCALE, SDXL_LATENT_SCALE = 0.18215, 0.13025


def yaml_path(checkpoint: Path) -> Path:
    """Where hosts look for it."""
    return checkpoint.with_suffix(".yaml")


def prediction_of_yaml(checkpoint: Path) -> str:
    """What the YAML file beside a checkpoint says of its prediction: "v", "epsilon" or nothing."""
    path = yaml_path(checkpoint)
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            text = file.read(MAX_YAML_BYTES).decode("utf-8", errors="replace")
    except OSError:
        # It is only a hint; the checkpoint itself has been read.
        return ""
    if _V_PARAMETERIZATION.search(text) or _V_SCALING.search(text):
        return "v"
    return "epsilon" if "target:" in text else ""


def needs_yaml(kind: FileKind) -> bool:
    """Whether hosts could take the model for another one without the file."""
    if kind.role != "checkpoint" or kind.variant or kind.unet is None or kind.vae is None:
        return False
    return kind.prediction == "v" or (kind.family == "sd2" and kind.prediction == "epsilon")


def host_yaml(kind: FileKind, *, clip_folder: str = "") -> str:
    """The file's text. `clip_folder` is one with a tokenizer and config, for an SD1 of other sizes."""
    unet, vae = kind.unet, kind.vae
    assert unet is not None and vae is not None, "only a whole checkpoint has such a file"
    if kind.family == "sdxl":
        model = _sdxl(kind, unet, vae)
    else:
        model = _sd(kind, unet, vae, clip_folder)
    return "\n".join(_lines({"model": model}, 0)) + "\n"


def _sd(kind: FileKind, unet: UNetLayout, vae: VaeLayout, clip_folder: str) -> dict[str, Any]:
    if kind.family == "sd2":
        text = _made("ldm.modules.encoders.modules.FrozenOpenCLIPEmbedder", freeze=True, layer="penultimate")
    elif clip_folder:
        text = _made("ldm.modules.encoders.modules.FrozenCLIPEmbedder", version=clip_folder)
    else:
        text = _made("ldm.modules.encoders.modules.FrozenCLIPEmbedder")
    return _made(
        "ldm.models.diffusion.ddpm.LatentDiffusion",
        parameterization="v" if kind.prediction == "v" else "eps",
        linear_start=0.00085,
        linear_end=0.012,
        num_timesteps_cond=1,
        log_every_t=200,
        timesteps=1000,
        first_stage_key="jpg",
        cond_stage_key="txt",
        image_size=64,
        channels=4,
        cond_stage_trainable=False,
        conditioning_key="crossattn",
        monitor="val/loss_simple_ema",
        scale_factor=SD_LATENT_SCALE,
        use_ema=False,
        unet_config=_made("ldm.modules.diffusionmodules.openaimodel.UNetModel", image_size=32, **_unet(unet)),
        first_stage_config=_made("ldm.models.autoencoder.AutoencoderKL", **_vae(vae)),
        cond_stage_config=text,
    )


def _sdxl(kind: FileKind, unet: UNetLayout, vae: VaeLayout) -> dict[str, Any]:
    diffusion = "sgm.modules.diffusionmodules"
    is_v = kind.prediction == "v"
    denoiser = _made(
        f"{diffusion}.denoiser.DiscreteDenoiser",
        num_idx=1000,
        weighting_config={"target": f"{diffusion}.denoiser_weighting.{'V' if is_v else 'Eps'}Weighting"},
        scaling_config={"target": f"{diffusion}.denoiser_scaling.{'V' if is_v else 'Eps'}Scaling"},
        discretization_config={"target": f"{diffusion}.discretizer.LegacyDDPMDiscretization"},
    )
    network = _made(
        f"{diffusion}.openaimodel.UNetModel",
        adm_in_channels=unet.addition_width,
        num_classes="sequential",
        spatial_transformer_attn_type="softmax-xformers",
        **_unet(unet),
    )
    first_stage = _made(
        "sgm.models.autoencoder.AutoencoderKLInferenceWrapper", **_vae(vae, attn_type="vanilla-xformers")
    )
    return _made(
        "sgm.models.diffusion.DiffusionEngine",
        scale_factor=SDXL_LATENT_SCALE,
        disable_first_stage_autocast=True,
        denoiser_config=denoiser,
        network_config=network,
        conditioner_config=_made("sgm.modules.GeneralConditioner", emb_models=_sdxl_conditions(kind, unet)),
        first_stage_config=first_stage,
    )


def _sdxl_conditions(kind: FileKind, unet: UNetLayout) -> list[dict[str, Any]]:
    second = kind.text_encoder(TEXT_2)
    width = unet.size_id_width(second.projection_width) if second is not None else SIZE_ID_WIDTH
    encoders = "sgm.modules.encoders.modules"
    clip = _made(f"{encoders}.FrozenCLIPEmbedder", layer="hidden", layer_idx=11)
    open_clip = _made(
        f"{encoders}.FrozenOpenCLIPEmbedder2",
        arch="ViT-bigG-14",
        version="laion2b_s39b_b160k",
        freeze=True,
        layer="penultimate",
        always_return_pooled=True,
        legacy=False,
    )
    conditions = [("txt", clip), ("txt", open_clip)]
    for key in ("original_size_as_tuple", "crop_coords_top_left", "target_size_as_tuple"):
        conditions.append((key, _made(f"{encoders}.ConcatTimestepEmbedderND", outdim=width)))
    return [{"is_trainable": False, "input_key": key, **made} for key, made in conditions]


def _unet(unet: UNetLayout) -> dict[str, Any]:
    heads = {"num_head_channels": HEAD_WIDTH} if unet.is_linear else {"num_heads": SD1_NUM_HEADS}
    depths = [max(level) for level in unet.down_depths]
    return {
        "use_checkpoint": False,
        "in_channels": unet.in_channels,
        "out_channels": unet.out_channels,
        "model_channels": unet.widths[0],
        "attention_resolutions": [2**level for level, depth in reversed(list(enumerate(depths))) if depth],
        "num_res_blocks": len(unet.down_depths[0]),
        "channel_mult": _multiples(unet.widths),
        **heads,
        "use_spatial_transformer": True,
        "use_linear_in_transformer": unet.is_linear,
        "transformer_depth": [depth or 1 for depth in depths] if unet.addition_width else max(depths),
        "context_dim": unet.context_width,
        "legacy": False,
    }


def _vae(vae: VaeLayout, **more: Any) -> dict[str, Any]:
    network = {
        **more,
        "double_z": True,
        "z_channels": vae.latent_channels,
        "resolution": 256,
        "in_channels": vae.in_channels,
        "out_ch": vae.out_channels,
        "ch": vae.widths[0],
        "ch_mult": _multiples(vae.widths),
        "num_res_blocks": vae.num_resnets,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    return {
        "embed_dim": vae.latent_channels,
        "monitor": "val/rec_loss",
        "ddconfig": network,
        "lossconfig": {"target": "torch.nn.Identity"},
    }


def _multiples(widths: tuple[int, ...]) -> list[int]:
    if any(width % widths[0] for width in widths):
        raise LayoutError(f"the widths {widths} are no multiples of the first, which hosts need.")
    return [width // widths[0] for width in widths]


def _made(target: str, **params: Any) -> dict[str, Any]:
    return {"target": target, "params": params} if params else {"target": target}


def _lines(value: dict[str, Any], depth: int) -> list[str]:
    """YAML in the little that is needed of it: tables, lists of tables, and plain values."""
    lines = []
    for key, inner in value.items():
        margin = "  " * depth
        if isinstance(inner, dict):
            lines += [f"{margin}{key}:", *_lines(inner, depth + 1)]
        elif isinstance(inner, list) and inner and isinstance(inner[0], dict):
            lines.append(f"{margin}{key}:")
            for item in inner:
                first, *rest = _lines(item, depth + 2)
                lines += [f"{margin}  - {first.lstrip()}", *rest]
        else:
            lines.append(f"{margin}{key}: {_scalar(inner)}")
    return lines


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "[" + ", ".join(map(_scalar, value)) + "]" if isinstance(value, list) else repr(value)
