"""LoRA files: what goes in comes out, nothing is overwritten, nothing of others is touched."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from lib_dreambooth.base import files as base_files
from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats import safetensors_write
from lib_dreambooth.formats.embedding import read_embedding
from lib_dreambooth.formats.keymap import TEXT, TEXT_2
from lib_dreambooth.formats.lora import AdapterModule, read_adapter
from lib_dreambooth.training.export import placing
from lib_dreambooth.training.export.result import Result
from tests.training.made_exports import NAMES, PNG, TARGETS, adapter, exporter, write


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    """The header, and the bytes of the tensors."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def below(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_what_is_written_is_read(tmp_path: Path, precision: str) -> None:
    """`saving.precision`: exact in fp32, rounded once in the others."""
    result = write(exporter(tmp_path, {"saving.precision": precision}))
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    placed, unknown = read_adapter(result.path).placed(NAMES)
    assert unknown == [] and set(placed) == set(TARGETS)
    for target, module in adapter(100).items():
        assert placed[target].alpha == 2.0
        for part, tensor in module.parts.items():
            found = placed[target].parts[part]
            assert found.dtype == dtype and torch.equal(found, tensor.to(dtype))


def test_hashes_are_kohyas(tmp_path: Path) -> None:
    """Made again here with the library's own writer: its own keys alone in the header."""
    big = {TARGETS[0]: AdapterModule({"lora_down": torch.randn(6000, 64), "lora_up": torch.randn(32, 6000)})}
    result = exporter(tmp_path, {"saving.precision": "fp32"}).write_adapter(big, NAMES, step=1, epoch=1)
    header, tensors = header_of(result.path)
    metadata = header["__metadata__"]
    loaded = safetensors.torch.load_file(result.path)
    kohya = safetensors.torch.save(loaded, {k: v for k, v in metadata.items() if k.startswith("ss_")})
    (length,) = struct.unpack("<Q", kohya[:8])
    assert len(kohya) > 0x110000
    assert metadata["sshs_model_hash"] == hashlib.sha256(kohya[8 + length :]).hexdigest()
    assert metadata["sshs_model_hash"] == hashlib.sha256(tensors).hexdigest()
    assert metadata["sshs_legacy_hash"] == hashlib.sha256(kohya[0x100000:0x110000]).hexdigest()[:8]
    assert metadata["modelspec.hash_sha256"] == "0x" + metadata["sshs_model_hash"]
    assert result.sha256 == hashlib.sha256(result.path.read_bytes()).hexdigest()
    assert result.size == result.path.stat().st_size


def test_names_folders_and_cards(tmp_path: Path) -> None:
    """`metadata.name`, `saving.subfolder`, `saving.folder`, and the name that stands in."""
    lora = tmp_path / "Lora"
    assert write(exporter(tmp_path)).path == lora / "mika" / "mika-000100.safetensors"
    flat = exporter(tmp_path, {"saving.subfolder": False, "metadata.name": ""})
    assert write(flat).path == lora / "folder name-000100.safetensors"
    own = exporter(tmp_path, {"saving.folder": str(tmp_path / "mine")})
    assert write(own).path == tmp_path / "mine" / "mika" / "mika-000100.safetensors"
    card = json.loads((lora / "mika" / "mika-000100.json").read_text(encoding="utf-8"))
    assert card == {
        "description": "",
        "notes": "",
        "sd version": "SD1",
        "activation text": "mika",
        "preferred weight": 0.0,
        "negative text": "",
    }


def test_the_card_says_what_the_settings_say(tmp_path: Path) -> None:
    """`metadata.weight`, `negative_text`, `trigger`, `description`, `comment`."""
    changes = {
        "metadata.weight": 0.8,
        "metadata.negative_text": "blurry",
        "metadata.trigger": "ミカ, 赤い帽子",
        "metadata.description": "a girl",
        "metadata.comment": "from /home/ann/x.txt",
    }
    path = write(exporter(tmp_path, changes)).path.with_suffix(".json")
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "description": "a girl",
        "notes": "from x.txt",
        "sd version": "SD1",
        "activation text": "ミカ, 赤い帽子",
        "preferred weight": 0.8,
        "negative text": "blurry",
    }
    assert "ミカ" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("counter", "name"),
    [("steps", "mika-000100"), ("epochs", "mika-e0001"), ("both", "mika-e0001-000100")],
)
def test_counters(tmp_path: Path, counter: str, name: str) -> None:
    """`saving.counter`."""
    assert write(exporter(tmp_path, {"saving.counter": counter})).path.stem == name


