"""LoRA files: names both ways, every kind read, kohya's form written with its hashes."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.adapter_names import AdapterNames, Target, adapter_names
from lib_dreambooth.formats.adapter_parts import PARTS, split_key
from lib_dreambooth.formats.checkpoint import identify
from lib_dreambooth.formats.clip_keys import ClipLayout
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.formats.lora import (
    AdapterModule,
    hashes,
    lora_shapes,
    part_key,
    read_adapter,
    write_adapter,
    write_adapter_tensors,
)
from lib_dreambooth.formats.safetensors_write import write_safetensors
from lib_dreambooth.formats.unet_layout import UNetLayout

GOLDEN = json.loads(
    (Path(__file__).parent.parent / "golden" / "kohya-lora-keys.json").read_text(encoding="utf-8")
)
SD15 = UNetLayout(
    4, 4, (320, 640, 1280, 1280), ((1, 1),) * 3 + ((0, 0),), ((0,) * 3,) + ((1,) * 3,) * 3,
    1, 768, 1280, 0, False,
)  # fmt: skip
SDXL = UNetLayout(
    4, 4, (320, 640, 1280), ((0, 0), (2, 2), (10, 10)), ((10,) * 3, (2,) * 3, (0,) * 3),
    10, 2048, 1280, 2816, True,
)  # fmt: skip
CLIP_L = ClipLayout(49408, 77, 768, 3072, 12, 0)
BIG_G = ClipLayout(49408, 77, 1280, 5120, 32, 1280)
TO_K = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
FC1 = "text_model.encoder.layers.1.mlp.fc1"


@pytest.fixture(scope="module")
def sd15() -> AdapterNames:
    return adapter_names("sd1", SD15, {"text_encoder": CLIP_L})


@pytest.fixture(scope="module")
def sdxl() -> AdapterNames:
    return adapter_names("sdxl", SDXL, {"text_encoder": CLIP_L, "text_encoder_2": BIG_G})


def layers(names: AdapterNames, part: str, inside: str) -> list[Target]:
    return [t for t, shape in names.shapes.items() if t.part == part and inside in t.path and len(shape) > 1]


def test_kohya_s_keys_for_sd15_are_produced(sd15: AdapterNames) -> None:
    golden = GOLDEN["sd15_unet_rank16"]
    lines = sorted(
        f"{part_key(sd15.written[target], part)} {list(shape)}"
        for target in layers(sd15, "unet", ".attentions.")
        for part, shape in lora_shapes(sd15.shapes[target], 16).items()
    )
    assert set(golden["some"]) < set(lines)
    assert len(lines) == golden["lines"]
    assert hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest() == golden["sha256"]


def test_module_counts_of_kohya_and_the_webui(sd15: AdapterNames, sdxl: AdapterNames) -> None:
    assert {
        "sd1_unet_attention": len(layers(sd15, "unet", ".attentions.")),
        "sd1_unet_with_convolutions": len(layers(sd15, "unet", "")),
        "sdxl_unet_attention": len(layers(sdxl, "unet", ".attentions.")),
        "sdxl_unet_with_convolutions": len(layers(sdxl, "unet", "")),
        "clip_l": len(layers(sdxl, "text_encoder", ".layers.")),
        "open_clip_bigg": len(layers(sdxl, "text_encoder_2", ".layers.")),
    } == GOLDEN["modules"]


def test_sdxl_is_written_in_the_original_naming(sdxl: AdapterNames) -> None:
    written = sdxl.written
    assert written[Target("unet", TO_K)] == "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"
    assert written[Target("unet", "up_blocks.1.upsamplers.0.conv")] == "lora_unet_output_blocks_5_2_conv"
    assert written[Target("unet", "add_embedding.linear_1")] == "lora_unet_label_emb_0_0"
    assert written[Target("text_encoder_2", FC1)] == "lora_te2_text_model_encoder_layers_1_mlp_fc1"
    assert len(set(written.values())) == len(written)


@pytest.fixture
def shallow(made: SimpleNamespace) -> AdapterNames:
    """Of a model like the miniature, with one residual block in each level."""
    return adapter_names("sd1", made.SD1, {"text_encoder": made.CLIP})


@pytest.mark.parametrize("family", ["sd15", "sdxl", "shallow"])
def test_every_written_name_is_read(family: str, request: pytest.FixtureRequest) -> None:
    names: AdapterNames = request.getfixturevalue(family)
    for written in (names.written, names.in_file):
        assert {target: names.target_of(name) for target, name in written.items()} == {t: t for t in written}


def test_files_have_the_original_names_where_the_webui_would_count_wrong(
    sd15: AdapterNames, shallow: AdapterNames
) -> None:
    """A1111 takes three blocks a level for granted in diffusers' names: the wrong layers would be changed."""
    assert sd15.in_file == sd15.written
    second_level = Target("unet", "down_blocks.1.attentions.0.proj_in")
    assert shallow.written[second_level] == "lora_unet_down_blocks_1_attentions_0_proj_in"
    assert shallow.in_file[second_level] == "lora_unet_input_blocks_3_1_proj_in"
    text = Target("text_encoder", "text_model.encoder.layers.0.self_attn.q_proj")
    assert (
        shallow.in_file[text]
        == shallow.written[text]
        == "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
    )


