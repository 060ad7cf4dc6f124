"""The same single file through diffusers' own loader: the same UNet, VAE and prompts to 1e-5.

The configs are written by hand, as the published diffusers folders of the families say them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.formats.clip_keys import ClipLayout, open_clip_links
from lib_dreambooth.formats.unet_keys import unet_links
from lib_dreambooth.models.encode import encode_prompts
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.models.tokenizer_files import folder_tokenizers
from tests.models import tiny

pytestmark = pytest.mark.slow

CROSS_DOWN = ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]
CROSS_UP = ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3
UNETS: dict[str, dict[str, Any]] = {
    "sd1": {
        "block_out_channels": (32, 64, 64, 64), "layers_per_block": 1, "cross_attention_dim": 64,
        "attention_head_dim": 8, "down_block_types": CROSS_DOWN, "up_block_types": CROSS_UP,
    },
    "sd2": {
        "block_out_channels": (32, 64, 64, 128), "layers_per_block": 1, "cross_attention_dim": 64,
        "attention_head_dim": (1, 1, 1, 2), "use_linear_projection": True, "down_block_types": CROSS_DOWN,
        "up_block_types": CROSS_UP,
    },
    "sdxl": {
        "block_out_channels": (32, 64, 128), "layers_per_block": 2, "cross_attention_dim": 64 + 128,
        "attention_head_dim": (1, 1, 2), "use_linear_projection": True,
        "transformer_layers_per_block": (1, 1, 2),
        "down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 2,
        "up_block_types": ["CrossAttnUpBlock2D"] * 2 + ["UpBlock2D"],
        "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 96 + 6 * 256,
    },
    "mini": {
        "block_out_channels": (64, 64, 64, 128), "layers_per_block": 1, "cross_attention_dim": 64,
        "attention_head_dim": 8, "down_block_types": CROSS_DOWN, "up_block_types": CROSS_UP,
    },
}  # fmt: skip
VAE = {
    "block_out_channels": (32, 32, 32, 32),
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 1,
    "latent_channels": 4,
}
CLIP = {
    "vocab_size": 49408, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3,
    "num_attention_heads": 1, "hidden_act": "quick_gelu", "projection_dim": 768,
    "max_position_embeddings": 77, "bos_token_id": 49406, "eos_token_id": 49407,
}  # fmt: skip
# SD2's folders leave the last layer out, because it is not used.
CLIP_H = CLIP | {"num_hidden_layers": 2, "hidden_act": "gelu", "projection_dim": 64}
CLIP_G = CLIP | {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 2, "hidden_act": "gelu",
                 "projection_dim": 96}  # fmt: skip
TEXTS: dict[str, list[dict[str, Any]]] = {
    "sd1": [CLIP],
    "sd2": [CLIP_H],
    "sdxl": [CLIP, CLIP_G],
    "mini": [CLIP | {"intermediate_size": 256, "num_hidden_layers": 4}],
}
VAES = {"mini": VAE | {"block_out_channels": (64, 64, 64, 64)}}
EVERY_FILE = pytest.mark.parametrize("name", UNETS)
Pairs = Callable[[str], tuple[LoadedModel, Any]]


def sdxl_file(folder: Path) -> Path:
    """SDXL whose second encoder is wider: diffusers tells the two by their widths."""
    layout = ClipLayout(tiny.VOCABULARY, 77, 128, 256, 3, 96)
    unet = replace(tiny.SDXL, context_width=64 + 128)
    tensors = {
        **tiny.sdxl_tensors(),
        **tiny.random_tensors("model.diffusion_model.", unet_links(unet)),
        **tiny.random_tensors("conditioner.embedders.1.model.", open_clip_links(layout)),
    }
    return tiny.save(folder / "sdxl.safetensors", tensors, torch.float32)


FILES: dict[str, Callable[[Path], Path]] = {
    "sd1": tiny.tiny_sd1,
    "sd2": tiny.tiny_sd2,
    "sdxl": sdxl_file,
    "mini": lambda folder: MINI_CHECKPOINT,
}


def config_folder(folder: Path, name: str) -> Path:
    """What diffusers wants to know beside the file."""
    texts = TEXTS[name]
    is_xl = len(texts) > 1
    index = {
        "_class_name": "StableDiffusionXLPipeline" if is_xl else "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
    }
    if is_xl:
        index["text_encoder_2"] = ["transformers", "CLIPTextModelWithProjection"]
        index["tokenizer_2"] = ["transformers", "CLIPTokenizer"]
    files: dict[str, Any] = {
        "model_index.json": index,
        "unet/config.json": {"_class_name": "UNet2DConditionModel", "sample_size": 16, **UNETS[name]},
        "vae/config.json": {"_class_name": "AutoencoderKL", **VAES.get(name, VAE)},
        "scheduler/scheduler_config.json": {
            "_class_name": "DDIMScheduler",
            "steps_offset": 1,
            "clip_sample": False,
        },
    }
    for number, config in enumerate(texts):
        place = "text_encoder" if number == 0 else "text_encoder_2"
        files[f"{place}/config.json"] = {"model_type": "clip_text_model", **config}
    contents = {path: json.dumps(value).encode("utf-8") for path, value in files.items()}
    for path, content in (contents | folder_tokenizers("sd1" if name == "mini" else name)).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    """Our model and diffusers' pipeline of a file; each read once."""
    read: dict[str, tuple[LoadedModel, Any]] = {}

    def read_both(name: str) -> tuple[LoadedModel, Any]:
        if name not in read:
            folder = tmp_path_factory.mktemp(name)
            path = FILES[name](folder)
            kind = getattr(
                diffusers, "StableDiffusionXLPipeline" if name == "sdxl" else "StableDiffusionPipeline"
            )
            more = {} if name == "sdxl" else {"safety_checker": None, "feature_extractor": None}
            pipeline = kind.from_single_file(
                str(path), config=str(config_folder(folder / "config", name)), local_files_only=True,
                torch_dtype=torch.float32, **more,
            )  # fmt: skip
            read[name] = read_model(path, dtype=torch.float32), pipeline
        return read[name]

    return read_both


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(11))


