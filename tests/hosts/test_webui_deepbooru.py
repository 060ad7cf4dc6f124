"""The WebUI's DeepBooru: whether it is there, and what it is asked."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lib_dreambooth.hosts import webui_deepbooru
from lib_dreambooth.hosts.webui_deepbooru import deepbooru_of_webui

TAGS = ["1girl", "smile", "rating:safe"]


class Booru:
    """As in modules/deepbooru.py of A1111 1.10.1."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.seen: list[torch.Tensor] = []

    def load(self) -> None:
        self.said.append("load")

    def start(self) -> None:
        self.said.append("start")

    def stop(self) -> None:
        self.said.append("stop")

    def tag_multi(self, picture: Image.Image, force_disable_ranks: bool = False) -> str:
        return "smile, 1girl"

    @property
    def model(self) -> Any:
        def network(x: torch.Tensor) -> torch.Tensor:
            self.seen.append(x)
            return torch.tensor([[0.75, 0.25, 0.5]])

        network.tags = TAGS  # type: ignore[attr-defined]
        return network


@pytest.fixture
def booru(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Booru:
    found = Booru()
    module = ModuleType("modules.deepbooru")
    devices = SimpleNamespace(device="cpu", dtype=torch.float32, autocast=contextlib.nullcontext)
    images = SimpleNamespace(resize_image=lambda mode, picture, w, h: picture.resize((w, h)))
    module.__dict__.update(model=found, np=np, torch=torch, images=images, devices=devices)
    paths = ModuleType("modules.paths")
    paths.__dict__["models_path"] = str(tmp_path)
    for name, one in (
        ("modules", ModuleType("modules")),
        ("modules.deepbooru", module),
        ("modules.paths", paths),
    ):
        monkeypatch.setitem(sys.modules, name, one)
    return found


def test_it_is_offered_whether_or_not_its_file_is_here(booru: Booru, tmp_path: Path) -> None:
    tagger = deepbooru_of_webui()
    assert tagger is not None and not tagger.is_here and tagger.num_bytes > 0
    (tmp_path / "torch_deepdanbooru").mkdir()
    (tmp_path / "torch_deepdanbooru" / "model-resnet_custom_v3.pt").write_bytes(b"")
    found = deepbooru_of_webui()
    assert found is not None and found.is_here
    # Nobody was asked for anything yet.
    assert booru.said == []
    found.fetch()
    assert booru.said == ["load"]


def test_all_scores_come_out_and_the_card_is_left(booru: Booru) -> None:
    tagger = deepbooru_of_webui()
    assert tagger is not None
    with tagger.opened() as score:
        assert score(Image.new("RGBA", (40, 30))) == {"1girl": 0.75, "smile": 0.25, "rating:safe": 0.5}
    assert booru.said == ["start", "stop"]
    assert booru.seen[0].shape == (1, 512, 512, 3)
    with pytest.raises(RuntimeError), tagger.opened():
        raise RuntimeError
    assert booru.said[-1] == "stop"


def test_another_kind_of_module_is_asked_for_its_text(booru: Booru, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys.modules["modules.deepbooru"], "images")
    tagger = deepbooru_of_webui()
    assert tagger is not None
    with tagger.opened() as score:
        assert score(Image.new("RGB", (4, 4))) == "smile, 1girl"


def test_a_host_without_it_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webui_deepbooru, "module_of_webui", lambda: None)
    assert deepbooru_of_webui() is None
