"""Every bad file in every command that takes one: one sentence, exit code 2, nothing written or renamed."""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.tools.mini import put_into_webui
from tests.cli.said import data, text
from tests.models.tiny import save, sd1_tensors, tiny_sd1, tiny_sdxl

LORA_MODULE = "lora_unet_mid_block_attentions_0_proj_in"
XL_MODULE = "lora_unet_input_blocks_4_1_proj_in"


class Runs:
    """Pickles as a call that would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.mark),)


def torch_file(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def bomb() -> bytes:
    """A few kilobytes that would unpack to 50 MB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))
    return buffer.getvalue()


def with_nan(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    key = next(key for key in tensors if key.startswith(prefix))
    return {**tensors, key: torch.full_like(tensors[key], float("nan"))}


def lora(module: str) -> dict[str, torch.Tensor]:
    return {f"{module}.lora_down.weight": torch.ones(2, 64), f"{module}.lora_up.weight": torch.ones(64, 2)}


BYTES: dict[str, Callable[[Path], bytes]] = {
    "zero bytes": lambda _: b"",
    "text": lambda _: "このファイルはモデルではありません\n".encode() * 9,
    "picture": lambda _: b"\x89PNG\r\n\x1a\n" + bytes(99),
    "header larger than the file": lambda _: struct.pack("<Q", 5000) + b"{}",
    "header of a gigabyte": lambda _: struct.pack("<Q", 2**30) + b"{}",
    "pickle that runs code": lambda folder: torch_file({"a": torch.ones(2), "x": Runs(folder / "it ran")}),
    "pickle bomb": lambda _: bomb(),
    "page": lambda _: b"<!DOCTYPE html><html>404</html>",
}
TENSORS: dict[str, Callable[[], dict[str, torch.Tensor]]] = {
    "NaN in the UNet": lambda: with_nan(sd1_tensors(), "model.diffusion_model."),
    "NaN in the VAE": lambda: with_nan(sd1_tensors(), "first_stage_model."),
    "NaN in a LoRA": lambda: with_nan(lora(LORA_MODULE), "lora"),
    "LoRA": lambda: lora(LORA_MODULE),
    "unknown": lambda: {"fc.weight": torch.ones(9, 9)},
}
WRONG_ENDINGS = ["checkpoint.ckpt", "checkpoint.jpg", "pickle.safetensors"]
FILES = [*BYTES, *TENSORS, "truncated", "SDXL", "missing", "long name", "empty folder", *WRONG_ENDINGS]

COMMANDS: dict[str, Callable[[str, str, str], list[str]]] = {
    "inspect": lambda file, good, out: ["inspect", file],
    "convert": lambda file, good, out: ["convert", file, "--to", f"{out}/new.safetensors"],
    "convert to a folder": lambda file, good, out: ["convert", file, "--to", f"{out}/new"],
    "convert, other VAE": lambda file, good, out: ["convert", good, "--vae", file, "--to", f"{out}/new"],
    "sample": lambda file, good, out: ["sample", "--base", file, "--prompt", "a", "--out", out],
    "sample, a LoRA": lambda file, good, out: [
        "sample", "--base", good, "--lora", f"{file}:0.5", "--prompt", "a", "--out", out,
    ],
    "sample, an embedding": lambda file, good, out: [
        "sample", "--base", good, "--embedding", file, "--prompt", "a", "--out", out,
    ],
    "sample, a VAE": lambda file, good, out: [
        "sample", "--base", good, "--vae", file, "--prompt", "a", "--out", out,
    ],
    "mini": lambda file, good, out: ["mini", "--into", file],
}  # fmt: skip

# What is good for a command. A LoRA for another family is another file than a checkpoint of it.
FINE = {
    ("inspect", "LoRA"), ("inspect", "SDXL"),
    ("convert", "SDXL"), ("convert to a folder", "SDXL"), ("convert, other VAE", "SDXL"),
    ("convert, other VAE", "NaN in the UNet"), ("sample, a VAE", "NaN in the UNet"),
    ("sample", "SDXL"), ("sample, a VAE", "SDXL"), ("sample, a LoRA", "LoRA"),
}  # fmt: skip
BAD = [(command, file) for command in COMMANDS for file in FILES if (command, file) not in FINE]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files in a folder with spaces, kana and an emoji; nothing may change in it."""
    folder = tmp_path_factory.mktemp("bad") / "my モデル 😀"
    folder.mkdir()
    for name, content in BYTES.items():
        (folder / f"{name}.safetensors").write_bytes(content(folder))
    for name, tensors in TENSORS.items():
        save(folder / f"{name}.safetensors", tensors(), torch.float16)
    whole = tiny_sd1(folder, dtype=torch.float16).rename(folder / "good.safetensors").read_bytes()
    (folder / "truncated.safetensors").write_bytes(whole[: len(whole) // 2])
    tiny_sdxl(folder, dtype=torch.float16).rename(folder / "SDXL.safetensors")
    save(folder / "SDXL LoRA.safetensors", lora(XL_MODULE), torch.float16)
    (folder / "empty folder").mkdir()
    for name in WRONG_ENDINGS:
        (folder / name).write_bytes(whole if "checkpoint" in name else torch_file(sd1_tensors()))
    return folder


def bad_path(shelf: Path, name: str) -> Path:
    if name == "empty folder" or name in WRONG_ENDINGS:
        return shelf / name
    return shelf / ("x" * 300 if name == "long name" else f"{name}.safetensors")


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Every path under a folder, with the size and the time of its last change."""
    stats = {str(path.relative_to(folder)): path.stat() for path in folder.rglob("*")}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


def refused(words: list[str], where: str, *, is_answered: bool = False) -> dict[str, str]:
    """The error, after seeing that people and programs are told the same."""
    error: dict[str, str] = data("--json", *words, code=2)["error"]
    answer, remark = text(*words, code=2)
    assert bool(answer) is is_answered
    assert remark.count("\n") == 1, remark
    assert remark.strip() == " ".join(f"{error['where']}: {error['what']} {error['todo']}".split())
    assert error["where"] == where
    assert error["what"] and error["todo"] and error["code"] not in ("", "bad-input", "internal-error")
    return error


@pytest.mark.slow
@pytest.mark.parametrize(("command", "name"), BAD, ids=lambda value: value)
def test_each_bad_file_in_each_command(shelf: Path, tmp_path: Path, command: str, name: str) -> None:
    before = snapshot(shelf)
    file, good = bad_path(shelf, name), shelf / "good.safetensors"
    words = COMMANDS[command](str(file), str(good), str(tmp_path / "out" / "出力"))
    refused(words, str(file), is_answered=command == "inspect" and "NaN" in name)
    assert snapshot(shelf) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "name", "said"),
    [
        ("inspect", "NaN in the UNet", "NaN"),
        ("convert", "LoRA", "is a LoRA, and only models can be converted"),
        ("sample", "LoRA", "is a LoRA, and a checkpoint is needed here"),
        ("sample", "NaN in the VAE", "Choose a separate VAE file"),
        ("sample", "pickle that runs code", "nothing of it was run"),
        ("sample, a LoRA", "SDXL", "is a checkpoint of SDXL, and a LoRA is needed here"),
        ("sample, a LoRA", "SDXL LoRA", "Stable Diffusion 1"),
        ("mini", "truncated", "this is not a WebUI"),
        ("inspect", "checkpoint.jpg", "has the wrong ending"),
        ("sample, a VAE", "LoRA", "is a LoRA, and the VAE of a model is needed here"),
        ("sample, an embedding", "LoRA", "is a LoRA, and an embedding is needed here"),
    ],
)
def test_what_the_sentence_says(shelf: Path, tmp_path: Path, command: str, name: str, said: str) -> None:
    file, good = bad_path(shelf, name), shelf / "good.safetensors"
    words = COMMANDS[command](str(file), str(good), str(tmp_path / "out"))
    assert said in text(*words, code=2)[1]


