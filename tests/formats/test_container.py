"""Reading and writing tensors, whatever the container."""

from __future__ import annotations

import errno
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats import safetensors_write
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.formats.entries import DTYPES
from lib_dreambooth.formats.finite import is_finite, nonfinite_keys
from lib_dreambooth.formats.safetensors_write import Pending, serialize, write_safetensors


def every_type() -> dict[str, torch.Tensor]:
    tensors = {f"type.{name}": torch.arange(12).reshape(3, 4).to(dtype) for name, dtype in DTYPES.items()}
    return {**tensors, "number": torch.tensor(3.5), "empty": torch.zeros(0), "日本 😀": torch.ones(2)}


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert set(found) == set(expected)
    for key, tensor in expected.items():
        assert found[key].dtype == tensor.dtype, key
        assert found[key].shape == tensor.shape, key
        assert found[key].is_contiguous(), key
        assert torch.equal(found[key].float(), tensor.float()), key


def test_every_type_comes_back_and_the_bytes_are_the_library_s(tmp_path: Path) -> None:
    tensors = every_type()
    write_safetensors(tmp_path / "ours.safetensors", tensors, {"note": "日本"})
    safetensors.torch.save_file(tensors, tmp_path / "theirs.safetensors", {"note": "日本"})
    assert (tmp_path / "ours.safetensors").read_bytes() == (tmp_path / "theirs.safetensors").read_bytes()
    with open_tensors(tmp_path / "ours.safetensors") as file:
        assert file.metadata == {"note": "日本"}
        assert_same(file.read_all(), tensors)


@pytest.mark.parametrize("is_zip", [True, False])
def test_torch_files_of_both_ages(tmp_path: Path, is_zip: bool) -> None:
    # Old torch, and the older container, have no storage type for these.
    recent = ("F8", "U16", "U32", "U64")
    can_all = is_zip and hasattr(torch, "uint16")
    tensors = {
        key: value for key, value in every_type().items() if can_all or not any(n in key for n in recent)
    }
    tensors["turned"] = torch.arange(12.0).reshape(3, 4).t()
    tensors["slice"] = torch.arange(100.0)[10:20:3]
    tensors["tied"] = tensors["slice"]
    tensors["expanded"] = torch.arange(3).expand(4, 3)
    tensors["parameter"] = torch.nn.Parameter(torch.ones(3))
    path = tmp_path / "file.ckpt"
    torch.save(OrderedDict(tensors), path, _use_new_zipfile_serialization=is_zip)
    with open_tensors(path) as file:
        assert_same(file.read_all(), {key: value.detach() for key, value in tensors.items()})


@pytest.mark.parametrize("wrap", ["state_dict", "module", "model"])
def test_wrappers_are_opened_and_training_leftovers_left_out(tmp_path: Path, wrap: str) -> None:
    optimizer = {"state": {0: {"exp_avg": torch.ones(9)}}, "param_groups": [{"lr": 1.0, "params": [0]}]}
    whole = {"epoch": 3, wrap: {"a.weight": torch.ones(2)}, "optimizer_states": [optimizer]}
    torch.save(whole, tmp_path / "x.ckpt")
    with open_tensors(tmp_path / "x.ckpt") as file:
        assert file.keys() == ["a.weight"]


def test_plain_values_and_nested_tables(tmp_path: Path) -> None:
    torch.save(
        {"string_to_param": {"*": torch.ones(2, 8)}, "name": "cat", "step": 7, "none": None},
        tmp_path / "e.pt",
    )
    with open_tensors(tmp_path / "e.pt") as file:
        assert file.keys() == ["string_to_param.*"]
        assert file.values == {"name": "cat", "step": 7}


def test_nothing_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {"a": torch.ones(3)})
    with open_tensors(path) as file:
        tensor = file.read("a")
        handle = file._open_files[path]
    write_safetensors(path, {"a": torch.zeros(3)})
    assert handle.closed
    assert tensor.tolist() == [1.0, 1.0, 1.0]


def test_folders_are_read_with_their_parts(tmp_path: Path) -> None:
    for part, stem in (("unet", "diffusion_pytorch_model"), ("vae", "diffusion_pytorch_model.fp16")):
        write_safetensors(tmp_path / part / f"{stem}.safetensors", {"w": torch.ones(1)})
    torch.save({"t": torch.zeros(1)}, _folder(tmp_path / "text_encoder") / "pytorch_model.bin")
    (_folder(tmp_path / "scheduler") / "scheduler_config.json").write_text(
        '{"prediction_type": "v_prediction"}', encoding="utf-8"
    )
    with open_tensors(tmp_path) as file:
        assert file.keys() == ["unet/w", "vae/w", "text_encoder/t"]
        assert file.metadata == {"scheduler.prediction_type": "v_prediction"}
        assert file.read("text_encoder/t").tolist() == [0.0]


