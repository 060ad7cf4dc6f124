"""Modules from tensors and back: one file in, modules, the same file out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lib_dreambooth.formats import checkpoint_write
from lib_dreambooth.formats.checkpoint import Checkpoint, read_checkpoint
from lib_dreambooth.formats.checkpoint_write import write_checkpoint
from lib_dreambooth.formats.clip_keys import ClipLayout, hf_links, open_clip_links
from lib_dreambooth.formats.detect import detect
from lib_dreambooth.formats.keymap import TEXT, TEXT_2, UNET, VAE, links_at
from lib_dreambooth.formats.links import Link, from_file
from lib_dreambooth.formats.unet_keys import unet_links
from lib_dreambooth.formats.unet_layout import UNetLayout
from lib_dreambooth.formats.vae_keys import VaeLayout, vae_links
from lib_dreambooth.models.build import build_text_encoder, build_unet, build_vae, move, state_of
from lib_dreambooth.models.families import FAMILIES
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from tests.models import tiny

BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32


def with_averages(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A full file: averages of the UNet's weights, the schedule, and a key that nobody knows."""
    unet = {key: value for key, value in tensors.items() if key.startswith("model.diffusion_model.")}
    names = {f"model_ema.{key.removeprefix('model.').replace('.', '')}": value for key, value in unet.items()}
    more = {"betas": torch.rand(1000), "stray.key": torch.arange(3)}
    return {**tensors, **{key: 0.5 * value for key, value in names.items()}, **more}