@pytest.mark.parametrize("name", [name for name in FILES if name != "empty folder"])
def test_a_damaged_miniature_does_not_get_into_a_webui(shelf: Path, tmp_path: Path, name: str) -> None:
    models = tmp_path / "models" / "Stable-diffusion"
    models.mkdir(parents=True)
    with pytest.raises(FileError) as caught:
        put_into_webui(tmp_path, source=bad_path(shelf, name))
    assert caught.value.where == str(bad_path(shelf, name))
    assert caught.value.todo
    assert list(tmp_path.rglob("*")) == [tmp_path / "models", models]


def test_sdxl_where_sd1_is_asked_for(shelf: Path, tmp_path: Path) -> None:
    (tmp_path / "Stable-diffusion").mkdir()
    with pytest.raises(FileError, match="is a checkpoint of SDXL, and Stable Diffusion 1 was asked for"):
        put_into_webui(tmp_path, source=shelf / "SDXL.safetensors")


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A WebUI's models folder that may not be written to, for an administrator either."""
    folder = tmp_path / "locked"
    (folder / "Stable-diffusion").mkdir(parents=True)
    access = os.access

    def refusing(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
            if isinstance(path, (str, Path)) and folder in Path(path).parents and set(mode) & set("wax+"):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return real(path, mode, *rest, **more)

        return call

    monkeypatch.setattr(Path, "open", refusing(Path.open))
    monkeypatch.setattr(builtins, "open", refusing(builtins.open))
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder and access(path, mode))
    return folder


