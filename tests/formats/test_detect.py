"""What a file is, told from keys and shapes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.adapter_names import adapter_names
from lib_dreambooth.formats.checkpoint import identify
from lib_dreambooth.formats.clip_keys import hf_links, open_clip_links
from lib_dreambooth.formats.detect import adapter_family, detect
from lib_dreambooth.formats.kinds import activation_of
from lib_dreambooth.formats.links import own_links
from lib_dreambooth.formats.lora import lora_shapes, part_key
from lib_dreambooth.formats.safetensors_write import write_safetensors
from lib_dreambooth.formats.unet_keys import unet_links

Shapes = dict[str, tuple[int, ...]]


def shapes_of(tensors: dict[str, torch.Tensor]) -> Shapes:
    return {key: tuple(tensor.shape) for key, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("family", "parts"),
    [
        ("sd1", ["unet", "vae", "text_encoder"]),
        ("sd2", ["unet", "vae", "text_encoder"]),
        ("sdxl", ["unet", "vae", "text_encoder", "text_encoder_2"]),
        ("sdxl-refiner", ["unet", "vae", "text_encoder_2"]),
    ],
)
def test_families(made: SimpleNamespace, family: str, parts: list[str]) -> None:
    tensors = made.FAMILIES[family]()
    kind = detect(shapes_of(tensors), {}, {key: tensor.dtype for key, tensor in tensors.items()})
    assert (kind.family, kind.role, kind.layout, kind.variant) == (family, "checkpoint", "ldm", "")
    assert list(kind.parts) == parts
    assert kind.missing_parts == kind.damaged_parts == ()
    assert kind.precision == "F16"
    assert not kind.has_ema
    assert kind.num_tensors == len(tensors)
    assert kind.num_extras == {"sd1": 2, "sd2": 2, "sdxl": 2, "sdxl-refiner": 0}[family]
    assert kind.prediction == ("" if family == "sd2" else "epsilon")


@pytest.mark.parametrize(("channels", "variant"), [(4, ""), (9, "inpainting"), (8, "instruct")])
def test_variants_are_told_by_the_channels_in(made: SimpleNamespace, channels: int, variant: str) -> None:
    unet = replace(made.SD1, in_channels=channels)
    tensors = {**made.sd1(), **made.filled("model.diffusion_model.", unet_links(unet))}
    kind = detect(shapes_of(tensors))
    assert kind.variant == variant
    assert kind.unet == unet


@pytest.mark.parametrize(("channels", "said"), [(5, "depth-to-image"), (7, "upscaler"), (13, "13 channels")])
def test_other_channels_are_refused_by_name(made: SimpleNamespace, channels: int, said: str) -> None:
    tensors = made.filled("model.diffusion_model.", unet_links(replace(made.SD2, in_channels=channels)))
    with pytest.raises(FileError, match=said):
        detect(shapes_of(tensors))


def test_unclip_is_refused_by_name(made: SimpleNamespace) -> None:
    tensors = made.filled("model.diffusion_model.", unet_links(replace(made.SD2, addition_width=96)))
    with pytest.raises(FileError, match="unCLIP"):
        detect(shapes_of(tensors))


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "diffusion_model.", "", "unet.", "own"])
@pytest.mark.parametrize("family", ["SD1", "SD2", "SDXL", "REFINER"])
def test_a_unet_alone(made: SimpleNamespace, prefix: str, family: str) -> None:
    links = unet_links(getattr(made, family))
    is_own = prefix in ("unet.", "own")
    kind = detect(shapes_of(made.filled(prefix.replace("own", ""), own_links(links) if is_own else links)))
    assert kind.family == {"REFINER": "sdxl-refiner"}.get(family, family.lower())
    assert (kind.role, kind.layout) == ("unet", "diffusers" if is_own else "ldm")
    assert kind.damaged_parts == ()


def test_a_training_state(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "tensors.safetensors", {"optimizer.0.exp_avg": torch.ones(3)})
    (tmp_path / "state.json").write_text("{}", encoding="utf-8")
    assert identify(tmp_path).title() == "a training state"


@pytest.mark.parametrize("naming", ["hf", "open clip"])
def test_a_text_encoder_alone(made: SimpleNamespace, naming: str) -> None:
    links = hf_links(made.CLIP) if naming == "hf" else open_clip_links(made.CLIP_G)
    kind = detect(shapes_of(made.filled("", links)))
    assert (kind.role, kind.family) == ("text-encoder", "")
    assert kind.damaged_parts == ()


def test_a_vae_of_another_family(made: SimpleNamespace) -> None:
    shapes = shapes_of({key: t for key, t in made.sd1().items() if key.startswith("first_stage_model.")})
    shapes["first_stage_model.post_quant_conv.weight"] = (16, 16, 1, 1)
    with pytest.raises(FileError, match="16 latent channels"):
        detect(shapes)


@pytest.mark.parametrize("loss", ["missing", "shape"])
def test_damage_is_named_by_part(made: SimpleNamespace, loss: str) -> None:
    shapes = shapes_of(made.sdxl())
    key = "conditioner.embedders.1.model.transformer.resblocks.1.attn.in_proj_weight"
    if loss == "missing":
        del shapes[key]
    else:
        shapes[key] = (1, 2)
    kind = detect(shapes)
    assert kind.damaged_parts == ("text_encoder_2",)
    part = kind.parts["text_encoder_2"]
    assert (part.missing if loss == "missing" else part.misshapen) == (key,)
    assert key in part.damage()


def test_sdxl_needs_its_projection(made: SimpleNamespace) -> None:
    shapes = shapes_of(made.sdxl())
    del shapes["conditioner.embedders.1.model.text_projection"]
    assert detect(shapes).parts["text_encoder_2"].missing == (
        "conditioner.embedders.1.model.text_projection",
    )


def test_missing_parts_are_named(made: SimpleNamespace) -> None:
    shapes = {key: shape for key, shape in shapes_of(made.sdxl()).items() if "embedders.0" not in key}
    assert detect(shapes).missing_parts == ("text_encoder",)
    assert detect(shapes).family == "sdxl"


def test_a_part_in_ruins_is_still_seen(made: SimpleNamespace) -> None:
    shapes = {
        key: shape
        for key, shape in shapes_of(made.sd1()).items()
        if not key.startswith("first_stage_model.") or key.endswith("mid.attn_1.q.weight")
    }
    kind = detect(shapes)
    assert kind.damaged_parts == ("vae",)
    assert kind.parts["vae"].damage() == "its form cannot be seen"


@pytest.mark.parametrize(
    ("key", "metadata", "prediction", "source", "is_zero"),
    [
        ("v_pred", {}, "v", "marker", False),
        ("ztsnr", {"modelspec.prediction_type": "v"}, "v", "metadata", True),
        ("edm_vpred.sigma_max", {}, "edm", "marker", False),
        ("x", {"modelspec.architecture": "stable-diffusion-v2-768-v"}, "v", "metadata", False),
        ("x", {"modelspec.prediction_type": "epsilon"}, "epsilon", "metadata", False),
        ("x", {"scheduler.prediction_type": "v_prediction"}, "v", "metadata", False),
        ("x", {"scheduler.prediction_type": "sample"}, "sample", "metadata", False),
        ("x", {"scheduler.rescale_betas_zero_snr": "True"}, "epsilon", "family", True),
        ("x", {}, "epsilon", "family", False),
    ],
)  # fmt: skip
def test_hints_of_the_prediction(
    made: SimpleNamespace, key: str, metadata: dict[str, str], prediction: str, source: str, is_zero: bool
) -> None:
    kind = detect({**shapes_of(made.sdxl()), key: (0,)}, metadata)
    assert (kind.prediction, kind.prediction_source, kind.is_zero_terminal) == (prediction, source, is_zero)


@pytest.mark.parametrize(("text", "prediction"), [
    ("model:\n  params:\n    parameterization: \"v\"  # velocity\n", "v"),
    ("model:\n  target: x\n  params:\n    parameterization: eps\n", "epsilon"),
    ("denoiser_scaling.VScaling", "v"),
    ("hello", ""),
])  # fmt: skip
def test_a_yaml_beside_the_file_tells_sd2_s_prediction(
    tmp_path: Path, made: SimpleNamespace, text: str, prediction: str
) -> None:
    write_safetensors(tmp_path / "x.safetensors", made.sd2())
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    kind = identify(tmp_path / "x.safetensors")
    assert (kind.prediction, kind.prediction_source) == (prediction, "yaml" if prediction else "")


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_the_family_of_a_lora(made: SimpleNamespace, family: str) -> None:
    context = {"sd1": 768, "sdxl": 2048}[family]
    unet = replace(getattr(made, family.upper()), context_width=context)
    names = adapter_names(family, unet)
    shapes: Shapes = {}
    for target, shape in names.shapes.items():
        if ".attn2.to_k" in target.path:
            shapes.update({part_key(names.written[target], p): s for p, s in lora_shapes(shape, 2).items()})
    assert detect(shapes).family == family
    assert detect(shapes).title() == f"a LoRA for {'SDXL' if family == 'sdxl' else 'Stable Diffusion 1'}"
    # Metadata knows better than widths.
    assert adapter_family(shapes, {"ss_base_model_version": "sd_v2_v"}) == "sd2"
    assert adapter_family(shapes, {"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}) == "sdxl"
    assert adapter_family({"lora_te2_x.lora_up.weight": (4, 2)}, {}) == "sdxl"
    assert adapter_family({"lora_te_x.lora_up.weight": (4, 2)}, {}) == ""


FOREIGN = {
    "Stable Diffusion 3": [
        "model.diffusion_model.joint_blocks.0.x",
        "model.diffusion_model.context_embedder.bias",
    ],
    "Flux": [
        "model.diffusion_model.double_blocks.0.img_mlp.0.weight",
        "model.diffusion_model.single_blocks.0.norm",
    ],
    "ControlNet": ["control_model.input_hint_block.0.weight", "control_model.input_blocks.0.0.weight"],
    "AnimateDiff": ["down_blocks.0.motion_modules.0.temporal_transformer.norm.weight"],
    "T5": ["encoder.block.0.layer.0.SelfAttention.q.weight"],
    "hypernetwork": ["768.0.linear.0.weight", "1280.1.linear.0.weight"],
    "Stable Video": ["model.diffusion_model.input_blocks.1.0.time_stack.in_layers.0.weight"],
}


@pytest.mark.parametrize("title", FOREIGN)
def test_other_families_are_refused_by_name(title: str) -> None:
    with pytest.raises(FileError, match=title) as caught:
        detect(dict.fromkeys(FOREIGN[title], (8, 8)), where="x.safetensors")
    assert caught.value.where == "x.safetensors"
    assert caught.value.code == "unsupported-model"


def test_unknown_files_hear_what_was_looked_for() -> None:
    with pytest.raises(FileError) as caught:
        detect({"fc.weight": (9, 9), "fc.bias": (9,)})
    assert "model.diffusion_model.*" in caught.value.what
    assert "found `fc.weight`, `fc.bias`" in caught.value.what


@pytest.mark.parametrize(
    "stray",
    [
        ["lora_unet_mid_block_attentions_0_proj_in.lora_up.weight", "lora_te_x.alpha"],
        ["bundle_emb.word.string_to_param.*"],
        ["emb_params"],
        ["control_model.input_hint_block.0.weight", "control_model.input_blocks.0.0.weight"],
        ["cond_stage_model.transformer.vision_model.encoder.layers.0.mlp.fc1.weight"],
        ["cond_stage_model.transformer.vision_model.encoder.layers.0.layer_norm1.weight"],
        ["conditioner.embedders.1.model.logit_scale"],
        ["safety_checker.vision_model.encoder.layers.0.mlp.fc1.weight"],
    ],
    ids=lambda keys: keys[0],
)
def test_what_merges_carry_along_makes_them_nothing_else(made: SimpleNamespace, stray: list[str]) -> None:
    whole = shapes_of(made.sd1())
    # Keys are in any order.
    kind = detect({**dict.fromkeys(stray, (4, 4)), **whole})
    assert (kind.role, kind.family, kind.adapter_kinds) == ("checkpoint", "sd1", ())
    assert kind.damaged_parts == kind.missing_parts == ()
    assert kind.num_extras == detect(whole).num_extras + len(stray)


@pytest.mark.parametrize(
    ("shapes", "is_one"),
    [
        ({"<cat-toy>": (64,)}, True),
        ({"cat": (2, 768)}, True),
        ({"emb_params": (3, 64)}, True),
        ({"fc.weight": (9, 9)}, False),
        ({"a": (4,)}, False),
        ({"clip_l": ()}, False),
        ({"clip_l": (2, 768), "clip_g": (2, 1280)}, True),
    ],
)
def test_not_every_single_tensor_is_an_embedding(shapes: Shapes, is_one: bool) -> None:
    if is_one:
        assert detect(shapes).role == "embedding"
    else:
        with pytest.raises(FileError, match="Looked for"):
            detect(shapes)


def test_activations() -> None:
    assert activation_of("sd1", "text_encoder") == activation_of("sdxl", "text_encoder") == "quick_gelu"
    assert activation_of("sd2", "text_encoder") == activation_of("sdxl", "text_encoder_2") == "gelu"
