"""The commands import and export."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth.cli import program
from lib_dreambooth.cli.output import Out
from lib_dreambooth.cli.table import ROWS
from lib_dreambooth.settings.files import parsed, read_file

RECIPE = (
    'pretrained_model_name_or_path = "m.ckpt"\nnetwork_module = "networks.lora"\nmax_token_length = 225\n'
)


def call(*words: object, code: int = 0, as_json: bool = False) -> str:
    """What a command answers."""
    out = Out(io.StringIO(), io.StringIO(), as_json=as_json)
    assert program.main([str(word) for word in words], ROWS, out) == code, out.stderr.getvalue()  # type: ignore[attr-defined]
    return out.stdout.getvalue() + out.stderr.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def test_import_writes_settings_and_shows_the_report(recipe: Path, tmp_path: Path) -> None:
    to = tmp_path / "settings.toml"
    said = call("import", recipe, "--to", to)
    assert "max_token_length = 225 -> captions.max_tokens = 225" in said
    assert f"{to}: written; 1 keys need you" in said
    sourced = read_file(to)
    assert sourced.run.captions.long_prompts == "webui"
    assert sourced.source("captions.max_tokens") == "recipe recipe.toml"


def test_import_as_run(recipe: Path, tmp_path: Path) -> None:
    to = tmp_path / "settings.toml"
    call("import", recipe, "--to", to, "--as-run")
    assert read_file(to).run.captions.long_prompts == "kohya"


def test_import_only_shows_without_a_target(recipe: Path, tmp_path: Path) -> None:
    told: dict[str, Any] = json.loads(call("import", recipe, as_json=True))
    assert told["file"] is None
    assert {line["key"] for line in told["keys"]} == {
        "pretrained_model_name_or_path",
        "network_module",
        "max_token_length",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.toml"]


def test_import_finds_models_in_folders(recipe: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    (models / "M.ckpt").write_bytes(b"m")
    to = tmp_path / "settings.toml"
    call("import", recipe, "--to", to, "--look-in", models)
    assert read_file(to).run.model.base == str(models / "M.ckpt")


def test_import_reads_a_lora_files_own_metadata(tmp_path: Path) -> None:
    header = json.dumps(
        {"__metadata__": {"ss_network_module": "networks.lora", "ss_network_dim": "12"}}
    ).encode()
    path = tmp_path / "l.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    to = tmp_path / "settings.toml"
    call("import", path, "--to", to)
    assert read_file(to).run.network.rank == 12


def test_import_reads_japanese_windows(tmp_path: Path) -> None:
    path = tmp_path / "popup.json"
    path.write_bytes(
        '{"base_model": "D:/モデル/m.ckpt", "img_folder": "D:/学習画像", "net_dim": 8}'.encode("cp932")
    )
    assert "D:/学習画像" in call("import", path)


def test_bad_input_ends_with_2(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    assert "could not be read" in call("import", path, code=2)
    path.write_bytes(b"\0\1\2")
    assert "not a text file" in call("import", path, code=2)


def test_export_writes_kohyas_config_and_what_it_names(recipe: Path, tmp_path: Path) -> None:
    to = tmp_path / "settings.toml"
    call("import", recipe, "--to", to)
    kohya = tmp_path / "out" / "kohya.toml"
    said = call("export", to, "--to", kohya, "--set", "network.rank=12", "--set", "ema.use=true")
    values = parsed(kohya.read_text(encoding="utf-8"), "")
    assert (values["network_dim"], values["max_token_length"]) == (12, 225)
    assert "accelerate launch train_network.py --config_file kohya.toml" in said
    assert "ema.use = on: kohya's scripts have no option for it." in said


def test_export_tells_programs_what_was_left_out(tmp_path: Path) -> None:
    settings = tmp_path / "s.toml"
    settings.write_text('[[concepts]]\nfolder = "a"\nsubfolders = "ignore"\n', encoding="utf-8")
    told = json.loads(call("export", settings, "--to", tmp_path / "k.toml", "--family", "sdxl", as_json=True))
    assert [Path(name).name for name in told["files"]] == ["k.toml", "k-dataset.toml"]
    assert told["command"] == "accelerate launch sdxl_train_network.py --config_file k.toml"