@pytest.mark.parametrize("command", ["convert", "sample", "mini"])
def test_a_folder_that_may_not_be_written_to(shelf: Path, locked: Path, command: str) -> None:
    good = str(shelf / "good.safetensors")
    words = {
        "convert": ["convert", good, "--to", str(locked / "new.safetensors")],
        "sample": ["sample", "--base", good, "--prompt", "a", "--out", str(locked)],
        "mini": ["mini", "--into", str(locked)],
    }[command]
    before = snapshot(locked)
    error = data(*words, code=2)["error"]
    assert error["code"] == "not-writable"
    assert error["where"].startswith(str(locked))
    assert snapshot(locked) == before


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["convert", "{good}", "--to", "{out}/" + "x" * 300 + ".safetensors"], "path-too-long"),
        (["convert", "{good}", "--to", "{out}/" + "x" * 300], "path-too-long"),
        (["sample", "--base", "{good}", "--prompt", "a", "--out", "{out}/" + "x" * 300], "path-too-long"),
        (["sample", "--base", "{good}", "--prompt", "a", "--out", "{good}"], "not-a-folder"),
        (["sample", "--base", "{good}", "--prompt", "a", "--out", "{good}/in"], "not-a-folder"),
        (["mini", "--into", "{out}/" + "x" * 300], "not-a-webui"),
        (["convert", "{good}", "--to", "{good}"], "bad-file"),
        (["convert", "{good}", "--to", "{out}/new.ckpt"], "bad-file"),
        (["convert", "{good}", "--to", "{out}/new.safetensor"], "bad-file"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_places_where_nothing_can_be_written(
    shelf: Path, tmp_path: Path, words: list[str], code: str
) -> None:
    good = str(shelf / "good.safetensors")
    before = snapshot(shelf)
    filled = [word.format(good=good, out=tmp_path / "out") for word in words]
    assert data(*filled, code=2)["error"]["code"] == code
    assert list(tmp_path.iterdir()) == []
    assert snapshot(shelf) == before


def test_deep_folders_are_no_problem_where_the_system_has_none(shelf: Path, tmp_path: Path) -> None:
    deep = tmp_path / ("深い" * 20) / ("d" * 120) / ("e" * 120)
    try:
        deep.mkdir(parents=True)
    except OSError:
        pytest.skip("this system has no paths over 260 characters")
    file = deep / "モデル 😀.safetensors"
    file.write_bytes((shelf / "good.safetensors").read_bytes())
    assert data("inspect", str(file))["family"] == "sd1"
    made = data("convert", str(file), "--to", str(deep / "new.safetensors"))
    assert made["paths"] == [str(deep / "new.safetensors")]


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--count", "0"), ("--steps", "0"), ("--size", "7x7"), ("--size", "big"), ("--guidance", "nan"),
     ("--batch", "0"), ("--seed", "-1"), ("--clip-skip", "99"), ("--device", "toaster"), ("--steps", "many"),
     ("--sampler", "lms")],
)  # fmt: skip
def test_wrong_numbers_are_said_before_anything_is_read(tmp_path: Path, flag: str, value: str) -> None:
    words = ["sample", "--base", str(tmp_path / "none"), "--prompt", "a", "--out", str(tmp_path / "out")]
    said = data(*words, flag, value, code=2)["error"]
    assert "not-found" not in json.dumps(said)
    assert list(tmp_path.iterdir()) == []


def test_inspect_says_what_a_file_with_nan_is_as_well(shelf: Path) -> None:
    path = str(shelf / "NaN in the VAE.safetensors")
    told = data("inspect", path, code=2)
    assert (told["role"], told["family"], told["error"]["code"]) == ("checkpoint", "sd1", "not-finite")
    assert data("inspect", path, "--quick")["warnings"] == []


def test_another_vae_makes_a_model_with_nan_good(shelf: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.safetensors"
    bad = str(shelf / "NaN in the VAE.safetensors")
    data("convert", bad, "--vae", str(shelf / "good.safetensors"), "--to", str(new), "--precision", "fp16")
    assert new.read_bytes() == (shelf / "good.safetensors").read_bytes()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.data())
def test_whatever_stands_in_the_file(shelf: Path, tmp_path_factory: Any, drawn: st.DataObject) -> None:
    """Any bytes, and any damage to the head of a checkpoint, end in an answer or in the sentence."""
    good = (shelf / "good.safetensors").read_bytes()
    end = 8 + int.from_bytes(good[:8], "little")
    if drawn.draw(st.booleans(), label="is noise"):
        content = drawn.draw(st.binary(max_size=200), label="noise")
    else:
        length = drawn.draw(st.sampled_from([len(good), end, end // 2]), label="length")
        changed = bytearray(good[:length])
        for _ in range(drawn.draw(st.integers(1, 3), label="changes")):
            changed[drawn.draw(st.integers(0, min(end, len(changed)) - 1))] = drawn.draw(st.integers(0, 255))
        content = bytes(changed)
    folder = tmp_path_factory.mktemp("any")
    file = folder / "x.safetensors"
    file.write_bytes(content)
    command = drawn.draw(st.sampled_from(["inspect", "convert", "convert to a folder"]), label="command")
    words = COMMANDS[command](str(file), "", str(folder / "out"))
    out = program_output(words)
    if out is not None:
        assert out["where"].startswith(str(file)) and out["what"] and out["todo"]
        assert [path.name for path in folder.iterdir()] == [file.name]
    assert file.read_bytes() == content


def program_output(words: list[str]) -> dict[str, str] | None:
    """The error of a command that was refused, None where it was done; anything else fails."""
    try:
        data(*words)
    except AssertionError:
        error: dict[str, str] = data(*words, code=2)["error"]
        return error
    return None
