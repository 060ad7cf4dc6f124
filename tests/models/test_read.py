"""From a file to modules: the outputs of an independent text encoder, precision, parts, refusals."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.keymap import TEXT, TEXT_2, UNET, VAE
from lib_dreambooth.formats.safetensors_write import write_safetensors
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from tests.models import tiny
from tests.models.plain_clip import open_clip_states, openai_states

TENSORS: dict[str, Callable[[], dict[str, Tensor]]] = {
    "sd1": tiny.sd1_tensors,
    "sd2": tiny.sd2_tensors,
    "sdxl": tiny.sdxl_tensors,
}
TEXT_PREFIXES = {
    "sd1": {TEXT: "cond_stage_model.transformer."},
    "sd2": {TEXT: "cond_stage_model.model."},
    "sdxl": {TEXT: "conditioner.embedders.0.transformer.", TEXT_2: "conditioner.embedders.1.model."},
}
EVERY_FAMILY = pytest.mark.parametrize("family", TENSORS)


@EVERY_FAMILY
@torch.no_grad()
def test_text_encoders_equal_plain_ones(models: dict[str, LoadedModel], family: str) -> None:
    ids = torch.tensor([[49406, 320, 2368, 267, *[49407] * 73], [49406, *range(400, 475), 49407]])
    tensors = TENSORS[family]()
    for part, prefix in TEXT_PREFIXES[family].items():
        own = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        expected = openai_states(own, ids) if "transformer" in prefix else open_clip_states(own, ids)
        output = models[family].modules[part](input_ids=ids, output_hidden_states=True)
        for depth in (-2, -3, 0):
            assert torch.allclose(output.hidden_states[depth], expected.layers[depth], atol=1e-5)
        assert torch.allclose(output.last_hidden_state, expected.last, atol=1e-5)
        if part == TEXT_2:
            assert torch.allclose(output.text_embeds, expected.pooled, atol=1e-5)


def test_every_value_is_the_file_s(files: dict[str, Path]) -> None:
    """The number of bits that come out is the number of bits in the file's three parts."""
    model = read_model(files["sd1"])
    read = sum(p.numel() for module in model.modules.values() for p in module.parameters())
    stored = sum(value.numel() for key, value in tiny.sd1_tensors().items() if value.is_floating_point())
    assert read == stored
    assert not any(
        p.requires_grad or p.is_meta for module in model.modules.values() for p in module.parameters()
    )
    assert not any(module.training for part in model.modules.values() for module in part.modules())


@pytest.mark.slow
def test_precision_is_the_file_s_unless_asked(tmp_path: Path) -> None:
    path = tiny.tiny_sdxl(tmp_path, dtype=torch.float16)
    kept = read_model(path)
    assert kept.dtype_of(UNET) == kept.dtype_of(TEXT) == torch.float16
    # SDXL's VAE overflows in float16, in the file or not.
    assert kept.dtype_of(VAE) == torch.float32
    asked = read_model(path, dtype=torch.bfloat16, parts=(UNET, VAE))
    assert asked.dtype_of(UNET) == asked.dtype_of(VAE) == torch.bfloat16
    assert read_model(path, dtype=torch.float16, parts=(VAE,)).dtype_of(VAE) == torch.float32
    kept.to(VAE, "cpu", torch.float16)
    assert kept.dtype_of(VAE) == torch.float32


def test_parts_left_out_are_not_read(files: dict[str, Path]) -> None:
    model = read_model(files["sdxl"], parts=(TEXT_2, VAE))
    assert set(model.modules) == {TEXT_2, VAE}
    assert [encoder.part for encoder in model.encoders] == [TEXT_2]
    with pytest.raises(KeyError):
        _ = model.unet


def test_moving_keeps_the_parameters(files: dict[str, Path]) -> None:
    model = read_model(files["sd1"], parts=(TEXT,))
    before = dict(model.modules[TEXT].named_parameters())
    model.to(TEXT, "cpu", torch.float64)
    after = dict(model.modules[TEXT].named_parameters())
    assert all(after[name] is before[name] for name in before)
    assert {p.dtype for p in after.values()} == {torch.float64}


