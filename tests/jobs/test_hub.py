"""Bases from the hub, which is a server here: what is chosen of a model, and that it arrives whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lib_dreambooth.base.errors import Cancelled, FileError, UserError
from lib_dreambooth.jobs.bases import folders_in
from lib_dreambooth.jobs.hub import fetch, is_written_as_hub, look
from lib_dreambooth.training.export.places import Folders
from tests.jobs.made_hub import Hub, serving

UNET = "unet/diffusion_pytorch_model"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving() as found:
        yield found


@pytest.fixture
def into(tmp_path: Path) -> Folders:
    return Folders(*(tmp_path / name for name in ("Lora", "Stable-diffusion", "diffusers", "embeddings")))


def whole() -> dict[str, bytes]:
    """A diffusers model with more than anybody trains from."""
    return {
        "README.md": b"a model",
        "model_index.json": b'{"_class_name": "StableDiffusionPipeline"}',
        "big-pruned.safetensors": bytes(9000),
        "scheduler/scheduler_config.json": b"{}",
        "tokenizer/vocab.json": b"{}",
        f"{UNET}.safetensors": bytes(5000),
        f"{UNET}.fp16.safetensors": bytes(range(250)) * 10,
        f"{UNET}.bin": bytes(5000),
        "unet/config.json": b"{}",
        "vae/diffusion_pytorch_model.safetensors": bytes(700),
        "text_encoder/model-00001-of-00002.safetensors": bytes(300),
        "text_encoder/model-00002-of-00002.safetensors": bytes(301),
        "text_encoder/model.safetensors.index.json": b"{}",
        "safety_checker/model.safetensors": bytes(4000),
        "../outside.safetensors": b"",
    }


@pytest.mark.parametrize(
    ("written", "is_hub"),
    [
        ("stable-diffusion-v1-5/stable-diffusion-v1-5", True),
        ("https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0", True),
        ("a/b/c.safetensors", True),
        ("https://huggingface.co/a/b/resolve/main/sub/c.safetensors", True),
        ("a", False),
        ("a/b/c", False),
        ("/home/me/model", False),
        (r"C:\models\one", False),
        ("../a/b", False),
        ("a/..", False),
    ],
)
def test_what_is_a_name_of_the_hub(written: str, is_hub: bool) -> None:
    assert is_written_as_hub(written) is is_hub


def test_what_is_there_already_is_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not is_written_as_hub("a/b")


def test_of_a_whole_model_what_a_training_reads(hub: Hub, into: Folders) -> None:
    hub.models["me/cat"] = whole()
    found = look("me/cat", into, hub.address)
    assert (found.target, found.is_folder, found.is_there) == (into.diffusers / "me--cat", True, False)
    told = []
    fetch(found, lambda done, total: told.append((done, total)), hub.address)
    assert told[-1] == (found.num_bytes, found.num_bytes)
    arrived = {
        path.relative_to(found.target).as_posix(): path.read_bytes()
        for path in found.target.rglob("*")
        if path.is_file()
    }
    expected = whole()
    for path in ("README.md", "big-pruned.safetensors", f"{UNET}.safetensors", f"{UNET}.bin"):
        del expected[path]
    del expected["safety_checker/model.safetensors"], expected["../outside.safetensors"]
    assert arrived == expected
    assert look("me/cat", into, hub.address).is_there
    assert list(folders_in(into.diffusers)) == [found.target]


def test_what_broke_off_goes_on_where_it_was(hub: Hub, into: Folders) -> None:
    hub.models["me/one"] = {"one.safetensors": bytes(range(256)) * 8}
    found = look("me/one", into, hub.address)
    assert found.target == into.checkpoint / "one.safetensors"
    hub.cut = 1000
    with pytest.raises(UserError, match=r"broke off|could not be downloaded"):
        fetch(found, lambda done, total: None, hub.address)
    assert not found.is_there
    told = []
    fetch(found, lambda done, total: told.append(done), hub.address)
    assert hub.asked[-1][1] == "bytes=1000-"
    assert told[0] == 1000
    assert found.target.read_bytes() == hub.models["me/one"]["one.safetensors"]


def test_a_stop_keeps_what_has_arrived(hub: Hub, into: Folders) -> None:
    hub.models["me/one"] = {"one.safetensors": bytes(2000)}
    found = look("https://huggingface.co/me/one/blob/main/one.safetensors", into, hub.address)

    def stop(done: int, total: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        fetch(found, stop, hub.address)
    assert [path.suffix for path in into.checkpoint.iterdir()] == [".part"]


def test_other_bytes_are_thrown_away(hub: Hub, into: Folders) -> None:
    hub.models["me/one"] = {"one.safetensors": bytes(range(200))}
    hub.lies = True
    with pytest.raises(FileError, match="not the hub's file"):
        fetch(look("me/one", into, hub.address), lambda done, total: None, hub.address)
    assert list(into.checkpoint.iterdir()) == []


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("me/none", "is not on the hub"),
        ("me/two", "which of its files is meant"),
        ("me/two/c.safetensors", "which of its files is meant"),
        ("me/text", "holds no checkpoint"),
        ("me/half", "no UNet"),
        ("no name", "no name of the Hugging Face hub"),
    ],
)
def test_what_cannot_be_had_is_said(hub: Hub, into: Folders, written: str, told: str) -> None:
    hub.models["me/two"] = {"a.safetensors": b"", "b.safetensors": b""}
    hub.models["me/text"] = {"README.md": b""}
    hub.models["me/half"] = {"model_index.json": b"{}"}
    with pytest.raises(UserError, match=told):
        look(written, into, hub.address)


def test_without_a_network(into: Folders) -> None:
    with pytest.raises(UserError, match="could not be downloaded") as caught:
        look("me/one", into, "http://127.0.0.1:9")
    assert caught.value.code == "no-network"


def test_who_stays_off_the_hub_is_not_asked(into: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE"):
        look("me/one", into)