def test_sharded_folders(tmp_path: Path) -> None:
    for number in (1, 2):
        write_safetensors(tmp_path / f"m-0000{number}.safetensors", {f"w{number}": torch.ones(number)})
    (tmp_path / "diffusion_pytorch_model.safetensors.index.json").write_text(
        '{"weight_map": {"w1": "m-00001.safetensors", "w2": "../m-00002.safetensors"}}', encoding="utf-8"
    )
    with open_tensors(tmp_path) as file:
        assert file.keys() == ["w1", "w2"]


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def test_tensors_are_made_when_their_turn_comes(tmp_path: Path) -> None:
    loaded: list[str] = []

    def waiting(name: str) -> Pending:
        def load() -> torch.Tensor:
            loaded.append(name)
            return torch.full((2,), float(ord(name)))

        return Pending(torch.float32, (2,), load)

    chunks = serialize({name: waiting(name) for name in "cab"})
    assert loaded == []
    assert [bytes(chunk) for chunk in chunks][1:] == [
        torch.full((2,), float(ord(name))).numpy().tobytes() for name in "abc"
    ]
    assert loaded == ["a", "b", "c"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {"a": torch.ones(3)})
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(safetensors_write, "write_fully", full)
    with pytest.raises(FileError) as caught:
        write_safetensors(path, {"a": torch.zeros(3)})
    assert caught.value.code == "disk-full"
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_disk_too_small_is_seen_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors_write.shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(FileError, match=r"0\.0 GB free"):
        write_safetensors(tmp_path / "new" / "x.safetensors", {"a": torch.zeros(300)})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_value_that_is_no_number_is_found(dtype: torch.dtype) -> None:
    limits = torch.finfo(dtype)
    fine = torch.tensor([0.0, -0.0, limits.max, limits.min, limits.tiny], dtype=dtype)
    assert is_finite(fine)
    for bad in ("nan", "inf", "-inf"):
        for sign in (1, -1):
            assert not is_finite(torch.cat([fine, sign * torch.tensor([float(bad)], dtype=dtype)]))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(width=16), max_size=8))
def test_finiteness_agrees_with_torch(values: list[float]) -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        tensor = torch.tensor(values, dtype=dtype)
        assert is_finite(tensor) == bool(torch.isfinite(tensor).all())


def test_nonfinite_keys_are_named(tmp_path: Path) -> None:
    bad = torch.ones(3)
    bad[1] = float("nan")
    write_safetensors(tmp_path / "x.safetensors", {"a": torch.ones(2), "b": bad, "c": torch.arange(3)})
    with open_tensors(tmp_path / "x.safetensors") as file:
        assert nonfinite_keys(file) == ["b"]


def test_tensors_read_ahead_are_the_same_in_any_order_of_asking(tmp_path: Path) -> None:
    tensors = {f"t{index}": torch.randn(index + 1, 3) for index in range(20)}
    write_safetensors(tmp_path / "x.safetensors", tensors)
    with open_tensors(tmp_path / "x.safetensors") as file, file.ahead(file.keys()) as read:
        for key in reversed(tensors):
            assert torch.equal(read(key), tensors[key])


def test_a_file_that_ends_while_it_is_read_ahead_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {f"t{index}": torch.ones(1000) for index in range(20)})
    with open_tensors(path) as file:
        keys = file.keys()
        with path.open("r+b") as shortened:
            shortened.truncate(path.stat().st_size // 2)
        with pytest.raises(FileError, match="ends in the middle"), file.ahead(keys) as read:
            for key in keys:
                read(key)
    # Nothing holds the file any more.
    path.unlink()
    assert not path.exists()


def test_what_passes_through_the_same_memory_is_handed_out_whole(tmp_path: Path) -> None:
    tensors = {f"t{index}": torch.randn(30 - index, 3).half() for index in range(20)}
    write_safetensors(tmp_path / "x.safetensors", tensors)
    places = set()

    def turned(key: str, tensor: torch.Tensor) -> torch.Tensor:
        places.add(tensor.data_ptr())
        return tensor.float()

    with (
        open_tensors(tmp_path / "x.safetensors") as file,
        file.ahead(file.keys(), turned, passing=set(tensors)) as read,
    ):
        for key in reversed(tensors):
            assert torch.equal(read(key), tensors[key].float())
    assert len(places) == 1
