"""Use this one: a chosen file under a plain name, and nothing in its way lost."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import torch

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.lora import read_adapter
from lib_dreambooth.training.export.own_settings import metadata_of
from lib_dreambooth.training.export.promote import promote
from tests.training.made_exports import PNG, exporter, write


def test_the_chosen_file_gets_a_plain_name(tmp_path: Path) -> None:
    result = write(exporter(tmp_path), preview=PNG)
    os.utime(result.path, (1, 1))
    target = promote(result.path, tmp_path / "Lora", "mika")
    assert target == tmp_path / "Lora" / "mika.safetensors" and result.path.is_file()
    assert target.with_name("mika.preview.png").read_bytes() == PNG
    assert target.with_name("mika.json").read_text(encoding="utf-8") == result.path.with_suffix(
        ".json"
    ).read_text(encoding="utf-8")
    assert target.stat().st_mtime > 1, "hosts notice newer files only"
    before, after = read_adapter(result.path), read_adapter(target)
    for name, module in before.modules.items():
        assert all(torch.equal(after.modules[name].parts[part], module.parts[part]) for part in module.parts)


def test_it_calls_itself_by_its_new_name(tmp_path: Path) -> None:
    """Two files with one alias would both lose it in the WebUI."""
    result = write(exporter(tmp_path))
    target = promote(result.path, tmp_path / "Lora", "mika")
    before, after = metadata_of(result.path), dict(metadata_of(target))
    assert after.pop("ss_output_name") == "mika"
    assert after.pop("sshs_legacy_hash") == hashlib.sha256(b"").hexdigest()[:8]
    assert after == {k: v for k, v in before.items() if k not in ("ss_output_name", "sshs_legacy_hash")}


def test_nothing_is_overwritten_without_asking(tmp_path: Path) -> None:
    lora = tmp_path / "Lora"
    out = exporter(tmp_path)
    first, second = write(out, 100), write(out, 200)
    target = promote(first.path, lora, "mika")
    before = target.read_bytes()
    with pytest.raises(FileError, match="already") as caught:
        promote(second.path, lora, "mika")
    assert caught.value.code == "exists" and target.read_bytes() == before
    with pytest.raises(FileError, match="already"):
        promote(second.path, lora, "mika-000100", replace=True)
    assert promote(second.path, lora, "mika", replace=True) == target
    assert metadata_of(target)["ss_steps"] == "200" and second.path.is_file()


def test_moving(tmp_path: Path) -> None:
    result = write(exporter(tmp_path), preview=PNG)
    promote(result.path, tmp_path / "Lora", "ミカ: 1", move=True)
    assert [path.name for path in result.path.parent.iterdir()] == []
    assert sorted(path.name for path in (tmp_path / "Lora").iterdir() if path.is_file()) == [
        "ミカ_ 1.json",
        "ミカ_ 1.preview.png",
        "ミカ_ 1.safetensors",
    ]


def test_promoting_to_itself_and_what_is_gone(tmp_path: Path) -> None:
    result = write(exporter(tmp_path, {"saving.subfolder": False}))
    assert promote(result.path, result.path.parent, result.path.stem, move=True) == result.path
    assert result.path.is_file()
    result.path.unlink()
    with pytest.raises(FileError, match="not there"):
        promote(result.path, tmp_path, "mika")


def test_other_files_are_copied_as_they_are(tmp_path: Path) -> None:
    stripped = write(exporter(tmp_path, {"metadata.content": "none"}))
    target = promote(stripped.path, tmp_path / "Lora", "quiet")
    assert target.read_bytes() == stripped.path.read_bytes()
    words = exporter(tmp_path, {"saving.embedding_format": "pt", "parts.words.train": True})
    word = words.write_word("wug", {"text_encoder": torch.zeros(2, 768)}, step=1, epoch=1)
    target = promote(word.path, tmp_path / "embeddings", "wug")
    assert target.name == "wug.pt" and target.read_bytes() == word.path.read_bytes()
