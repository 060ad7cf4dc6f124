"""Old scripts and settings: configs of sd_dreambooth_extension for a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth.runs.folder import ModelFolder
from tests.api.made_site import Made

NAME = "riho"
QUERY = {"model_name": NAME}


@pytest.fixture
def made(tmp_path: Path) -> Made:
    site = Made(tmp_path / "webui")
    base = site.host.paths.checkpoints / "base.safetensors"
    base.parent.mkdir(parents=True)
    base.write_bytes(b"weights")
    ModelFolder.create(site.host.paths.dreambooth, NAME, base, "sd1")
    return site


def post(made: Made, path: str, status: int = 200, **more: Any) -> Any:
    answer = made.client.post(f"/dreambooth{path}", **more)
    assert answer.status_code == status, answer.text
    return answer.json()


def kept(made: Made) -> Any:
    return made.client.get("/dreambooth/model_config", params=QUERY).json()


def test_a_config_takes_the_place_of_the_settings(made: Made, tmp_path: Path) -> None:
    pictures = tmp_path / "webui" / "models" / "p"
    pictures.mkdir()
    config = {
        "model_name": NAME,
        "use_lora": True,
        "lora_unet_rank": 8,
        "num_train_epochs": 40,
        "learning_rate": 1e-5,
        "concepts_list": [
            {"instance_data_dir": str(pictures), "instance_token": "sks", "class_token": "dog"}
        ],
    }
    told = post(made, "/model_config", json=config)
    assert told["network"]["rank"] == 8 and "db_config.json" in told["report"]["read_as"]
    found = kept(made)
    assert (found["network"]["kind"], found["length"]["train_for"]) == ("lora", "40 epochs")
    (concept,) = found["concepts"]
    assert (concept["token"], concept["class_token"]) == ("sks", "dog")


def test_some_settings_change_and_the_others_stay(made: Made) -> None:
    post(made, "/model_config", json=QUERY | {"use_lora": True, "lora_unet_rank": 8, "num_train_epochs": 40})
    before = kept(made)
    for params in ({"num_train_epochs": 7}, json.dumps({"num_train_epochs": 7})):
        told = post(made, "/model_params", json=QUERY | {"params": params})
        assert "num_train_epochs" in [one["key"] for one in told["report"]["keys"]]
        before["length"]["train_for"] = "7 epochs"
        assert kept(made) == before
    concepts = [{"instance_token": "sks", "instance_prompt": "[filewords]"}]
    post(made, "/model_params", params=QUERY | {"params": json.dumps({"concepts_list": concepts})})
    assert [one["token"] for one in kept(made)["concepts"]] == ["sks"]
    assert kept(made) | {"concepts": []} == before | {"concepts": []}


def test_what_is_no_config_is_refused(made: Made) -> None:
    for params in ("[]", "{", "", "x" * 100, "[" * 10_000):
        body = QUERY | {"params": params}
        assert post(made, "/model_params", 422, json=body)["error"]["code"] == "bad-body"
    assert post(made, "/model_config", 404, json={"model_name": "none"})["error"]["code"] == "no-such-model"
