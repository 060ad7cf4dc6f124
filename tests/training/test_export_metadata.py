"""What files say of themselves, read as hosts, viewers and we read it."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth import settings
from lib_dreambooth.base.errors import FileError
from lib_dreambooth.settings.convert import plain
from lib_dreambooth.settings.fields import value_at
from lib_dreambooth.settings.recipes.reading import read_metadata
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.export.facts import BaseFacts, Hashed
from lib_dreambooth.training.export.metadata import About, metadata_for, trigger_text
from lib_dreambooth.training.export.own_settings import SETTINGS_KEY, settings_from_file
from lib_dreambooth.training.export.result import ADAPTER, CHECKPOINT, EMBEDDING
from tests.training.made_exports import BASE, DATA, NOW, SESSION, exporter, run_of, write

ABOUT = About(ADAPTER, "mika-000600", "mika", 600, 6, NOW)
SDXL_V = BaseFacts("sdxl", "v", 1024, Hashed("xl.safetensors"), is_zero_terminal=True)
SD2_V = BaseFacts("sd2", "v", 768, Hashed("two"))


def said(run: Run, base: BaseFacts = BASE, about: About = ABOUT) -> dict[str, str]:
    found = metadata_for(run, base, DATA, SESSION, about)
    assert all(isinstance(value, str) for value in found.values())
    return found


def host_reads(path: Path) -> dict[str, Any]:
    """As the WebUI reads a file: the header's texts, those that begin like an object parsed."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    assert data[8:10] == b'{"'
    found = json.loads(data[8 : 8 + length])["__metadata__"]
    return {key: json.loads(text) if text.startswith("{") else text for key, text in found.items()}


def host_version(metadata: dict[str, Any]) -> str:
    """Which models the WebUI shows the LoRA for."""
    if str(metadata.get("ss_base_model_version", "")).startswith("sdxl_"):
        return "SDXL"
    return "SD2" if str(metadata.get("ss_v2", "")) == "True" else "SD1" if metadata else "Unknown"


def test_a_host_reads_its_table_of_a_lora(tmp_path: Path) -> None:
    found = host_reads(write(exporter(tmp_path), 600).path)
    assert found["ss_output_name"] == "mika-000600"
    assert found["ss_sd_model_name"] == "base.safetensors"
    assert found["ss_network_module"] == "networks.lora"
    assert float(found["ss_training_started_at"]) == 1_700_000_000.5
    buckets = found["ss_bucket_info"]["buckets"].values()
    assert [(bucket["resolution"], bucket["count"]) for bucket in buckets] == [
        ([512, 512], 20),
        ([384, 640], 10),
    ]
    assert sum(int(one["img_count"]) for one in found["ss_dataset_dirs"].values()) == 3
    assert found["ss_reg_dataset_dirs"] == {"girls": {"n_repeats": 1, "img_count": 5}}
    assert found["ss_tag_frequency"]["10_mika"] == {"mika": 3, "smile": 2, "red hat": 1}
    assert re.fullmatch("[0-9a-f]{64}", found["sshs_model_hash"])
    assert host_version(found) == "SD1"


def test_the_numbers_of_a_run() -> None:
    run = run_of(
        {
            "rates.learning_rate": 3e-4,
            "parts.unet.rate": 2e-4,
            "rates.warmup": "10 %",
            "rates.schedule": "cosine_with_restarts",
            "optimizer.weight_decay": 0.1,
            "optimizer.arguments": {"betas": [0.9, 0.99]},
            "length.batch_size": 2,
            "length.accumulation": 3,
            "network.conv_rank": 2,
            "network.dropout": 0.25,
            "noise.offset": 0.05,
            "captions.shuffle": True,
            "metadata.comment": "second try",
        }
    )
    found = said(run)
    expected = {
        "ss_session_id": "4711",
        "ss_training_started_at": "1700000000.5",
        "ss_training_finished_at": "1700000600.0",
        "ss_steps": "600",
        "ss_epoch": "6",
        "ss_max_train_steps": "1200",
        "ss_num_epochs": "12",
        "ss_seed": "42",
        "ss_learning_rate": "0.0003",
        "ss_unet_lr": "0.0002",
        "ss_text_encoder_lr": "5e-05",
        "ss_lr_scheduler": "cosine_with_restarts",
        "ss_lr_warmup_steps": "120",
        "ss_optimizer": "torch.optim.adamw.AdamW(weight_decay=0.1,betas=(0.9,0.99))",
        "ss_network_dim": "4",
        "ss_network_alpha": "2.0",
        "ss_network_dropout": "0.25",
        "ss_network_args": '{"conv_dim": "2", "conv_alpha": "2"}',
        "ss_batch_size_per_device": "2",
        "ss_total_batch_size": "12",
        "ss_gradient_checkpointing": "True",
        "ss_mixed_precision": "bf16",
        "ss_resolution": "(512, 512)",
        "ss_noise_offset": "0.05",
        "ss_min_snr_gamma": "5.0",
        "ss_shuffle_caption": "True",
        "ss_training_comment": "second try",
        "ss_new_sd_model_hash": "ab" * 32,
        "ss_sd_model_hash": "12345678",
        "ss_num_train_images": "30",
        "ss_num_reg_images": "5",
        "ss_num_validation_images": "2",
        "ss_num_batches_per_epoch": "15",
        "ss_clip_skip": "None",
        "ss_v2": "False",
        "ss_base_model_version": "sd_v1",
    }
    assert {key: found.get(key) for key in expected} == expected


def test_kohyas_reader_gets_the_run_back() -> None:
    run = run_of(
        {
            "rates.learning_rate": 3e-4,
            "parts.text_encoder_1.rate": 1e-4,
            "network.conv_rank": 2,
            "length.batch_size": 2,
            "noise.offset": 0.05,
            "loss.min_snr_gamma": 3.0,
            "captions.shuffle": True,
            "model.clip_skip": 2,
            "optimizer.weight_decay": 0.1,
            "pictures.flip": True,
        }
    )
    found = read_metadata(said(run), "mika.safetensors").run
    paths = [
        "rates.learning_rate",
        "network.rank",
        "network.alpha",
        "network.conv_rank",
        "length.batch_size",
        "noise.offset",
        "loss.min_snr_gamma",
        "captions.shuffle",
        "model.clip_skip",
        "optimizer.name",
        "pictures.flip",
        "draws.seed",
        "parts.text_encoder_1.rate",
        "optimizer.weight_decay",
    ]
    assert {path: value_at(found, path) for path in paths} == {path: value_at(run, path) for path in paths}


def test_the_model_standard() -> None:
    run = run_of(
        {
            "metadata.title": "Mika, first version",
            "metadata.author": "ann",
            "metadata.description": "a girl with a red hat",
            "metadata.license": "CC0-1.0",
            "metadata.tags": ["girl", "hat"],
            "metadata.usage": "0.8 is enough",
            "noise.first_timestep": 100,
            "model.clip_skip": 2,
        }
    )
    spec = {key.removeprefix("modelspec."): text for key, text in said(run).items() if "modelspec" in key}
    assert spec.pop("implementation_version").startswith("sd-webui-dreambooth/")
    assert spec == {
        "sai_model_spec": "1.0.0",
        "architecture": "stable-diffusion-v1/lora",
        "implementation": "diffusers",
        "title": "Mika, first version",
        "date": "2023-11-14T22:23:20+00:00",
        "resolution": "512x512",
        "prediction_type": "epsilon",
        "encoder_layer": "2",
        "timestep_range": "100,1000",
        "trigger_phrase": "mika",
        "author": "ann",
        "description": "a girl with a red hat",
        "license": "CC0-1.0",
        "tags": "girl,hat",
        "usage_hint": "0.8 is enough",
    }
    assert said(run_of())["modelspec.title"] == "mika"


@pytest.mark.parametrize(
    ("base", "kind", "architecture", "version"),
    [
        (BASE, ADAPTER, "stable-diffusion-v1/lora", "SD1"),
        (SD2_V, ADAPTER, "stable-diffusion-v2-768-v/lora", "SD2"),
        (SDXL_V, ADAPTER, "stable-diffusion-xl-v1-base/lora", "SDXL"),
        (SDXL_V, CHECKPOINT, "stable-diffusion-xl-v1-base", "SDXL"),
        (SDXL_V, EMBEDDING, "stable-diffusion-xl-v1-base/textual-inversion", "SDXL"),
    ],
)
@pytest.mark.parametrize("content", ["full", "plain"])
def test_every_family_is_told(
    base: BaseFacts, kind: str, architecture: str, version: str, content: str
) -> None:
    run = run_of({"metadata.content": content})
    found = said(run, base, About(kind, "mika-000600", "mika", 600, 6, NOW))
    assert found["modelspec.architecture"] == architecture
    assert found["modelspec.prediction_type"] == base.prediction
    assert host_version(found) == version
    assert ("modelspec.encoder_layer" in found) == (base.family != "sdxl")


def test_how_much_is_said() -> None:
    """`metadata.content`: nothing of the run in plain files, nothing of anybody in stripped ones."""
    plain_ = said(run_of({"metadata.content": "plain", "metadata.author": "ann"}))
    assert {key for key in plain_ if not key.startswith("modelspec.")} == {
        "ss_v2",
        "ss_base_model_version",
        "ss_network_module",
        "ss_network_dim",
        "ss_network_alpha",
        "ss_output_name",
    }
    assert plain_["modelspec.author"] == "ann"
    run = run_of({"metadata.content": "none", "metadata.author": "ann", "metadata.title": "Mika"})
    assert said(run) == {"ss_v2": "False", "ss_base_model_version": "sd_v1"}
    assert host_version(said(run, SDXL_V)) == "SDXL"
    whole = About(CHECKPOINT, "mika-000600", "mika", 600, 6, NOW)
    assert said(run, BASE, whole) == {}
    assert said(run, SDXL_V, whole) == {"modelspec.prediction_type": "v"}


def test_stripped_files_carry_no_hash_either(tmp_path: Path) -> None:
    result = write(exporter(tmp_path, {"metadata.content": "none"}))
    assert host_reads(result.path) == {"ss_v2": "False", "ss_base_model_version": "sd_v1"}


def test_a_run_can_be_repeated_from_its_file(tmp_path: Path) -> None:
    changes = {"rates.learning_rate": 3e-4, "captions.prefix": "ミカ \\(girl\\)", "saving.every": "2 epochs"}
    result = write(exporter(tmp_path, changes))
    found = settings_from_file(result.path)
    run = run_of(changes)
    expected = plain(run)
    expected["model"]["base"] = "base.safetensors"
    expected["concepts"][0]["folder"] = "10_mika"
    assert plain(found.run) == expected
    assert found.source("rates.learning_rate") == f"file {result.path.name}"


def test_files_without_settings_are_said(tmp_path: Path) -> None:
    result = write(exporter(tmp_path, {"metadata.content": "plain"}))
    with pytest.raises(FileError, match="no settings") as caught:
        settings_from_file(result.path)
    assert caught.value.code == "no-settings"


def test_no_path_in_any_text(tmp_path: Path) -> None:
    """Also where the folders of this machine are the run's own."""
    folder = tmp_path / "secretperson" / "sets" / "mika"
    changes = {
        "concepts": [{"folder": str(folder), "token": "mika"}],
        "saving.folder": str(tmp_path / "secretperson" / "out"),
        "metadata.comment": f"made from {folder}/a.png",
        "metadata.usage": r"see C:\Users\secretperson\notes.txt",
    }
    run = settings.read({**plain(run_of()), "concepts": changes.pop("concepts")}).run
    found = said(settings.replace(run, changes))
    text = json.dumps(found)
    assert "secretperson" not in text
    assert not re.search(r"[A-Za-z]:[\\/]{1,4}\w", text.replace("https://", ""))
    assert found["ss_training_comment"] == "made from a.png"
    assert found["modelspec.usage_hint"] == "see notes.txt"
    assert json.loads(found[SETTINGS_KEY])["saving"]["folder"] == "out"


def test_the_trigger() -> None:
    """`metadata.trigger`, and the tokens of all trained concepts where it is empty."""
    assert trigger_text(run_of()) == "mika"
    assert trigger_text(run_of({"metadata.trigger": "mika, red hat"})) == "mika, red hat"
    run = settings.read(
        {"concepts": [{"token": "a"}, {"token": "b"}, {"token": "a"}, {"token": "c", "role": "class"}]}
    ).run
    assert trigger_text(run) == "a, b"


def test_a_negative_embedding_says_so() -> None:
    """`metadata.negative_embedding`."""
    about = About(EMBEDDING, "bad", "bad", 1, 1, NOW)
    run = run_of({"metadata.negative_embedding": True})
    assert said(run, BASE, about)["modelspec.is_negative_embedding"] == "true"
    assert "modelspec.is_negative_embedding" not in said(run)
    assert "modelspec.is_negative_embedding" not in said(run_of(), BASE, about)


def test_a_thumbnail_is_in_the_file_where_it_is_asked_for() -> None:
    """`metadata.thumbnail`."""
    about = About(ADAPTER, "mika", "mika", 1, 1, NOW, thumbnail=b"\xff\xd8\xff\xe0")
    assert "modelspec.thumbnail" not in said(run_of(), BASE, about)
    found = said(run_of({"metadata.thumbnail": True}), BASE, about)
    assert found["modelspec.thumbnail"] == "data:image/jpeg;base64,/9j/4A=="
