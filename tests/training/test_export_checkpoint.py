"""Checkpoints: what was trained changes, all else stays as it was, and hosts find what they need."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.adapter_names import Target
from lib_dreambooth.formats.checkpoint import identify, read_checkpoint
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.formats.keymap import TEXT, TEXT_2, UNET, VAE
from lib_dreambooth.formats.safetensors_write import write_safetensors
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.training.export.facts import base_facts
from lib_dreambooth.training.export.own_settings import metadata_of, settings_from_file
from lib_dreambooth.training.export.states import merged, module_tensors
from tests.models.tiny import VAE as VAE_LAYOUT
from tests.models.tiny import random_tensors, save, sd1_tensors, sd2_tensors, sdxl_tensors, vae_links
from tests.training.made_exports import PNG, exporter, run_of

EXTRAS = {
    "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None],
    "alphas_cumprod": torch.linspace(0.99, 0.01, 1000),
    "somebody.elses.key": torch.arange(5),
    "model_ema.decay": torch.tensor(0.9999),
}
LAYER = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tensors = {**sd1_tensors(), **EXTRAS}
    return save(tmp_path_factory.mktemp("base") / "base.safetensors", tensors, torch.float16)


@pytest.fixture
def model(base: Path) -> LoadedModel:
    """Read in float32, as for training."""
    return read_model(base, dtype=torch.float32)


def tensors_of(path: Path) -> dict[str, Tensor]:
    with open_tensors(path) as file:
        return file.read_all()


@torch.no_grad()
def train(model: LoadedModel, part: str = UNET) -> None:
    for parameter in model.modules[part].parameters():
        parameter.add_(0.01)


def test_what_was_not_trained_is_the_bases(model: LoadedModel, base: Path, tmp_path: Path) -> None:
    train(model)
    out = exporter(tmp_path, {"saving.precision": "fp16"}, base=base_facts(model))
    result = out.write_checkpoint(model, step=500, epoch=5, trained=(UNET,), preview=PNG)
    assert result.path == tmp_path / "Stable-diffusion" / "mika" / "mika-000500.safetensors"
    before, after = tensors_of(base), tensors_of(result.path)
    assert set(before) - set(after) == {"model_ema.decay"}, "an old average would be a lie"
    assert set(after) <= set(before)
    for key, tensor in after.items():
        if key.startswith("model.diffusion_model."):
            expected = (before[key].float() + 0.01).half()
        else:
            expected = before[key]
        assert tensor.dtype == expected.dtype and torch.equal(tensor, expected), key
    card = json.loads(result.path.with_suffix(".json").read_text(encoding="utf-8"))
    assert card == {"description": "", "notes": ""}
    assert result.path.with_name("mika-000500.preview.png").read_bytes() == PNG


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_reading_it_again_gives_the_model(
    model: LoadedModel, tmp_path: Path, precision: str, dtype: torch.dtype
) -> None:
    train(model)
    train(model, TEXT)
    out = exporter(tmp_path, {"saving.precision": precision}, base=base_facts(model))
    result = out.write_checkpoint(model, step=500, epoch=5, trained=(UNET, TEXT))
    again = read_model(result.path, dtype=torch.float32)
    for part in (UNET, TEXT, VAE):
        ours, read = (module_tensors(one.modules[part]) for one in (model, again))
        assert set(ours) == set(read)
        assert all(torch.equal(read[name], ours[name].to(dtype).float()) for name in ours)


def test_hashes_and_settings(model: LoadedModel, tmp_path: Path) -> None:
    out = exporter(tmp_path, base=base_facts(model))
    result = out.write_checkpoint(model, step=500, epoch=5)
    data = result.path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    metadata = metadata_of(result.path)
    assert metadata["modelspec.hash_sha256"] == "0x" + hashlib.sha256(data[8 + length :]).hexdigest()
    assert result.sha256 == hashlib.sha256(data).hexdigest() and result.size == len(data)
    assert metadata["modelspec.architecture"] == "stable-diffusion-v1"
    assert "ss_network_module" not in metadata and metadata["ss_steps"] == "500"
    assert metadata["ss_sd_model_hash"] == base_facts(model).file.legacy
    assert settings_from_file(result.path).run.network.rank == 4


@pytest.mark.slow
def test_averages_and_live_weights_are_two_files(model: LoadedModel, tmp_path: Path) -> None:
    out = exporter(tmp_path, {"saving.precision": "fp32"}, base=base_facts(model))
    live = module_tensors(model.unet)
    averages = {UNET: {name: tensor * 0.5 for name, tensor in live.items()}}
    two = [
        out.write_checkpoint(model, step=500, epoch=5, trained=(UNET,)),
        out.write_checkpoint(model, step=500, epoch=5, replaced=averages, label="ema"),
    ]
    assert [one.path.stem for one in two] == ["mika-000500", "mika-ema-000500"]
    found = [read_checkpoint(one.path).parts[UNET] for one in two]
    assert all(torch.equal(found[0][name], live[name]) for name in live)
    assert all(torch.equal(found[1][name], live[name] * 0.5) for name in live)


def test_a_lora_merged_in(model: LoadedModel, tmp_path: Path) -> None:
    delta = torch.randn(64, 64)
    replaced = merged(model, {Target(UNET, LAYER): {"weight": lambda: delta}})
    out = exporter(tmp_path, {"saving.precision": "fp32"}, base=base_facts(model))
    result = out.write_checkpoint(model, step=500, epoch=5, replaced=replaced)
    found, live = read_checkpoint(result.path).parts[UNET], module_tensors(model.unet)
    name = f"{LAYER}.weight"
    assert torch.equal(found[name], live[name] + delta)
    assert all(torch.equal(found[other], live[other]) for other in live if other != name)


def test_files_merged_into_the_base_stay_in(model: LoadedModel, tmp_path: Path) -> None:
    """`model.merge`: such weights are in memory alone, also where the part was not trained."""
    train(model, TEXT)
    changes = {"saving.precision": "fp32", "model.merge": ["other.safetensors:0.5"]}
    out = exporter(tmp_path, changes, base=base_facts(model))
    result = out.write_checkpoint(model, step=500, epoch=5, trained=(UNET,))
    found, live = read_checkpoint(result.path).parts[TEXT], module_tensors(model.modules[TEXT])
    assert all(torch.equal(found[name], live[name]) for name in live)


@pytest.mark.slow
@pytest.mark.parametrize("own", [True, False])
def test_the_vae_is_the_bases_or_the_chosen_one(base: Path, tmp_path: Path, own: bool) -> None:
    """`saving.own_vae`."""
    vae = tmp_path / "good.vae.safetensors"
    write_safetensors(vae, random_tensors("first_stage_model.", vae_links(VAE_LAYOUT), seed=9))
    model = read_model(base, dtype=torch.float32, vae_path=vae)
    facts = base_facts(model)
    assert facts.vae is not None and facts.vae.name == "good.vae.safetensors"
    changes = {"saving.own_vae": own, "model.vae": str(vae), "saving.precision": "fp32"}
    out = exporter(tmp_path, changes, base=facts)
    result = out.write_checkpoint(model, step=500, epoch=5, trained=(UNET,))
    assert metadata_of(result.path)["ss_new_vae_hash"] == hashlib.sha256(vae.read_bytes()).hexdigest()
    expected = read_checkpoint(base, vae_path=vae if own else None).parts[VAE]
    found = read_checkpoint(result.path).parts[VAE]
    assert all(torch.equal(found[name], tensor.float()) for name, tensor in expected.items())


@pytest.mark.slow
def test_the_bases_averages_come_along_where_the_run_began_with_them(tmp_path: Path) -> None:
    """`model.ema_weights`: a UNet that was not trained is the averaged one."""
    tensors = sd1_tensors()
    averages = {
        "model_ema." + key.removeprefix("model.").replace(".", ""): tensor + 1.0
        for key, tensor in tensors.items()
        if key.startswith("model.diffusion_model.")
    }
    path = save(tmp_path / "base.safetensors", {**tensors, **averages}, torch.float32)
    model = read_model(path, prefer_ema=True)
    out = exporter(tmp_path, {"model.ema_weights": True, "saving.precision": "fp32"}, base=base_facts(model))
    result = out.write_checkpoint(model, step=1, epoch=1, trained=(TEXT,))
    found = tensors_of(result.path)
    assert not any(key.startswith("model_ema.") for key in found)
    key = "model.diffusion_model.out.2.weight"
    assert torch.equal(found[key], tensors[key] + 1.0)


@pytest.mark.slow
def test_velocity_is_told_to_every_host(tmp_path: Path) -> None:
    path = save(tmp_path / "two.safetensors", sd2_tensors(), torch.float32)
    model = read_model(path)
    facts = base_facts(model, prediction="v")
    out = exporter(tmp_path, base=facts)
    first, second = (out.write_checkpoint(model, step=500, epoch=5, trained=(UNET,)) for _ in range(2))
    yaml = first.path.with_name("mika-000500.yaml")
    assert 'parameterization: "v"' in yaml.read_text(encoding="utf-8").replace("'", '"')
    assert second.path.with_name("mika-000500-2.yaml").is_file()
    kind = identify(first.path)
    assert (kind.family, kind.prediction) == ("sd2", "v")
    assert sorted(one.name for one in first.path.parent.iterdir()) == [
        "mika-000500-2.json",
        "mika-000500-2.safetensors",
        "mika-000500-2.yaml",
        "mika-000500.json",
        "mika-000500.safetensors",
        "mika-000500.yaml",
    ]


OWN_YAML = """model:
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    parameterization: {}
"""


@pytest.mark.slow
@pytest.mark.parametrize(("said", "comes_along"), [("eps", True), ("v", False)])
def test_the_bases_yaml_comes_along_where_it_holds(tmp_path: Path, said: str, comes_along: bool) -> None:
    """Hosts build the result as they build the base; one that says another prediction would be a lie."""
    path = save(tmp_path / "own.base.safetensors", sd1_tensors(), torch.float32)
    model = read_model(path)
    text = OWN_YAML.format(said)
    (tmp_path / "own.base.yaml").write_text(text, encoding="utf-8")
    out = exporter(tmp_path, base=base_facts(model, prediction="epsilon"))
    result = out.write_checkpoint(model, step=500, epoch=5, trained=(UNET,))
    yaml = result.path.with_suffix(".yaml")
    assert yaml.is_file() == comes_along
    assert not comes_along or yaml.read_text(encoding="utf-8") == text


@pytest.mark.slow
def test_an_xl_with_zero_terminal_noise(tmp_path: Path) -> None:
    path = save(tmp_path / "xl.safetensors", sdxl_tensors(), torch.float16)
    model = read_model(path)
    facts = base_facts(model, prediction="v", is_zero_terminal=True)
    out = exporter(tmp_path, {"saving.keep": 1}, base=facts)
    first = out.write_checkpoint(model, step=500, epoch=5, trained=(UNET, TEXT, TEXT_2))
    found = tensors_of(first.path)
    assert found["v_pred"].numel() == 0 and found["ztsnr"].numel() == 0
    assert "VScaling" in first.path.with_suffix(".yaml").read_text(encoding="utf-8")
    for key, tensor in tensors_of(path).items():
        assert torch.equal(found[key], tensor), key
    out.write_checkpoint(model, step=600, epoch=6, trained=(UNET,))
    assert sorted(one.suffix for one in first.path.parent.iterdir()) == [".json", ".safetensors", ".yaml"]


@pytest.mark.slow
def test_a_diffusers_folder(model: LoadedModel, tmp_path: Path) -> None:
    train(model)
    out = exporter(tmp_path, {"saving.keep": 1, "saving.precision": "fp32"}, base=base_facts(model))
    result = out.write_diffusers(model, step=500, epoch=5, trained=(UNET,))
    assert result.path == tmp_path / "diffusers" / "mika" / "mika-000500" and result.path.is_dir()
    assert result.size == sum(one.stat().st_size for one in result.path.rglob("*") if one.is_file())
    again = read_model(result.path)
    ours, read = (module_tensors(one.unet) for one in (model, again))
    assert all(torch.equal(read[name], ours[name]) for name in ours)
    assert settings_from_file(result.path).run.draws.seed == 42
    with open_tensors(result.path) as file:
        assert torch.equal(file.read("extras/somebody.elses.key"), EXTRAS["somebody.elses.key"])
    beside = exporter(tmp_path, {"saving.subfolder": False}, base=base_facts(model))
    twice = [beside.write_diffusers(model, step=1, epoch=1, trained=(UNET,)).path.name for _ in range(2)]
    assert twice == ["mika-000001", "mika-000001-2"]
    second = out.write_diffusers(model, step=600, epoch=6, trained=(UNET,))
    assert [one.name for one in result.path.parent.iterdir()] == [second.path.name]


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["gone", "replaced"])
def test_a_base_that_is_not_there_any_more_costs_nothing_that_was_trained(tmp_path: Path, lost: str) -> None:
    path = save(tmp_path / "base.safetensors", {**sd1_tensors(), **EXTRAS}, torch.float32)
    model = read_model(path)
    facts = base_facts(model)
    path.unlink()
    if lost == "replaced":
        save(path, sd2_tensors(), torch.float32)
    train(model)
    out = exporter(tmp_path, {"saving.precision": "fp32"}, base=facts)
    found = read_checkpoint(out.write_checkpoint(model, step=1, epoch=1, trained=(UNET,)).path)
    assert found.kind.family == "sd1"
    for part in (UNET, VAE, TEXT):
        ours = module_tensors(model.modules[part])
        assert all(torch.equal(found.parts[part][name], ours[name]) for name in ours)


@torch.no_grad()
def test_numbers_that_are_none_are_refused(model: LoadedModel, tmp_path: Path) -> None:
    out = exporter(tmp_path, base=base_facts(model))
    last = out.write_checkpoint(model, step=1, epoch=1, trained=(UNET,))
    before = last.path.read_bytes()
    next(model.unet.parameters()).view(-1)[0] = float("inf")
    for write in (out.write_checkpoint, out.write_diffusers):
        with pytest.raises(FileError, match=r"no numbers.*saved before"):
            write(model, step=2, epoch=1, trained=(UNET,))
    assert last.path.read_bytes() == before
    files = [one.name for one in tmp_path.rglob("*") if one.is_file()]
    assert sorted(files) == ["mika-000001.json", "mika-000001.safetensors"]


def test_the_space_for_a_checkpoint(model: LoadedModel, base: Path, tmp_path: Path) -> None:
    out = exporter(tmp_path, base=base_facts(model))
    result = out.write_checkpoint(model, step=1, epoch=1, trained=(UNET,))
    needed = out.needed_bytes([*tensors_of(base).values()])
    assert result.size < needed < result.size + 5_000_000


def test_facts_of_the_base(model: LoadedModel, base: Path) -> None:
    facts = base_facts(model)
    data = base.read_bytes()
    assert (facts.family, facts.prediction, facts.native_size) == ("sd1", "epsilon", 512)
    assert facts.file.name == "base.safetensors" and facts.vae is None
    assert facts.file.sha256 == hashlib.sha256(data).hexdigest()
    assert facts.file.legacy == hashlib.sha256(data[0x100000:0x110000]).hexdigest()[:8]
    assert run_of().metadata.name == "mika"