def flat_attention(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The VAE's attention as the conversion scripts of some trainers leave it: matrices, no convolutions."""
    attention = (".q.weight", ".k.weight", ".v.weight", ".proj_out.weight")
    is_flat = [key for key in tensors if key.startswith("first_stage_model.") and key.endswith(attention)]
    return {**tensors, **{key: tensors[key].flatten(1) for key in is_flat}}


FILES: dict[str, Callable[[], dict[str, Tensor]]] = {
    "sd1": tiny.sd1_tensors,
    "sd1 inpainting": lambda: tiny.sd1_tensors(in_channels=9),
    "sd1 instruct": lambda: tiny.sd1_tensors(in_channels=8),
    "sd1 full": lambda: with_averages(tiny.sd1_tensors()),
    "sd1 with a flat VAE": lambda: flat_attention(tiny.sd1_tensors()),
    "sd2": tiny.sd2_tensors,
    "sdxl": tiny.sdxl_tensors,
    "sdxl v": lambda: {**tiny.sdxl_tensors(), "v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)},
}


def written_from(model: LoadedModel, source: Checkpoint, path: Path) -> Path:
    """A file of the model's modules, and of what belongs to none of them."""
    write_checkpoint(
        path,
        {part: state_of(module) for part, module in model.modules.items()},
        model.source.kind,
        extras=source.extras,
        metadata=source.metadata,
        file_shapes=source.file_shapes,
    )
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dtype"),
    [*((name, FP32) for name in FILES), ("sd1", FP16), ("sd1", BF16), ("sd2", FP16), ("sdxl", FP16)],
)
def test_a_file_through_modules_comes_back_to_the_byte(tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    metadata = {"author": "日本", "modelspec.prediction_type": "v" if name == "sdxl v" else "epsilon"}
    path = tiny.save(tmp_path / "in.safetensors", FILES[name](), dtype, metadata)
    model = read_model(path)
    # SDXL's VAE computes in float32 where its file is float16; that loses nothing.
    move(model.modules[VAE], torch.device("cpu"), dtype)
    out = written_from(model, read_checkpoint(path, with_extras=True), tmp_path / "out.safetensors")
    assert out.read_bytes() == path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_modules_of_what_was_written_compute_the_same(
    tmp_path: Path, files: dict[str, Path], models: dict[str, LoadedModel], family: str
) -> None:
    """Also where hosts' places are the only thing known: nothing is kept from the file that was read."""
    source = replace(read_checkpoint(files[family]), extras={}, file_shapes={})
    again = read_model(written_from(models[family], source, tmp_path / "again.safetensors"))
    assert set(again.modules) == set(models[family].modules)
    for part, module in again.modules.items():
        before, after = state_of(models[family].modules[part]), state_of(module)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)


REAL_VAE = VaeLayout(3, 3, 4, (128, 256, 512, 512), 2, has_quant=True)
REAL_CLIP = ClipLayout(49408, 77, 768, 3072, 12, 0)
FOUR_LEVELS = ((1, 1),) * 3 + ((0, 0),), ((0,) * 3,) + ((1,) * 3,) * 3, 1
REAL: dict[str, tuple[UNetLayout, ClipLayout, ClipLayout | None]] = {
    "sd1": (
        UNetLayout(4, 4, (320, 640, 1280, 1280), *FOUR_LEVELS, 768, 1280, 0, is_linear=False),
        REAL_CLIP,
        None,
    ),
    "sd2": (
        UNetLayout(4, 4, (320, 640, 1280, 1280), *FOUR_LEVELS, 1024, 1280, 0, is_linear=True),
        ClipLayout(49408, 77, 1024, 4096, 24, 0),
        None,
    ),
    "sdxl": (
        UNetLayout(
            4, 4, (320, 640, 1280), ((0, 0), (2, 2), (10, 10)), ((10,) * 3, (2,) * 3, (0,) * 3), 10, 2048,
            1280, 2816, is_linear=True,
        ),
        REAL_CLIP,
        ClipLayout(49408, 77, 1280, 5120, 32, 1280),
    ),
}  # fmt: skip


def on_meta(links: list[Link]) -> dict[str, Tensor]:
    return {name: torch.empty(link.shape, device="meta") for link in links for name in link.names}


@pytest.mark.slow
@pytest.mark.parametrize("family", REAL)
def test_real_sizes_have_a_place_for_every_tensor(family: str) -> None:
    unet, first, second = REAL[family]
    rules = FAMILIES[family]
    built = [
        (on_meta(unet_links(unet)), lambda state: build_unet(state, rules, 1280 if second else None)),
        (on_meta(vae_links(REAL_VAE)), lambda state: build_vae(state, rules)),
        (on_meta(hf_links(first)), lambda state: build_text_encoder(state, rules, TEXT)),
    ]
    if second is not None:
        built.append((on_meta(hf_links(second)), lambda state: build_text_encoder(state, rules, TEXT_2)))
    for state, build in built:
        found = {name: tuple(tensor.shape) for name, tensor in state_of(build(state)).items()}
        assert found == {name: tuple(tensor.shape) for name, tensor in state.items()}


def file_on_meta(family: str) -> dict[str, Tensor]:
    """Every key of the published file, of its real size, without memory."""
    unet, first, second = REAL[family]
    parts = {
        "model.diffusion_model.": unet_links(unet),
        "first_stage_model.": vae_links(REAL_VAE),
    }
    if second is not None:
        parts["conditioner.embedders.0.transformer."] = hf_links(first)
        parts["conditioner.embedders.1.model."] = open_clip_links(second)
    elif family == "sd2":
        parts["cond_stage_model.model."] = open_clip_links(first)
    else:
        parts["cond_stage_model.transformer."] = hf_links(first)
    return {
        prefix + link.key: torch.empty(link.file_shape, dtype=FP16, device="meta")
        for prefix, links in parts.items()
        for link in links
    }


@pytest.mark.slow
@pytest.mark.parametrize(("family", "num_keys"), [("sd1", 686 + 248 + 196), ("sdxl", 2515 - 2)])
def test_the_full_file_through_modules_on_meta(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, num_keys: int
) -> None:
    tensors = file_on_meta(family)
    kind = detect({key: tuple(tensor.shape) for key, tensor in tensors.items()})
    assert (kind.family, kind.damaged_parts, kind.missing_parts) == (family, (), ())
    builders = {VAE: build_vae, UNET: partial(build_unet, pooled_width=1280 if family == "sdxl" else None)}
    modules: dict[str, Any] = {}
    for name, part in kind.parts.items():
        assert part.layout is not None
        state: dict[str, Tensor] = {}
        for link in links_at(part.place, part.layout, tensors):
            state.update(from_file(link, tensors[link.key]))
        build = builders.get(name) or partial(build_text_encoder, part=name)
        modules[name] = build(state, FAMILIES[family])
    written: dict[str, Any] = {}
    monkeypatch.setattr(checkpoint_write, "write_safetensors", lambda path, found, _: written.update(found))
    states = {name: state_of(module) for name, module in modules.items()}
    write_checkpoint(tmp_path / "out.safetensors", states, kind)
    expected = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    assert {key: tuple(source.shape) for key, source in written.items()} == expected
    assert len(expected) == num_keys