def test_text_encoder_from_another_file(files: dict[str, Path], tmp_path: Path) -> None:
    other = tiny.tiny_sd1(tmp_path, seed=5)
    model = read_model(files["sd1"], text_path=other, vae_path=other)
    expected = read_model(other)
    for part in (TEXT, VAE):
        pairs = zip(model.modules[part].parameters(), expected.modules[part].parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    assert model.vae_source == other
    assert not torch.equal(model.unet.conv_in.weight, expected.unet.conv_in.weight)


@pytest.mark.slow
def test_a_vae_of_its_own_heals_a_damaged_one(tmp_path: Path) -> None:
    tensors = tiny.sd1_tensors()
    tensors["first_stage_model.decoder.conv_in.weight"][0, 0, 0, 0] = float("nan")
    broken = tiny.save(tmp_path / "broken.safetensors", tensors, torch.float32)
    with pytest.raises(FileError, match=r"first_stage_model\.decoder\.conv_in\.weight") as caught:
        read_model(broken)
    assert "VAE file" in caught.value.todo
    whole = tiny.tiny_sd1(tmp_path)
    assert torch.equal(
        read_model(broken, vae_path=whole).vae.decoder.conv_in.weight,
        read_model(whole).vae.decoder.conv_in.weight,
    )


@pytest.mark.parametrize(
    ("start", "named"), [("first_stage_model.", "the VAE"), ("cond_stage_model.", "the text encoder")]
)
def test_a_missing_part_is_named(tmp_path: Path, start: str, named: str) -> None:
    tensors = {key: value for key, value in tiny.sd1_tensors().items() if not key.startswith(start)}
    path = tiny.save(tmp_path / "part.safetensors", tensors, torch.float32)
    with pytest.raises(FileError, match=f"{named} is missing") as caught:
        read_model(path)
    assert caught.value.todo


def test_another_family_is_refused(files: dict[str, Path]) -> None:
    with pytest.raises(FileError, match=r"SDXL.*Stable Diffusion 1 was asked for"):
        read_model(files["sdxl"], expect_family="sd1")


def test_a_lora_is_refused(tmp_path: Path) -> None:
    name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
    lora = {f"{name}.lora_down.weight": torch.ones(4, 768), f"{name}.lora_up.weight": torch.ones(8, 4)}
    write_safetensors(tmp_path / "lora.safetensors", lora)
    with pytest.raises(FileError, match=r"is a LoRA.*a checkpoint is needed"):
        read_model(tmp_path / "lora.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(("marker", "message"), [("edm_vpred.sigma_max", "EDM"), ("v_pred", "")])
def test_what_the_file_says_about_its_prediction(tmp_path: Path, marker: str, message: str) -> None:
    tensors = {**tiny.sdxl_tensors(), marker: torch.zeros(1), "ztsnr": torch.zeros(0)}
    path = tiny.save(tmp_path / "marked.safetensors", tensors, torch.float32)
    if message:
        with pytest.raises(FileError, match=message):
            read_model(path)
        return
    model = read_model(path)
    assert model.prediction == "v"
    assert model.schedule.alphas_bar[-1] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("shift", "prediction"), [(0.0, "epsilon"), (-3.0, "v")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_sd2_is_tried_out_where_it_does_not_say(
    tmp_path: Path, shift: float, prediction: str, dtype: torch.dtype
) -> None:
    tensors = tiny.sd2_tensors()
    tensors["model.diffusion_model.out.2.bias"] += shift
    path = tiny.save(tmp_path / "silent.safetensors", tensors, dtype)
    model = read_model(path, parts=(UNET,))
    assert model.prediction == prediction
    assert model.dtype_of(UNET) == dtype


def test_reading_survives_a_host_that_loads_at_the_same_time(
    files: dict[str, Path], models: dict[str, LoadedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A1111 replaces these for as long as a model of its own loads."""
    linear = nn.Linear.__init__

    def on_meta(self: nn.Linear, *args: Any, **kwargs: Any) -> None:
        linear(self, *args, **{**kwargs, "device": "meta"})

    def nothing(*args: Any, **kwargs: Any) -> None:
        return None

    monkeypatch.setattr(nn.Linear, "__init__", on_meta)
    monkeypatch.setattr(nn.Module, "to", nothing)
    monkeypatch.setattr(nn.Module, "load_state_dict", nothing)
    monkeypatch.setattr(nn.Module, "_load_from_state_dict", nothing)
    for name in ("kaiming_uniform_", "uniform_", "normal_", "trunc_normal_"):
        monkeypatch.setattr(torch.nn.init, name, nothing)
    found = read_model(files["sd1"], dtype=torch.float32)
    found.to_all("cpu")
    for part, module in found.modules.items():
        pairs = zip(module.parameters(), models["sd1"].modules[part].parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_a_model_read_under_inference_mode_can_be_trained(files: dict[str, Path]) -> None:
    """Forge loads its models under inference mode, and so may call us."""
    with torch.inference_mode():
        model = read_model(files["sd1"], parts=(TEXT,))
    weight = model.encoders[0].token_embedding.weight
    assert not weight.is_inference()
    weight.requires_grad_(True)
    (weight[0] * 2).sum().backward()
    assert weight.grad is not None


@pytest.mark.slow
def test_two_threads_read_the_same(files: dict[str, Path], models: dict[str, LoadedModel]) -> None:
    found: list[LoadedModel] = []
    threads = [threading.Thread(target=lambda: found.append(read_model(files["sd1"]))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for model in found:
        pairs = zip(model.unet.parameters(), models["sd1"].unet.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_the_source_knows_its_hash(files: dict[str, Path]) -> None:
    import hashlib

    model = read_model(files["sd1"], parts=(VAE,))
    assert model.source.sha256 == hashlib.sha256(files["sd1"].read_bytes()).hexdigest()
    assert model.source.name == "tiny-sd1"
