from __future__ import annotations

from pathlib import Path

from lib_dreambooth.jobs.places import Library, library, library_of
from lib_dreambooth.settings.schema import Saving
from lib_dreambooth.training.export.places import Places
from lib_dreambooth.training.export.result import Result


def test_the_webuis_own_models_around_the_extension(tmp_path: Path) -> None:
    checkout = tmp_path / "webui" / "extensions" / "sd-webui-dreambooth"
    (tmp_path / "webui" / "models").mkdir(parents=True)
    found = library(None, {}, checkout)
    assert found.dreambooth == tmp_path / "webui" / "models" / "dreambooth"
    assert found.results().adapter == tmp_path / "webui" / "models" / "Lora"
    assert found.results().embedding == tmp_path / "webui" / "embeddings"


def test_without_a_webui_in_our_own_folder(tmp_path: Path) -> None:
    assert library(None, {}, tmp_path / "ours") == Library(tmp_path / "ours" / "models")
    # A folder of this name alone is no WebUI.
    assert library(None, {}, tmp_path / "extensions" / "ours").models == tmp_path / "extensions/ours/models"


def test_the_option_before_the_variable(tmp_path: Path) -> None:
    named = {"DREAMBOOTH_MODELS": str(tmp_path / "named")}
    assert library(None, named, tmp_path).models == tmp_path / "named"
    assert library(tmp_path / "asked", named, tmp_path).models == tmp_path / "asked"


def test_a_model_folder_belongs_to_the_library_it_lies_in(tmp_path: Path) -> None:
    assert library_of(tmp_path / "models" / "dreambooth" / "zwx").models == tmp_path / "models"
    assert library_of(tmp_path / "models" / "dreambooth" / "zwx", tmp_path / "b").models == tmp_path / "b"


def test_a_run_that_goes_on_follows_a_changed_output_folder(tmp_path: Path) -> None:
    folders = Library(tmp_path / "models").results()
    before = [Result(folders.adapter / "zwx" / "zwx-000001.safetensors", "adapter", 1, 1, 9, "")]
    assert Places(Saving(), folders, "zwx", before).folder("adapter") == folders.adapter / "zwx"
    moved = Saving(folder=str(tmp_path / "elsewhere"))
    assert Places(moved, folders, "zwx", before).folder("adapter") == tmp_path / "elsewhere" / "zwx"