@pytest.mark.parametrize(
    ("name", "part", "path"),
    [
        ("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k", "unet", TO_K),
        ("lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k", "unet", TO_K),
        (f"unet.{TO_K}", "unet", TO_K),
        ("unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.processor.to_k", "unet", TO_K),
        ("unet.mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_out", "unet",
         "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0"),
        (f"base_model.model.{TO_K}", "unet", TO_K),
        ("diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k", "unet", TO_K),
        ("oft_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k", "unet", TO_K),
        ("lora_te1_text_model_encoder_layers_1_mlp_fc1", "text_encoder", FC1),
        (f"text_encoder_2.{FC1}", "text_encoder_2", FC1),
        ("text_encoder.encoder.layers.1.mlp.fc1", "text_encoder", FC1),
        ("text_encoder.text_model.encoder.layers.1.self_attn.to_q", "text_encoder",
         "text_model.encoder.layers.1.self_attn.q_proj"),
        ("lora_te2_text_projection", "text_encoder_2", "text_projection"),
    ],
)  # fmt: skip
def test_other_tools_names_are_read(sdxl: AdapterNames, name: str, part: str, path: str) -> None:
    assert sdxl.target_of(name) == Target(part, path)


def test_a_name_of_another_model_is_none(sdxl: AdapterNames, sd15: AdapterNames) -> None:
    assert sd15.target_of("lora_te2_text_model_encoder_layers_1_mlp_fc1") is None
    assert sdxl.target_of("lora_unet_down_blocks_3_resnets_0_conv1") is None
    assert sdxl.target_of("") is None


@given(st.text(), st.sampled_from(sorted(PARTS)))
def test_keys_split_where_they_were_joined(name: str, ending: str) -> None:
    split = split_key(f"{name}{ending}")
    if not name:
        return
    assert split is not None
    # `x_lora.up.weight` and `x.lora.up.weight` may each end another module's name.
    assert split[1] == PARTS[ending]
    assert f"{name}{ending}".startswith(split[0])


def small_modules(names: AdapterNames) -> dict[Target, AdapterModule]:
    made = {}
    for number, target in enumerate(layers(names, "unet", "attn2") + layers(names, "text_encoder", "mlp")):
        shapes = lora_shapes(names.shapes[target], 4)
        parts = {part: torch.randn(shapes[part]) for part in ("lora_down", "lora_up")}
        made[target] = AdapterModule(parts, alpha=float(number % 3 + 1))
    return made