def test_nothing_is_ever_overwritten(tmp_path: Path) -> None:
    out = exporter(tmp_path)
    paths = [write(out).path, write(out).path, write(out).path, write(exporter(tmp_path)).path]
    assert [path.relative_to(tmp_path / "Lora").as_posix() for path in paths] == [
        "mika/mika-000100.safetensors",
        "mika/mika-000100-2.safetensors",
        "mika/mika-000100-3.safetensors",
        "mika-2/mika-000100-4.safetensors",
    ]
    names = [header_of(path)[0]["__metadata__"]["ss_output_name"] for path in paths]
    assert names == [path.stem for path in paths], "a host knows each by its own name"


def test_a_run_that_goes_on_writes_beside_its_earlier_files(tmp_path: Path) -> None:
    first = exporter(tmp_path)
    write(first, 100)
    write(first, 200)
    second = exporter(tmp_path, {"saving.keep": 2}, earlier=first.results)
    write(second, 300)
    assert [one.path.parent.name for one in second.results] == ["mika", "mika"]
    assert [one.step for one in second.results] == [200, 300]
    assert not first.results[0].path.exists()


def test_only_so_many_are_kept(tmp_path: Path) -> None:
    """`saving.keep`: final files and files of others stay, side files go along."""
    root = tmp_path / "Lora" / "mika"
    out = exporter(tmp_path, {"saving.keep": 2})
    write(out, 100, preview=PNG)
    (root / "mika-000050.safetensors").write_bytes(b"another run's")
    (root / "mika-000100.txt").write_text("the user's", encoding="utf-8")
    write(out, 150, is_final=True)
    write(out, 200)
    write(out, 250, label="ema")
    write(out, 300)
    write(out, 400)
    assert below(root) == [
        "mika-000050.safetensors",
        "mika-000100.txt",
        "mika-000150.json",
        "mika-000150.safetensors",
        "mika-000300.json",
        "mika-000300.safetensors",
        "mika-000400.json",
        "mika-000400.safetensors",
        "mika-ema-000250.json",
        "mika-ema-000250.safetensors",
    ]
    assert [one.step for one in out.results] == [150, 250, 300, 400]


def test_a_file_that_was_changed_since_is_not_removed(tmp_path: Path) -> None:
    out = exporter(tmp_path, {"saving.keep": 1})
    first = write(out, 100)
    first.path.write_bytes(b"now it is something else")
    write(out, 200)
    assert first.path.read_bytes() == b"now it is something else"


def test_a_file_held_open_is_removed_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = exporter(tmp_path, {"saving.keep": 1})
    first = write(out, 100)
    unlink = Path.unlink

    def held(self: Path, missing_ok: bool = False) -> None:
        if self == first.path:
            raise PermissionError(errno.EACCES, "held open")
        unlink(self, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", held)
        write(out, 200)
        assert first.path.exists() and first.path.with_suffix(".json").exists()
    write(out, 300)
    assert not first.path.exists() and [one.step for one in out.results] == [300]


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    out = exporter(tmp_path)
    last = write(out, 100)
    before = last.path.read_bytes()
    modules = adapter()
    modules[TARGETS[1]].parts["lora_up"][0, 0] = float("nan")
    with pytest.raises(FileError, match=r"no numbers.*saved before") as caught:
        out.write_adapter(modules, NAMES, step=200, epoch=2)
    assert caught.value.code == "not-finite"
    assert last.path.read_bytes() == before
    assert below(tmp_path / "Lora") == ["mika/mika-000100.json", "mika/mika-000100.safetensors"]


def test_a_value_too_large_for_half_precision_is_said(tmp_path: Path) -> None:
    modules = adapter()
    modules[TARGETS[1]].parts["lora_up"][0, 0] = 1e6
    with pytest.raises(FileError, match="too large for fp16"):
        exporter(tmp_path).write_adapter(modules, NAMES, step=1, epoch=1)
    assert below(tmp_path) == []
    big = exporter(tmp_path, {"saving.precision": "bf16"}).write_adapter(modules, NAMES, step=1, epoch=1)
    assert big.path.is_file()


def test_no_room_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "free_bytes", lambda folder: 1_000_000)
    out = exporter(tmp_path)
    with pytest.raises(FileError, match=r"0\.00 GB are needed and 0\.00 GB are free") as caught:
        write(out)
    assert caught.value.code == "disk-full" and below(tmp_path) == []
    needed = out.needed_bytes([torch.zeros(1000, 1000), torch.zeros(10, dtype=torch.int64)])
    assert needed == 4_000_000 + 2_000_000 + 80


