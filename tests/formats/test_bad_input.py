"""Every bad file ends in one sentence: what, where, what to do. Nothing runs, nothing changes on the disk."""

from __future__ import annotations

import builtins
import collections
import contextlib
import errno
import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.formats.checkpoint import identify, read_checkpoint
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.formats.lora import read_adapter
from lib_dreambooth.formats.refusals import unreadable
from lib_dreambooth.formats.safetensors_write import write_safetensors

SMALL = {"a.weight": torch.arange(12.0).reshape(3, 4), "b": torch.ones(2, dtype=torch.float16)}
MEMORY_LIMIT = 400_000_000


def safetensors_bytes(header: Any, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape: Any = (2,), begin: Any = 0, end: Any = 8, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def torch_bytes(value: Any, *, is_zip: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=is_zip)
    return buffer.getvalue()


def zip_of(table: bytes, *, compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("archive/data.pkl", table)
        archive.writestr("archive/data/0", bytes(64))
    return buffer.getvalue()


class Runs:
    """Pickles as a call that leaves a mark."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def laughs() -> bytes:
    """Lists of lists of lists: 30 steps that unroll to 2**30 leaves."""
    steps = b"".join(b"](h\x00h\x00eq\x00" for _ in range(30))
    return b"\x80\x02}U\x01k](K\x01eq\x00" + steps + b"s."


def rebuilt(shape: str, stride: str) -> bytes:
    """A tensor whose shape and stride are given as pickle instructions."""
    storage = "(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
    body = f"ctorch._utils\n_rebuild_tensor_v2\n({storage}K\x00{shape}{stride}\x89}}tR"
    return b"\x80\x02}X\x01\x00\x00\x00a" + body.encode("latin-1") + b"s."


def huge(count: int) -> str:
    return "(" + "J\x00\x00\x00\x40" * count + "t"


VALID = safetensors_bytes({"a": entry()}, bytes(8))
# Name -> content, a piece of the sentence.
FILES: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
    "zero bytes": (b"", "is empty"),
    "zeros": (bytes(4096), "nothing but zeros"),
    "text": ("このファイルはモデルではありません\n".encode() * 9, "is a text file"),
    "long text": (b"word " * 500, "is a text file"),
    "web page": (b"<!DOCTYPE html><html>404</html>", "is a web page"),
    "web page with a mark": (b"\xef\xbb\xbf\n<html>404</html>", "is a web page"),
    "git lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(99), "is a picture"),
    "gguf": (b"GGUF\x03\x00\x00\x00" + bytes(99), "GGUF"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(99), "7z archive"),
    "noise": (bytes(range(1, 256)) * 9, "neither safetensors nor a PyTorch file"),
    "one byte": (b"\x01", "neither safetensors"),
    "eight bytes": (struct.pack("<Q", 5), "neither safetensors"),
    "json": (b'{"a": 1}' * 9, "is a text file"),
    "truncated in a tensor": (VALID[:-3], "should have"),
    "truncated in the header": (VALID[:30], "longer than the file"),
    "header larger than the file": (safetensors_bytes(b"{}", length=5000), "longer than the file"),
    "header of a gigabyte": (safetensors_bytes(b"{}", length=2**30), "claims to be 1,073,741,824 bytes"),
    "header of everything": (safetensors_bytes(b"{}", length=2**64 - 1), "claims to be"),
    "header no json": (safetensors_bytes(b'{"a": '), "not readable as JSON"),
    "header no utf-8": (safetensors_bytes(b'{"\xff": 1}'), "not readable as JSON"),
    "header too deep": (safetensors_bytes(b'{"a":' + b"[" * 200_000), "not readable as JSON"),
    "header with a huge number": (safetensors_bytes(b'{"a":' + b"9" * 9000 + b"}"), "damaged"),
    "no tensors": (safetensors_bytes({}), "holds no tensors"),
    "only metadata": (safetensors_bytes({"__metadata__": {"a": "b"}}), "holds no tensors"),
    "overlap": (safetensors_bytes({"a": entry(), "b": entry(begin=4, end=12)}, bytes(12)), "overlaps"),
    "beyond the end": (safetensors_bytes({"a": entry(begin=2**40, end=2**40 + 8)}, bytes(8)), "should have"),
    "negative": (safetensors_bytes({"a": entry(begin=-8, end=0)}, bytes(8)), "makes no sense"),
    "backwards": (safetensors_bytes({"a": entry(begin=8, end=0)}, bytes(8)), "makes no sense"),
    "fraction": (safetensors_bytes({"a": entry(begin=0.5)}, bytes(8)), "makes no sense"),
    "truth": (safetensors_bytes({"a": entry(shape=[True, True])}, bytes(8)), "makes no sense"),
    "no shape": (safetensors_bytes({"a": entry(shape=None)}, bytes(8)), "makes no sense"),
    "no entry": (safetensors_bytes({"a": 7}, bytes(8)), "makes no sense"),
    "wrong size": (safetensors_bytes({"a": entry(shape=[3])}, bytes(8)), "8 bytes in place of 12"),
    "huge shape": (safetensors_bytes({"a": entry(shape=[2**62, 0])}, bytes(8)), "makes no sense"),
    "many dimensions": (safetensors_bytes({"a": entry(shape=[1] * 999)}, bytes(8)), "makes no sense"),
    "unknown type": (safetensors_bytes({"a": entry(dtype="F4")}, bytes(8)), "type `F4`"),
    "type no text": (safetensors_bytes({"a": entry(dtype=[1])}, bytes(8)), "cannot be read here"),
    "surrogate": (
        safetensors_bytes(b'{"\\ud800": ' + json.dumps(entry()).encode() + b"}", bytes(8)),
        "not valid text",
    ),
    "zip without a model": (zip_of(b"").replace(b"data.pkl", b"data.txt"), "zip archive without a model"),
    "zip cut": (lambda: torch_bytes(SMALL)[:-40], "zip directory"),
    "zip of nothing": (b"PK\x03\x04" + bytes(99), "zip directory"),
    "legacy cut in the table": (lambda: torch_bytes(SMALL, is_zip=False)[:300], "ends too early"),
    "legacy cut in a tensor": (lambda: torch_bytes(SMALL, is_zip=False)[:-3], "should have at least"),
    "a plain pickle": (pickle.dumps({"a": 1}), "not one that PyTorch wrote"),
    "a pickled module": (lambda: torch_bytes(torch.nn.Linear(2, 2)), "`torch.nn.modules.linear.Linear`"),
    "compressed zip bomb": (
        lambda: zip_of(bytes(50_000_000), compression=zipfile.ZIP_DEFLATED),
        "compressed",
    ),
    "long table": (lambda: zip_of(b"N" * 70_000_000), "longer than any model"),
    "endless table": (lambda: zip_of(b"\x80\x02" + b"N" * 1_500_000 + b"."), "more instructions"),
    "memo bomb": (zip_of(b"\x80\x02}r\xff\xff\xff\x7f."), "holds no tensors"),
    "string bomb": (zip_of(b"\x80\x02\x8d\xff\xff\xff\xff\xff\x00\x00\x00."), "longer than any model"),
    "number bomb": (zip_of(b"\x80\x02\x8b\xff\xff\xff\x7f."), "larger than any model"),
    "bytearray bomb": (
        zip_of(b"\x80\x05\x96\xff\xff\xff\xff\xff\x00\x00\x00."),
        "not one that torch.save writes",
    ),
    "billion laughs bomb": (zip_of(laughs()), "holds no tensors"),
    "deep lists": (zip_of(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."), "holds no tensors"),
    "deep key": (zip_of(b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"Ns."), "holds no tensors"),
    "expanded bomb": (zip_of(rebuilt(huge(1), "(K\x00t")), "far larger than its numbers"),
    "shape bomb": (zip_of(rebuilt(huge(3), "(K\x00K\x00K\x00t")), "shape makes no sense"),
    "missing storage": (zip_of(rebuilt("(J\x00\x10\x00\x00t", "(K\x01t")), "are missing"),
    "self": (zip_of(b"\x80\x02]q\x00h\x00a."), "holds no tensors"),
    "stack empty": (zip_of(b"\x80\x02R."), "do not fit together"),
    "unhashable": (zip_of(b"\x80\x02}]Ns."), "holds no tensors"),
}


@contextlib.contextmanager
def traced_memory(*, is_on: bool) -> Iterator[list[int]]:
    """Yields a list that gets the peak of what Python allocated; tracing is slow, so only for bombs."""
    peaks: list[int] = []
    if is_on:
        tracemalloc.start()
    try:
        yield peaks
    finally:
        if is_on:
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()


@pytest.mark.parametrize("name", FILES)
def test_bad_files_end_in_a_sentence(tmp_path: Path, name: str) -> None:
    content, said = FILES[name]
    path = tmp_path / "日本 😀 model.safetensors"
    path.write_bytes(content() if callable(content) else content)
    before = path.read_bytes()
    with traced_memory(is_on="bomb" in name) as peaks, pytest.raises(FileError) as caught:
        identify(path)
    problem = caught.value
    assert said in problem.sentence()
    assert problem.where == str(path)
    assert problem.todo
    assert problem.code not in ("", "bad-input")
    assert "\n" not in problem.sentence()
    assert all(peak < MEMORY_LIMIT for peak in peaks)
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [(path.name, before)]


CALLS: dict[str, Callable[[Path], Runs]] = {
    "os.system": lambda mark: Runs(os.system, f"echo > {mark}"),
    "exec": lambda mark: Runs(builtins.exec, f"open({str(mark)!r}, 'w')"),
    "open": lambda mark: Runs(open, str(mark), "w"),
    "getattr": lambda mark: Runs(builtins.getattr, mark, "touch"),
    "load": lambda _: Runs(torch.storage._load_from_bytes, b""),
    "partial": lambda mark: Runs(collections.ChainMap, {"a": Runs(os.system, f"echo > {mark}")}),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("form", ["zip", "legacy", "bare", "bare 0", "bare 4", "in a state dict"])
def test_a_pickle_that_runs_code_does_not_run(tmp_path: Path, name: str, form: str) -> None:
    mark = tmp_path / "it ran"
    call = CALLS[name](mark)
    content = {
        "zip": lambda: torch_bytes(call),
        "legacy": lambda: torch_bytes(call, is_zip=False),
        "bare": lambda: pickle.dumps(call, protocol=2),
        "bare 0": lambda: pickle.dumps(call, protocol=0),
        "bare 4": lambda: pickle.dumps(call, protocol=4),
        "in a state dict": lambda: torch_bytes({"state_dict": {**SMALL, "x": call}}),
    }[form]()
    path = tmp_path / "model.ckpt"
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        read_checkpoint(path)
    if form != "bare 0":
        assert caught.value.code == "unsafe-pickle"
        assert "nothing of it was run" in caught.value.what
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.ckpt"]


@pytest.mark.parametrize("name", ["a.ckpt", "a.pt", "a.jpg", "a.txt", "a.safetensors.part"])
def test_safetensors_under_a_wrong_ending(tmp_path: Path, name: str) -> None:
    write_safetensors(tmp_path / name, SMALL)
    with pytest.raises(FileError, match="safetensors form") as caught:
        open_tensors(tmp_path / name)
    assert (caught.value.code, caught.value.where) == ("wrong-ending", str(tmp_path / name))
    assert "ends in .safetensors" in caught.value.todo
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["b.safetensors", "b.png"])
def test_a_pickle_under_a_wrong_ending(tmp_path: Path, name: str) -> None:
    torch.save(SMALL, tmp_path / name)
    with pytest.raises(FileError, match="PyTorch's form") as caught:
        open_tensors(tmp_path / name)
    assert "ends in .ckpt" in caught.value.todo


@pytest.mark.parametrize("name", ["a.SafeTensors", "a.sft", "model v1.5", "4f3a9c", "x.vae.safetensors"])
def test_names_without_a_wrong_ending(tmp_path: Path, name: str) -> None:
    write_safetensors(tmp_path / name, SMALL)
    with open_tensors(tmp_path / name) as file:
        assert torch.equal(file.read("a.weight"), SMALL["a.weight"])


def lora() -> dict[str, torch.Tensor]:
    return {"lora_unet_x.lora_up.weight": torch.ones(4, 2), "lora_unet_x.lora_down.weight": torch.ones(2, 4)}


WRONG_KINDS: dict[str, tuple[Callable[[SimpleNamespace], dict[str, torch.Tensor]], str]] = {
    "sdxl for sd1": (
        lambda made: made.sdxl(),
        "is a checkpoint of SDXL, and Stable Diffusion 1 was asked for",
    ),
    "sd2 for sd1": (lambda made: made.sd2(), "is a checkpoint of Stable Diffusion 2"),
    "lora": (lambda made: lora(), "is a LoRA, and a checkpoint is needed here"),
    "embedding": (
        lambda made: {"emb_params": torch.ones(2, 768)},
        "is an embedding of Stable Diffusion 1, and",
    ),
    "vae": (lambda made: {k: t for k, t in made.sd1().items() if k.startswith("first")}, "is a VAE, and"),
    "flux": (
        lambda made: {"double_blocks.0.img_mlp.w": torch.ones(2, 2), "single_blocks.0.w": torch.ones(2, 2)},
        "Flux",
    ),
    "flux lora": (
        lambda made: {"lora_unet_double_blocks_0.lora_up.weight": torch.ones(4, 2)},
        "is a LoRA for Flux",
    ),
    "other": (lambda made: {"fc.weight": torch.ones(9, 9, 9), "fc.bias": torch.ones(9)}, "found `fc."),
}


@pytest.mark.parametrize("name", WRONG_KINDS)
def test_other_kinds_are_named(tmp_path: Path, made: SimpleNamespace, name: str) -> None:
    build, said = WRONG_KINDS[name]
    path = tmp_path / "x.safetensors"
    write_safetensors(path, build(made))
    with pytest.raises(FileError) as caught:
        read_checkpoint(path, family="sd1")
    assert said in caught.value.what
    assert caught.value.where == str(path)
    assert caught.value.todo


def test_a_checkpoint_where_a_lora_is_needed(sd1_file: Path) -> None:
    with pytest.raises(FileError, match=r"is a checkpoint of Stable Diffusion 1, and a LoRA is needed here"):
        read_adapter(sd1_file)


def test_paths_with_spaces_kana_and_emoji_are_fine(tmp_path: Path, sd1_file: Path) -> None:
    path = tmp_path / "my models" / "モデル 😀.safetensors"
    path.parent.mkdir()
    path.write_bytes(sd1_file.read_bytes())
    assert identify(path).role == "checkpoint"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("no/such/file.safetensors", "not-found"),
        ("x" * 300 + ".safetensors", "path-too-long"),
        ("zero\0.safetensors", "not-found"),
    ],
)
def test_paths_that_lead_nowhere(tmp_path: Path, path: str, code: str) -> None:
    with pytest.raises(FileError) as caught:
        identify(tmp_path / path)
    assert caught.value.code == code
    assert caught.value.todo
    assert list(tmp_path.iterdir()) == []


def test_a_file_for_a_folder(sd1_file: Path) -> None:
    with pytest.raises(FileError) as caught:
        identify(sd1_file / "inside")
    assert caught.value.code == "not-found"


def test_an_empty_folder_and_one_without_weights(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "parts" / "unet").mkdir(parents=True)
    for name, said in (("empty", "no model in the diffusers form"), ("parts", "has no weights")):
        with pytest.raises(FileError, match=said):
            identify(tmp_path / name)


def test_windows_says_not_found_for_long_paths() -> None:
    error = FileNotFoundError(errno.ENOENT, "No such file")
    assert unreadable(Path("x" * 260), error, is_windows=True).code == "path-too-long"
    assert unreadable(Path("x" * 99), error, is_windows=True).code == "not-found"
    assert unreadable(Path("x" * 260), error, is_windows=False).code == "not-found"


def test_a_file_that_may_not_be_read(sd1_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(FileError) as caught:
        identify(sd1_file)
    assert caught.value.code == "not-readable"


@pytest.mark.parametrize(("number", "code"), [(errno.EACCES, "not-writable"), (errno.EROFS, "not-writable")])
def test_a_folder_that_may_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(FileError) as caught:
        write_safetensors(tmp_path / "x.safetensors", SMALL)
    assert (caught.value.code, caught.value.where) == (code, str(tmp_path / "x.safetensors"))
    assert list(tmp_path.iterdir()) == []


def test_a_path_too_long_to_write(tmp_path: Path) -> None:
    with pytest.raises(FileError) as caught:
        write_safetensors(tmp_path / ("x" * 300 + ".safetensors"), SMALL)
    assert caught.value.code == "path-too-long"
    assert list(tmp_path.iterdir()) == []


def whole_or_sentence(path: Path) -> None:
    """Reading gives tensors or a UserError, and leaves the folder as it was."""
    before = path.read_bytes()
    try:
        with open_tensors(path) as file:
            for key, tensor in file.items():
                assert tuple(tensor.shape) == file.shape(key)
        identify(path)
    except UserError as error:
        assert error.where == str(path)
        assert error.todo
        assert "\n" not in error.sentence()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before


FORMS = {
    "safetensors": lambda: safetensors_bytes(
        {"a.lora_up.weight": entry(), "__metadata__": {"k": "v"}}, bytes(8)
    ),
    "zip": lambda: torch_bytes({"state_dict": SMALL, "epoch": 1}),
    "legacy": lambda: torch_bytes(collections.OrderedDict(SMALL), is_zip=False),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_a_byte_is_read_or_refused(
    tmp_path_factory: Any, form: str, data: st.DataObject
) -> None:
    content = bytearray(FORMS[form]())
    for _ in range(data.draw(st.integers(1, 3), label="changes")):
        content[data.draw(st.integers(0, len(content) - 1), label="at")] = data.draw(
            st.integers(0, 255), label="byte"
        )
    content = content[: data.draw(st.sampled_from([len(content)] * 3 + [len(content) // 2]), label="length")]
    path = tmp_path_factory.mktemp("changed") / "x.safetensors"
    path.write_bytes(bytes(content))
    whole_or_sentence(path)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300), start=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", VALID[:9]]))
def test_any_bytes_are_refused(tmp_path_factory: Any, content: bytes, start: bytes) -> None:
    path = tmp_path_factory.mktemp("noise") / "x.ckpt"
    path.write_bytes(start + content)
    whole_or_sentence(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "BF16", "X", 3]) | JSON,
        "shape": st.lists(st.integers(-1, 5), max_size=3) | JSON,
        "data_offsets": st.lists(st.integers(-1, 64), min_size=2, max_size=2) | JSON,
    },
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=st.dictionaries(st.text(max_size=8) | st.just("__metadata__"), ENTRIES | JSON, max_size=4))
def test_any_header_is_read_or_refused(tmp_path_factory: Any, header: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("header") / "x.safetensors"
    path.write_bytes(safetensors_bytes(header, bytes(64)))
    whole_or_sentence(path)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_in_a_checkpoint_s_header(
    sd1_file: Path, tmp_path_factory: Any, data: st.DataObject
) -> None:
    content = bytearray(sd1_file.read_bytes())
    end = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 4), label="changes")):
        content[data.draw(st.integers(8, end - 1), label="at")] = data.draw(
            st.integers(32, 126), label="byte"
        )
    path = tmp_path_factory.mktemp("checkpoint") / "x.safetensors"
    path.write_bytes(bytes(content))
    try:
        assert set(read_checkpoint(path).parts) == {"unet", "vae", "text_encoder"}
    except UserError as error:
        assert error.where == str(path)
        assert error.todo


def test_patched_loaders_of_hosts_are_never_called(
    tmp_path: Path, sd1_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A1111's `torch.load` answers None, Forge's and its `load_file` rename the file when anything fails."""

    def called(*_: Any, **__: Any) -> None:
        raise AssertionError("a host's loader was called")

    with open_tensors(sd1_file) as file:
        torch.save({"state_dict": file.read_all()}, tmp_path / "x.ckpt")
    monkeypatch.setattr(torch, "load", called)
    monkeypatch.setattr(safetensors.torch, "load_file", called)
    monkeypatch.setattr(safetensors, "safe_open", called)
    for path in (sd1_file, tmp_path / "x.ckpt"):
        assert set(read_checkpoint(path).parts) == {"unet", "vae", "text_encoder"}