@EVERY_FILE
@torch.no_grad()
def test_the_same_unet(pairs: Pairs, name: str) -> None:
    ours, theirs = pairs(name)
    inputs: dict[str, Any] = {"encoder_hidden_states": drawn(2, 77, UNETS[name]["cross_attention_dim"])}
    if name == "sdxl":
        inputs["added_cond_kwargs"] = {"text_embeds": drawn(2, 96), "time_ids": 100 * drawn(2, 6).abs()}
    latents, timesteps = drawn(2, 4, 16, 16), torch.tensor([3.25, 801.0])
    expected = theirs.unet(latents, timesteps, **inputs).sample
    assert expected.std() > 0.1
    assert torch.allclose(ours.unet(latents, timesteps, **inputs).sample, expected, atol=1e-5)


@EVERY_FILE
@torch.no_grad()
def test_the_same_vae(pairs: Pairs, name: str) -> None:
    ours, theirs = pairs(name)
    picture, latents = drawn(1, 3, 32, 32).clamp(-1, 1), drawn(1, 4, 4, 4)
    expected = theirs.vae.encode(picture).latent_dist.parameters
    assert torch.allclose(ours.vae.encode(picture).latent_dist.parameters, expected, atol=1e-5)
    expected = theirs.vae.decode(latents).sample
    assert expected.std() > 0.1
    assert torch.allclose(ours.vae.decode(latents).sample, expected, atol=1e-5)
    assert ours.vae.config.scaling_factor == ours.latent_scale == (0.13025 if name == "sdxl" else 0.18215)


@EVERY_FILE
@pytest.mark.parametrize("prompt", ["", "a red circle on a blue background", "naïve café, 猫 " * 9])
@torch.no_grad()
def test_the_same_prompts(pairs: Pairs, name: str, prompt: str) -> None:
    """Tokenizer, encoder, and which of its layers is used."""
    ours, pipeline = pairs(name)
    found = encode_prompts(ours.encoders, [prompt])
    expected, _, *pooled = pipeline.encode_prompt(
        prompt, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    assert expected.std() > 0.1
    assert torch.allclose(found.joined(), expected, atol=1e-5)
    if name == "sdxl":
        assert found.pooled is not None
        assert torch.allclose(found.pooled, pooled[0], atol=1e-5)