def test_a_disk_that_fills_up_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = exporter(tmp_path)
    write(out, 100)

    def full(file: Any, chunk: memoryview) -> None:
        file.write(chunk[: len(chunk) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(safetensors_write, "write_fully", full)
        with pytest.raises(FileError, match="disk is full") as caught:
            write(out, 200)
    assert caught.value.code == "disk-full" and "mika-000200" in caught.value.where
    assert below(tmp_path / "Lora") == ["mika/mika-000100.json", "mika/mika-000100.safetensors"]
    assert write(out, 200).path.stem == "mika-000200"


def test_a_name_that_another_program_holds_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows: a name may look free and still be refused."""
    replace = base_files.replace

    def held(source: Path, target: Path) -> None:
        if target.name == "mika-000100.safetensors":
            raise PermissionError(errno.EACCES, "held open")
        replace(source, target)

    monkeypatch.setattr(placing, "replace", held)
    path = write(exporter(tmp_path)).path
    assert path.name == "mika-000100-2.safetensors"
    assert header_of(path)[0]["__metadata__"]["ss_output_name"] == "mika-000100-2"
    assert below(tmp_path / "Lora") == ["mika/mika-000100-2.json", "mika/mika-000100-2.safetensors"]


def test_a_folder_that_may_not_be_written_to_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(source: Path, target: Path) -> None:
        raise PermissionError(errno.EACCES, "not yours")

    monkeypatch.setattr(placing, "replace", refused)
    with pytest.raises(FileError, match="cannot be written to") as caught:
        write(exporter(tmp_path))
    assert caught.value.code == "not-writable" and below(tmp_path / "Lora") == []


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = exporter(tmp_path)
    write(out, 100)
    shutil.rmtree(tmp_path / "Lora")
    assert write(out, 200).path.is_file()
    replace, calls = base_files.replace, []

    def too_late(source: Path, target: Path) -> None:
        """The folder goes between the writing and the renaming, once."""
        calls.append(target)
        if len(calls) == 1:
            shutil.rmtree(tmp_path / "Lora")
        replace(source, target)

    monkeypatch.setattr(placing, "replace", too_late)
    result = write(out, 300)
    assert result.path.is_file() and read_adapter(result.path).modules


def test_a_card_that_cannot_be_written_costs_no_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lib_dreambooth.training.export import side_files

    def full(path: Path, text: str) -> None:
        raise FileError("the disk is full", where=str(path))

    monkeypatch.setattr(side_files, "write_text", full)
    out = exporter(tmp_path)
    assert write(out).path.is_file() and len(out.results) == 1


def test_pictures(tmp_path: Path) -> None:
    """The picture beside the file, given at once or later; a small one inside where it is asked for."""
    out = exporter(tmp_path)
    first = write(out, 100, preview=PNG)
    assert first.path.with_name("mika-000100.preview.png").read_bytes() == PNG
    second = write(out, 200)
    assert out.add_preview(second, PNG, thumbnail=PNG) == second
    assert second.path.with_name("mika-000200.preview.png").read_bytes() == PNG
    asked = exporter(tmp_path, {"metadata.thumbnail": True, "saving.keep": 1})
    third = write(asked, 300)
    before = header_of(third.path)
    fourth = asked.add_preview(third, PNG, thumbnail=PNG)
    after = header_of(fourth.path)
    assert after[1] == before[1] and fourth.sha256 != third.sha256 and asked.results == [fourth]
    thumbnail = after[0]["__metadata__"].pop("modelspec.thumbnail")
    assert thumbnail.startswith("data:image/png;base64,") and after[0] == before[0]
    write(asked, 400)
    assert not fourth.path.exists(), "it is still known as this run's own"


def test_words_in_the_file_or_beside_it(tmp_path: Path) -> None:
    """`saving.words_as`, `saving.embedding_format`."""
    one, two = {TEXT: torch.randn(4, 768)}, {TEXT: torch.randn(4, 768), TEXT_2: torch.randn(4, 1280)}
    exact = {"saving.precision": "fp32", "parts.words.train": True}
    bundle = exporter(tmp_path, {**exact, "saving.words_as": "bundle"})
    found = read_adapter(write(bundle, words={"wug": one, "dax": two}).path).bundled
    assert torch.equal(found["wug"]["string_to_param.*"], one[TEXT])
    assert torch.equal(found["dax"]["clip_l"], two[TEXT]) and torch.equal(found["dax"]["clip_g"], two[TEXT_2])
    pair = exporter(tmp_path, {**exact, "saving.words_as": "pair"})
    assert read_adapter(write(pair, words={"wug": one}).path).bundled == {}
    for form in ("safetensors", "pt"):
        out = exporter(tmp_path / form, {**exact, "saving.embedding_format": form})
        result = out.write_word("wug", two, step=100, epoch=1)
        assert result.path.relative_to(tmp_path / form).as_posix() == f"embeddings/mika/wug-000100.{form}"
        vectors = read_embedding(result.path).vectors
        assert all(torch.equal(vectors[part], two[part]) for part in two)
    with pytest.raises(FileError, match="no numbers"):
        pair.write_word("wug", {TEXT: torch.full((1, 768), float("inf"))}, step=1, epoch=1)


def test_results_are_plain_values(tmp_path: Path) -> None:
    result = write(exporter(tmp_path), 100)
    again = Result(result.path, "adapter", 100, 1, result.size, result.sha256)
    assert again == result