@pytest.mark.parametrize("family", ["SD1", "SDXL"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_written_files_come_back(
    tmp_path: Path, made: SimpleNamespace, family: str, dtype: torch.dtype
) -> None:
    names = adapter_names(family.lower(), getattr(made, family), {"text_encoder": made.CLIP})
    modules = small_modules(names)
    metadata = {
        "ss_base_model_version": "sdxl_base_v1-0" if family == "SDXL" else "sd_v1",
        "modelspec.title": "日本",
    }
    written = write_adapter(tmp_path / "猫 😀.safetensors", modules, names, dtype=dtype, metadata=metadata)
    file = read_adapter(tmp_path / "猫 😀.safetensors")
    assert file.metadata == written
    assert file.kind.family == family.lower()
    assert file.kind.adapter_kinds == ("lora",)
    found, unknown = file.placed(names)
    assert unknown == []
    assert set(found) == set(modules)
    for target, module in modules.items():
        assert (found[target].alpha, found[target].rank) == (module.alpha, 4)
        assert found[target].scale == module.alpha / 4
        for part, tensor in module.parts.items():
            assert torch.equal(found[target].parts[part], tensor.to(dtype))


def test_hashes_are_kohya_s(tmp_path: Path) -> None:
    """Over the bytes that safetensors writes with the training metadata only."""
    tensors = {
        "lora_unet_a.lora_up.weight": torch.randn(700, 300),
        "lora_unet_a.lora_down.weight": torch.randn(300, 700),
    }
    metadata = {"ss_seed": "1", "modelspec.title": "x", "sshs_model_hash": "stale"}
    written = write_adapter_tensors(tmp_path / "x.safetensors", tensors, metadata=metadata)
    data = safetensors.torch.save(tensors, {"ss_seed": "1"})
    start = 8 + int.from_bytes(data[:8], "little")
    assert written["sshs_model_hash"] == hashlib.sha256(data[start:]).hexdigest()
    assert written["sshs_legacy_hash"] == hashlib.sha256(data[0x100000:0x110000]).hexdigest()[:8]
    assert written["modelspec.title"] == "x"
    stored = (tmp_path / "x.safetensors").read_bytes()
    assert (
        hashlib.sha256(stored[8 + int.from_bytes(stored[:8], "little") :]).hexdigest()
        == written["sshs_model_hash"]
    )


@given(st.lists(st.integers(0, 0x90000), max_size=4))
def test_the_legacy_window_is_cut_right(lengths: list[int]) -> None:
    chunks = [bytes([index + 1]) * length for index, length in enumerate(lengths)]
    whole = b"".join(chunks)
    found = hashes(memoryview(chunk) for chunk in chunks)
    assert found["sshs_legacy_hash"] == hashlib.sha256(whole[0x100000:0x110000]).hexdigest()[:8]
    assert found["sshs_model_hash"] == hashlib.sha256(b"".join(chunks[1:])).hexdigest()


KINDS: dict[str, dict[str, tuple[int, ...]]] = {
    "lora": {"lora_up.weight": (8, 2), "lora_down.weight": (2, 8), "alpha": ()},
    "locon": {
        "lora_up.weight": (8, 2, 1, 1),
        "lora_down.weight": (2, 8, 3, 3),
        "lora_mid.weight": (2, 2, 3, 3),
    },
    "loha": {"hada_w1_a": (8, 2), "hada_w1_b": (2, 8), "hada_w2_a": (8, 2), "hada_w2_b": (2, 8), "alpha": ()},
    "lokr": {"lokr_w1": (2, 2), "lokr_w2_a": (4, 2), "lokr_w2_b": (2, 4), "alpha": ()},
    "ia3": {"weight": (8, 1), "on_input": ()},
    "full": {"diff": (8, 8), "diff_b": (8,)},
    "norm": {"w_norm": (8,), "b_norm": (8,)},
    "glora": {
        "a1.weight": (2, 8),
        "a2.weight": (8, 2),
        "b1.weight": (2, 8),
        "b2.weight": (8, 2),
        "alpha": (),
    },
    "oft": {"oft_blocks": (2, 4, 4), "alpha": ()},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_and_written_again(tmp_path: Path, kind: str) -> None:
    name = "lora_unet_mid_block_attentions_0_proj_in"
    tensors = {f"{name}.{part}": torch.rand(shape) for part, shape in KINDS[kind].items()}
    write_safetensors(tmp_path / "in.safetensors", tensors)
    file = read_adapter(tmp_path / "in.safetensors")
    assert file.kind.adapter_kinds == (kind,)
    assert list(file.modules) == [name]
    assert file.unknown_keys == ()
    rank = {"full": None, "norm": None, "ia3": None, "oft": None}.get(kind, 2)
    assert file.modules[name].rank == rank
    again: dict[str, Tensor] = {
        part_key(name, part): tensor for part, tensor in file.modules[name].parts.items()
    }
    if file.modules[name].alpha is not None:
        again[f"{name}.alpha"] = torch.tensor(file.modules[name].alpha)
    write_adapter_tensors(tmp_path / "out.safetensors", again)
    with (
        open_tensors(tmp_path / "in.safetensors") as first,
        open_tensors(tmp_path / "out.safetensors") as second,
    ):
        assert first.shapes == second.shapes
        for key in first.keys():  # noqa: SIM118  (a file is not a dict)
            assert torch.equal(first.read(key), second.read(key))


def test_dora_and_bundled_words(tmp_path: Path) -> None:
    name = "lora_unet_mid_block_attentions_0_proj_in"
    tensors = {f"{name}.{part}": torch.rand(shape) for part, shape in KINDS["lora"].items()}
    tensors[f"{name}.dora_scale"] = torch.rand(1, 8)
    tensors["bundle_emb.cat.string_to_param.*"] = torch.rand(2, 8)
    tensors["bundle_emb.dog.clip_l"] = torch.rand(1, 8)
    tensors["something.else"] = torch.rand(1)
    write_safetensors(tmp_path / "x.safetensors", tensors)
    file = read_adapter(tmp_path / "x.safetensors")
    assert file.kind.adapter_kinds == ("dora", "lora")
    assert {key: list(value) for key, value in file.bundled.items()} == {
        "cat": ["string_to_param.*"],
        "dog": ["clip_l"],
    }
    assert file.unknown_keys == ("something.else",)


def test_alpha_missing_means_rank() -> None:
    parts = {"lora_up": torch.rand(8, 2), "lora_down": torch.rand(2, 8)}
    assert AdapterModule(parts).scale == 1.0
    assert AdapterModule(parts, alpha=1.0).scale == 0.5
    assert AdapterModule({**parts, "scale": torch.tensor(0.25)}, alpha=1.0).scale == 0.25
    assert AdapterModule({"lokr_w1": torch.rand(2, 2), "lokr_w2": torch.rand(2, 2)}, alpha=7.0).scale == 1.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x.lora_down.weight": None}, "`x.lora_down.weight` is missing"),
        ({"x.alpha": torch.ones(2)}, "`x.alpha` is not one number"),
        ({"x.lora_up.weight": torch.full((8, 2), float("nan"))}, "NaN"),
    ],
)
def test_broken_files_are_a_sentence(tmp_path: Path, change: dict[str, Tensor | None], said: str) -> None:
    tensors: dict[str, Tensor | None] = {
        "x.lora_up.weight": torch.rand(8, 2), "x.lora_down.weight": torch.rand(2, 8), **change,
    }  # fmt: skip
    write_safetensors(tmp_path / "x.safetensors", {key: t for key, t in tensors.items() if t is not None})
    with pytest.raises(FileError) as caught:
        read_adapter(tmp_path / "x.safetensors")
    assert said in caught.value.what
    assert caught.value.todo


def test_old_torch_lora_files(tmp_path: Path) -> None:
    tensors = {f"lora_te_x.{part}": torch.rand(shape) for part, shape in KINDS["lora"].items()}
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    (tmp_path / "x.pt").write_bytes(buffer.getvalue())
    assert read_adapter(tmp_path / "x.pt").modules["lora_te_x"].rank == 2
    assert identify(tmp_path / "x.pt").title() == "a LoRA"
