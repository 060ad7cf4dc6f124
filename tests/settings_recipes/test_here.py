"""Files that a recipe names and this machine has, or nearly has."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.settings.recipes import Candidate, Fate, Here
from lib_dreambooth.settings.recipes.here import find
from lib_dreambooth.settings.recipes.looking import look_around, read_bytes, reader_beside
from tests.settings_recipes.recipe_samples import read_config, read_fixture

MODELS = Here(
    checkpoints=(
        Candidate("m/nai/animefull-final-pruned.safetensors", ("1d4a34af", "89d59c3d")),
        Candidate("m/v1-5-pruned-emaonly.safetensors"),
        Candidate("m/nai-full.safetensors"),
        Candidate("m/other.ckpt"),
    )
)


def base(path: str, here: Here = MODELS) -> tuple[Fate, str, tuple[str, ...]]:
    """What becomes of a base: its fate, the setting, the offers."""
    imported = read_config(
        {"network_module": "networks.lora", "pretrained_model_name_or_path": path}, here=here
    )
    line = imported.report.line("pretrained_model_name_or_path")
    return line.fate, imported.run.model.base, line.offers


def test_a_file_of_the_same_name_is_taken_and_told() -> None:
    fate, path, _ = base("/content/models/NAI-full.safetensors")
    assert (fate, path) == (Fate.DIFFERENTLY, "m/nai-full.safetensors")


def test_names_that_are_alike_are_offered() -> None:
    fate, path, offers = base("D:\\sd\\animefull-final-pruned.ckpt")
    assert (fate, path) == (Fate.NEEDS_YOU, "D:\\sd\\animefull-final-pruned.ckpt")
    assert offers == ("m/nai/animefull-final-pruned.safetensors",)


def test_an_address_of_a_hub_is_offered_by_its_usual_file_name() -> None:
    fate, _, offers = base("runwayml/stable-diffusion-v1-5")
    assert fate is Fate.NEEDS_YOU
    assert offers[0] == "m/v1-5-pruned-emaonly.safetensors"


def test_two_files_of_the_same_name_are_both_offered() -> None:
    here = Here(checkpoints=(Candidate("a/x.ckpt"), Candidate("b/x.ckpt")))
    assert base("c/x.ckpt", here) == (Fate.NEEDS_YOU, "c/x.ckpt", ("a/x.ckpt", "b/x.ckpt"))


def test_a_hash_finds_a_file_under_any_name() -> None:
    imported = read_fixture("lora-metadata.json", here=MODELS)
    line = imported.report.line("ss_sd_model_name")
    assert line.fate is Fate.DIFFERENTLY
    assert imported.run.model.base == "m/nai/animefull-final-pruned.safetensors"
    assert "known by its hash" in line.says


def test_a_hash_in_brackets_belongs_to_the_name() -> None:
    here = Here(checkpoints=(Candidate("wd.safetensors", ("84692140",)),))
    imported = read_fixture("db-config-2022-12.json", here=here)
    assert imported.run.model.base == "wd.safetensors"


def test_a_path_that_exists_is_honoured() -> None:
    assert find(Here(locate=lambda path: f"/here/{path}"), "checkpoint", "m.ckpt").path == "/here/m.ckpt"


def test_nothing_alike_offers_nothing() -> None:
    assert base("zzz.ckpt", Here()) == (Fate.NEEDS_YOU, "zzz.ckpt", ())


def test_looking_around_finds_models_by_folder_and_old_hash(tmp_path: Path) -> None:
    (tmp_path / "models" / "Stable-diffusion").mkdir(parents=True)
    (tmp_path / "models" / "VAE").mkdir()
    (tmp_path / "models" / "Lora").mkdir()
    content = b"\0" * 0x100000 + bytes(range(256)) * 256
    checkpoint = tmp_path / "models" / "Stable-diffusion" / "m.safetensors"
    checkpoint.write_bytes(content)
    (tmp_path / "models" / "VAE" / "v.pt").write_bytes(b"v")
    (tmp_path / "models" / "Lora" / "l.safetensors").write_bytes(b"l")
    (tmp_path / "models" / "notes.txt").write_bytes(b"n")
    here = look_around(tmp_path / "recipe.toml", [tmp_path / "models"])
    expected = hashlib.sha256(content[0x100000 : 0x100000 + 0x10000]).hexdigest()[:8]
    assert here.checkpoints == (Candidate(str(checkpoint), (expected,)),)
    assert [Path(found.path).name for found in here.vaes] == ["v.pt"]
    assert [Path(found.path).name for found in here.loras] == ["l.safetensors"]


def test_paths_beside_the_recipe_are_found(tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    (tmp_path / "set.toml").write_text("x = 1", encoding="utf-8")
    recipe = tmp_path / "recipe.toml"
    assert look_around(recipe).locate("img") == str(tmp_path / "img")
    assert look_around(recipe).locate("gone") == ""
    assert look_around(recipe).locate("bad\0path") == ""
    assert reader_beside(recipe)("D:\\elsewhere\\set.toml") == b"x = 1"
    assert reader_beside(recipe)("gone.toml") is None


def test_a_folder_that_is_not_there_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such folder"):
        look_around(tmp_path / "r.toml", [tmp_path / "gone"])
    with pytest.raises(FileError, match="could not be read"):
        read_bytes(tmp_path / "gone.toml")
