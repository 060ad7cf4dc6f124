"""Checkpoints in and out: every family comes back with the same keys, shapes and bits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.checkpoint import Checkpoint, identify, kind_of, read_checkpoint, read_vae
from lib_dreambooth.formats.checkpoint_write import write_checkpoint
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.formats.folder_write import write_folder
from lib_dreambooth.formats.host_yaml import host_yaml, yaml_path
from lib_dreambooth.formats.links import own_links
from lib_dreambooth.formats.part_sources import part_sources
from lib_dreambooth.formats.safetensors_write import write_safetensors
from lib_dreambooth.formats.unet_keys import unet_links
from lib_dreambooth.formats.vae_keys import vae_links

FAMILIES = ("sd1", "sd2", "sdxl", "sdxl-refiner")


def written_again(source: Path, target: Path, **options: bool) -> list[Path]:
    with open_tensors(source) as file:
        kind = kind_of(file)
        sources = part_sources(file, kind, **options)
        return write_checkpoint(
            target,
            sources.parts,
            kind,
            extras=sources.extras,
            metadata=file.metadata,
            file_shapes=sources.file_shapes,
        )


def content(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with open_tensors(path) as file:
        return file.read_all(), file.metadata


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert set(found) == set(expected)
    for key, tensor in expected.items():
        assert found[key].dtype == tensor.dtype, key
        assert found[key].shape == tensor.shape, key
        assert torch.equal(found[key], tensor), key


def full(checkpoint: Checkpoint, target: Path) -> list[Path]:
    return write_checkpoint(
        target,
        checkpoint.parts,
        checkpoint.kind,
        extras=checkpoint.extras,
        metadata=checkpoint.metadata,
        file_shapes=checkpoint.file_shapes,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_file_comes_back_to_the_byte(tmp_path: Path, made: SimpleNamespace, family: str) -> None:
    path = tmp_path / "in.safetensors"
    write_safetensors(path, made.FAMILIES[family](), {"author": "日本"})
    checkpoint = read_checkpoint(path, with_extras=True)
    assert checkpoint.kind.family == family
    assert checkpoint.kind.role == "checkpoint"
    assert full(checkpoint, tmp_path / "out.safetensors") == [tmp_path / "out.safetensors"]
    assert (tmp_path / "out.safetensors").read_bytes() == path.read_bytes()
    written_again(path, tmp_path / "streamed.safetensors")
    assert (tmp_path / "streamed.safetensors").read_bytes() == path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_through_a_diffusers_folder_and_back(tmp_path: Path, made: SimpleNamespace, family: str) -> None:
    path = tmp_path / "in.safetensors"
    tensors = made.FAMILIES[family]()
    write_safetensors(path, tensors)
    with open_tensors(path) as file:
        kind = kind_of(file)
        sources = part_sources(file, kind)
        write_folder(tmp_path / "folder", sources.parts, kind, extras=sources.extras)
    folder_kind = identify(tmp_path / "folder")
    assert (folder_kind.family, folder_kind.layout) == (family, "diffusers")
    assert folder_kind.damaged_parts == folder_kind.missing_parts == ()
    written_again(tmp_path / "folder", tmp_path / "out.safetensors")
    assert_same(content(tmp_path / "out.safetensors")[0], tensors)


def test_a_folder_of_sd2_without_extras_gets_what_hosts_need(tmp_path: Path, made: SimpleNamespace) -> None:
    tensors = made.sd2()
    write_safetensors(tmp_path / "in.safetensors", tensors)
    with open_tensors(tmp_path / "in.safetensors") as file:
        sources = part_sources(file, kind_of(file))
        write_folder(tmp_path / "folder", sources.parts, kind_of(file))
    (tmp_path / "folder" / "extras.safetensors").unlink()
    assert identify(tmp_path / "folder").text_encoder() == replace(made.CLIP, num_layers=1)
    written = written_again(tmp_path / "folder", tmp_path / "out.safetensors")
    found = content(tmp_path / "out.safetensors")[0]
    assert set(found) == set(tensors)
    prefix = "cond_stage_model.model.transformer.resblocks"
    for key in ("attn.in_proj_weight", "mlp.c_proj.bias"):
        assert torch.equal(found[f"{prefix}.1.{key}"], tensors[f"{prefix}.0.{key}"])
        assert torch.equal(found[f"{prefix}.0.{key}"], tensors[f"{prefix}.0.{key}"])
    # The folder's scheduler says what SD2's keys do not, and hosts get it as YAML.
    assert [path.suffix for path in written] == [".safetensors", ".yaml"]


def test_spellings_of_the_file_are_kept(tmp_path: Path, made: SimpleNamespace) -> None:
    tensors = made.sd1()
    text = "cond_stage_model.transformer."
    bare = {key.replace(f"{text}text_model.", text): value for key, value in tensors.items()}
    for key in list(bare):
        if ".attn_1." in key and bare[key].ndim == 4:
            bare[key] = bare[key][:, :, 0, 0].clone()
    bare[f"{text}embeddings.position_ids"] = torch.arange(77.0)[None]
    write_safetensors(tmp_path / "in.safetensors", bare)
    checkpoint = read_checkpoint(tmp_path / "in.safetensors", with_extras=True)
    assert "text_model.encoder.layers.1.mlp.fc1.bias" in checkpoint.parts["text_encoder"]
    assert checkpoint.parts["vae"]["decoder.mid_block.attentions.0.to_q.weight"].shape == (64, 64)
    full(checkpoint, tmp_path / "out.safetensors")
    assert (tmp_path / "out.safetensors").read_bytes() == (tmp_path / "in.safetensors").read_bytes()


def test_old_diffusers_names_of_the_vae(tmp_path: Path, made: SimpleNamespace) -> None:
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = made.filled("", own_links(vae_links(made.VAE)))
    for new, name in old.items():
        state = {key.replace(f"attentions.0.{new}.", f"attentions.0.{name}."): t for key, t in state.items()}
    torch.save(state, tmp_path / "vae.bin")
    kind = identify(tmp_path / "vae.bin")
    assert (kind.role, kind.layout, kind.damaged_parts) == ("vae", "diffusers", ())
    assert "decoder.mid_block.attentions.0.to_out.0.weight" in read_vae(tmp_path / "vae.bin")


@pytest.mark.parametrize("prefix", ["first_stage_model.", "", "vae."])
def test_separate_vaes(tmp_path: Path, made: SimpleNamespace, sd1_file: Path, prefix: str) -> None:
    links = vae_links(made.VAE)
    tensors = {key: value * 2 for key, value in made.filled(prefix, links).items()}
    torch.save({"state_dict": {**tensors, "loss.logvar": torch.zeros(())}}, tmp_path / "x.vae.pt")
    assert identify(tmp_path / "x.vae.pt").role == "vae"
    checkpoint = read_checkpoint(sd1_file, vae_path=tmp_path / "x.vae.pt")
    key = "decoder.mid_block.attentions.0.to_q.weight"
    expected = tensors[f"{prefix}decoder.mid.attn_1.q.weight"][:, :, 0, 0]
    assert torch.equal(checkpoint.parts["vae"][key], expected)


def averaged(made: SimpleNamespace) -> dict[str, Tensor]:
    tensors = made.sd1()
    unet = [key for key in tensors if key.startswith("model.diffusion_model.")]
    twins = {"model_ema." + key.removeprefix("model.").replace(".", ""): tensors[key] + 1 for key in unet}
    return {
        **tensors,
        **twins,
        "model_ema.decay": torch.tensor(0.999),
        "model_ema.num_updates": torch.tensor(3),
    }


def test_averaged_weights_on_request(tmp_path: Path, made: SimpleNamespace) -> None:
    path = tmp_path / "full.safetensors"
    tensors = averaged(made)
    write_safetensors(path, tensors)
    assert identify(path).has_ema
    live, ema = read_checkpoint(path), read_checkpoint(path, prefer_ema=True)
    for name, tensor in live.parts["unet"].items():
        assert torch.equal(ema.parts["unet"][name], tensor + 1)
    assert torch.equal(live.parts["vae"]["quant_conv.bias"], ema.parts["vae"]["quant_conv.bias"])


@pytest.mark.parametrize(("options", "shift"), [({"keep_ema": False}, 0), ({"prefer_ema": True}, 1)])
def test_pruning_keeps_one_unet(
    tmp_path: Path, made: SimpleNamespace, options: dict[str, bool], shift: int
) -> None:
    tensors = averaged(made)
    write_safetensors(tmp_path / "full.safetensors", tensors)
    written_again(tmp_path / "full.safetensors", tmp_path / "pruned.safetensors", **options)
    expected = {
        key: value + shift if key.startswith("model.diffusion_model.") else value
        for key, value in tensors.items()
        if not key.startswith("model_ema.")
    }
    assert_same(content(tmp_path / "pruned.safetensors")[0], expected)


def test_precision_changes_parts_and_leaves_the_rest(
    tmp_path: Path, made: SimpleNamespace, sd1_file: Path
) -> None:
    checkpoint = read_checkpoint(sd1_file, with_extras=True)
    target = tmp_path / "out.safetensors"
    write_checkpoint(
        target, checkpoint.parts, checkpoint.kind, dtype=torch.bfloat16, extras=checkpoint.extras
    )
    found = content(target)[0]
    for key, tensor in made.sd1().items():
        is_extra = key == "alphas_cumprod" or key.endswith("position_ids")
        assert torch.equal(found[key], tensor if is_extra else tensor.to(torch.bfloat16)), key


def test_values_beyond_fp16_are_refused(tmp_path: Path, sd1_file: Path) -> None:
    checkpoint = read_checkpoint(sd1_file, with_extras=True)
    unet = checkpoint.parts["unet"]
    unet["conv_in.bias"] = torch.full_like(unet["conv_in.bias"], 1e6, dtype=torch.float32)
    with pytest.raises(FileError, match=r"too large for fp16"):
        write_checkpoint(tmp_path / "x.safetensors", checkpoint.parts, checkpoint.kind, dtype=torch.float16)
    assert list(tmp_path.iterdir()) == []


def test_sdxl_with_velocity_tells_every_host(tmp_path: Path, made: SimpleNamespace) -> None:
    write_safetensors(
        tmp_path / "in.safetensors", {**made.sdxl(), "v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    )
    checkpoint = read_checkpoint(tmp_path / "in.safetensors", with_extras=True)
    assert (checkpoint.kind.prediction, checkpoint.kind.is_zero_terminal) == ("v", True)
    assert full(checkpoint, tmp_path / "out.safetensors")[1] == tmp_path / "out.yaml"
    assert (tmp_path / "out.safetensors").read_bytes() == (tmp_path / "in.safetensors").read_bytes()
    # Without the markers, the YAML alone says so, and writing again adds them.
    write_safetensors(tmp_path / "out.safetensors", made.sdxl())
    kind = identify(tmp_path / "out.safetensors")
    assert (kind.prediction, kind.prediction_source) == ("v", "yaml")
    written_again(tmp_path / "out.safetensors", tmp_path / "marked.safetensors")
    assert content(tmp_path / "marked.safetensors")[0]["v_pred"].shape == (0,)


def test_a_stale_yaml_is_not_left_to_mislead(tmp_path: Path, sd1_file: Path) -> None:
    (tmp_path / "x.yaml").write_text("parameterization: v", encoding="utf-8")
    checkpoint = read_checkpoint(sd1_file)
    with pytest.raises(FileError, match=r"x\.yaml beside it says"):
        write_checkpoint(tmp_path / "x.safetensors", checkpoint.parts, checkpoint.kind)
    assert [path.name for path in tmp_path.iterdir()] == ["x.yaml"]


def test_yaml_says_what_hosts_build(made: SimpleNamespace, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    for family, prediction in (("sdxl", "v"), ("sd2", "v"), ("sd2", "epsilon"), ("sd1", "v")):
        write_safetensors(tmp_path / "x.safetensors", made.FAMILIES[family]())
        kind = replace(identify(tmp_path / "x.safetensors"), prediction=prediction)
        text = host_yaml(kind)
        model = yaml.safe_load(text)["model"]
        yaml_path(tmp_path / "x.safetensors").write_text(text, encoding="utf-8")
        assert identify(tmp_path / "x.safetensors").prediction == prediction
        yaml_path(tmp_path / "x.safetensors").unlink()
        network = model["params"]["network_config" if family == "sdxl" else "unet_config"]["params"]
        assert network["context_dim"] == kind.unet.context_width
        if family == "sdxl":
            assert network["transformer_depth"] == [1, 1, 2]
            assert network["attention_resolutions"] == [4, 2]
            scaling = model["params"]["denoiser_config"]["params"]["scaling_config"]["target"]
            assert scaling.endswith("denoiser_scaling.VScaling")
            outdims = [
                e["params"].get("outdim")
                for e in model["params"]["conditioner_config"]["params"]["emb_models"]
            ]
            assert outdims == [None, None, 256, 256, 256]
        else:
            assert model["params"]["parameterization"] == {"v": "v", "epsilon": "eps"}[prediction]
            assert network["channel_mult"] == [1, 1, 2, 2]
            assert network["attention_resolutions"] == [4, 2, 1]


@pytest.mark.parametrize(
    ("part", "todo"),
    [
        ("vae", "Choose a separate VAE file"),
        ("text_encoder", "Choose another checkpoint"),
        ("unet", "is a VAE|"),
    ],
)
@pytest.mark.parametrize("how", ["missing", "damaged", "misshapen", "nan"])
def test_a_bad_part_is_named_and_another_offered(
    tmp_path: Path, made: SimpleNamespace, part: str, todo: str, how: str
) -> None:
    prefix, inner = {
        "vae": ("first_stage_model.", "decoder.mid.attn_1.q.weight"),
        "text_encoder": ("cond_stage_model.", "transformer.text_model.encoder.layers.1.mlp.fc1.weight"),
        "unet": ("model.diffusion_model.", "input_blocks.1.1.proj_in.bias"),
    }[part]
    tensors = made.sd1()
    if how == "missing":
        tensors = {key: value for key, value in tensors.items() if not key.startswith(prefix)}
    elif how == "damaged":
        del tensors[prefix + inner]
    elif how == "misshapen":
        tensors[prefix + inner] = torch.zeros(7)
    else:
        tensors[prefix + inner] = tensors[prefix + inner].clone()
        tensors[prefix + inner].view(-1)[3] = float("nan")
    path = tmp_path / "merge.safetensors"
    write_safetensors(path, tensors)
    with pytest.raises(FileError) as caught:
        read_checkpoint(path)
    problem = caught.value
    assert problem.where == str(path)
    assert problem.todo
    if (part, how) != ("unet", "missing"):
        expected = {"vae": "the VAE", "text_encoder": "the text encoder", "unet": "the UNet"}[part]
        assert problem.what.startswith(expected)
        assert {"missing": "is missing", "nan": "NaN"}.get(how, "is damaged") in problem.what
    if part == "vae":
        assert problem.todo.startswith(todo)
        torch.save(made.filled("", vae_links(made.VAE)), tmp_path / "other.vae.pt")
        assert read_checkpoint(path, vae_path=tmp_path / "other.vae.pt").parts["vae"]


def test_stray_keys_and_mixed_precision_do_no_harm(tmp_path: Path, made: SimpleNamespace) -> None:
    tensors = made.sd1()
    for index, key in enumerate(tensors):
        if tensors[key].is_floating_point():
            tensors[key] = tensors[key].to((torch.float16, torch.bfloat16, torch.float32)[index % 3])
    tensors["model.diffusion_model.stray"] = torch.ones(3)
    tensors["weird.key"] = torch.full((2,), float("nan"))
    write_safetensors(tmp_path / "in.safetensors", tensors)
    checkpoint = read_checkpoint(tmp_path / "in.safetensors", with_extras=True)
    assert {"model.diffusion_model.stray", "weird.key"} < set(checkpoint.extras)
    assert set(checkpoint.kind.dtypes) == {"F16", "BF16", "F32", "I64"}
    full(checkpoint, tmp_path / "out.safetensors")
    assert (tmp_path / "out.safetensors").read_bytes() == (tmp_path / "in.safetensors").read_bytes()


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_files_of_one_part_come_back_to_the_byte(tmp_path: Path, made: SimpleNamespace, part: str) -> None:
    links = unet_links(made.SDXL) if part == "unet" else vae_links(made.VAE)
    for number, tensors in enumerate((made.filled("", links), made.filled("", own_links(links)))):
        source, target = tmp_path / f"{number}.safetensors", tmp_path / f"again {number}.safetensors"
        write_safetensors(source, {**tensors, "stray": torch.ones(1)})
        assert written_again(source, target) == [target]
        assert target.read_bytes() == source.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_diffusers_loads_the_folder(tmp_path: Path, made: SimpleNamespace, family: str) -> None:
    write_safetensors(tmp_path / "in.safetensors", made.FAMILIES[family]())
    with open_tensors(tmp_path / "in.safetensors") as file:
        kind = kind_of(file)
        sources = part_sources(file, kind)
        write_folder(tmp_path / "folder", sources.parts, kind, dtype=torch.float32)
        state = {part: {n: t.load() for n, t in named.items()} for part, named in sources.parts.items()}
    for part, loader in (("unet", UNet2DConditionModel), ("vae", AutoencoderKL)):
        model = loader.from_pretrained(tmp_path / "folder" / part, local_files_only=True)
        assert_same(dict(model.state_dict()), {name: tensor.float() for name, tensor in state[part].items()})
    text = CLIPTextModel.from_pretrained(tmp_path / "folder" / "text_encoder", local_files_only=True)
    assert text.config.hidden_act == ("gelu" if family == "sd2" else "quick_gelu")
    layers = {key.removeprefix("text_model."): value for key, value in text.state_dict().items()}
    for name, tensor in state["text_encoder"].items():
        if family != "sd2" or ".layers.1." not in name:
            assert torch.equal(layers[name.removeprefix("text_model.")], tensor.float()), name
    index = json.loads((tmp_path / "folder" / "model_index.json").read_text(encoding="utf-8"))
    assert index["_class_name"] == f"StableDiffusion{'XL' if family == 'sdxl' else ''}Pipeline"


def test_a_folder_is_never_overwritten(tmp_path: Path, sd1_file: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("keep", encoding="utf-8")
    with open_tensors(sd1_file) as file:
        kind = kind_of(file)
        with pytest.raises(FileError, match="not empty"):
            write_folder(tmp_path / "folder", part_sources(file, kind).parts, kind)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "mine.txt"]


def test_tokenizer_files_go_into_the_folder(tmp_path: Path, sd1_file: Path) -> None:
    with open_tensors(sd1_file) as file:
        kind = kind_of(file)
        more = {"tokenizer/merges.txt": b"a b\n"}
        write_folder(tmp_path / "folder", part_sources(file, kind).parts, kind, more_files=more)
    assert (tmp_path / "folder" / "tokenizer" / "merges.txt").read_bytes() == b"a b\n"
    index = json.loads((tmp_path / "folder" / "model_index.json").read_text(encoding="utf-8"))
    assert index["tokenizer"] == ["transformers", "CLIPTokenizer"]
