"""No path gets into a file: a path carries the name of whoever's machine it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_dreambooth import settings
from lib_dreambooth.settings.convert import plain
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.export.own_settings import settings_text
from lib_dreambooth.training.export.privacy import name_only, without_paths


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (r"C:\Users\ann\pics\10_mika", "10_mika"),
        ("/home/ann/pics/10_mika/", "10_mika"),
        (r"\\nas\ann\pics", "pics"),
        ("D:/mixed\\10_mika", "10_mika"),
        (r"C:\Users\ann", ""),
        ("/home/ann/", ""),
        ("/Users/ann", ""),
        ("~", ""),
        ("~ann", ""),
        ("C:\\", ""),
        ("/", ""),
        ("", ""),
        ("mini.safetensors", "mini.safetensors"),
        (r"C:\Users\ann\a.safetensors:0.5", "a.safetensors:0.5"),
    ],
)
def test_the_last_part_of_a_path(path: str, name: str) -> None:
    assert name_only(path) == name


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (r"from C:\Users\Ann Lee\pics\cat.png", "from cat.png"),
        ("see /home/ann lee/cat.png, please", "see cat.png, please"),
        ("see ~/pics/cat.png", "see cat.png"),
        ("see /mnt/c/Users/ann/cat.png", "see cat.png"),
        (r"on \\nas\ann\cat.png", "on cat.png"),
        ("in /srv/data/ann", "in ann"),
        (r"C:\Users\ann", ""),
    ],
)
def test_paths_inside_a_text(text: str, left: str) -> None:
    assert without_paths(text) == left


@pytest.mark.parametrize(
    "text",
    [
        ":/",
        ">:/ \\o/ \\(^o^)/",
        "/\\/\\/\\",
        "saber \\(fate\\)",
        "and/or 1/2 km/h",
        "https://example.org/a/b/c.html",
        "a photo of [name], 4k",
        "|_|, ;/, x:/ y",
        "\\\\||//",
    ],
)
def test_words_and_faces_stay(text: str) -> None:
    assert without_paths(text) == text


USERS = st.text("abcdefghij", min_size=6, max_size=10).map(lambda name: f"u{name}q")
FOLDERS = st.sampled_from(
    [r"C:\Users\{}\sets", "D:\\data\\{}\\sets", "/home/{}/sets", "/Users/{}/my sets", r"\\nas\{}\sets"]
)


@given(USERS, FOLDERS)
def test_no_setting_carries_a_folder(user: str, form: str) -> None:
    folder = form.format(user)
    slash = "\\" if "\\" in folder else "/"
    file = f"{folder}{slash}one.safetensors"
    values = {
        "model": {"base": file, "vae": file, "merge": [f"{file}:0.5", file]},
        "concepts": [
            {"folder": folder, "metadata_file": file, "mask_folder": folder, "class_folder": folder},
            {"folder": folder, "override": {"captions.prefix": f"x {folder}{slash}x"}},
        ],
        "words": [{"name": "wug", "start_from": file}],
        "parts": {"words": {"train": True, "template_file": file}},
        "network": {"start_from": file},
        "saving": {"folder": folder},
        "logging": {"folder": folder},
        "previews": {"file": file, "prompts": [f"a cat from {folder}{slash}x.png"]},
        "optimizer": {"arguments": {"cache": f"{folder}{slash}x"}},
        "metadata": {"comment": f"made of {folder}{slash}x", "description": f"{folder}{slash}x"},
    }
    run = settings.review(values).sourced.run
    assert json.dumps(plain(run)).count(user) >= 15, "the run holds what has to be taken out"
    text = settings_text(run)
    assert user not in text
    tables = json.loads(text)
    assert tables["model"]["base"] == "one.safetensors"
    assert tables["model"]["merge"] == ["one.safetensors:0.5", "one.safetensors"]
    assert tables["concepts"][0]["folder"] in ("sets", "my sets")


def test_the_settings_are_all_there() -> None:
    run = settings.replace(Run(), {"rates.learning_rate": 3e-4, "saving.every": "2 epochs"})
    tables = json.loads(settings_text(run))
    assert tables.pop("version") == 1
    assert settings.read(tables).run == run
