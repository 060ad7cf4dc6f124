"""Names of new words that are taken, or cannot be, said before training; and the files that a plan names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth import settings
from lib_dreambooth.base.durations import Duration
from lib_dreambooth.base.errors import SettingsError
from lib_dreambooth.jobs.earlier import word_of
from lib_dreambooth.jobs.new_words import check_words, words_with_host
from lib_dreambooth.jobs.plan import expected_files, place_of
from lib_dreambooth.settings.length import EpochPlan, plan_length
from lib_dreambooth.settings.outline import outline
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sources import Sourced
from lib_dreambooth.training.export.places import Folders
from lib_dreambooth.training.export.result import EMBEDDING, Result
from tests.jobs.made_host import PlainHost
from tests.training.made_runs import joined

ALONE = {"network": {"kind": "none"}, "parts": {"unet": {"train": False}, "text_encoder_1": {"train": False}}}


def made_run(*names: str, **values: Any) -> Run:
    words = [{"name": name} for name in names]
    given = {"concepts": [{"folder": "pictures"}], "words": words, "parts": {"words": {"train": True}}}
    return settings.read(joined(given, values)).run


def folders(root: Path) -> Folders:
    return Folders(root / "Lora", root / "Stable-diffusion", root / "diffusers", root / "embeddings")


def put(root: Path, name: str) -> Path:
    path = root / "embeddings" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def codes(run: Run, root: Path, *earlier: Result) -> list[str]:
    return [found.code for found in check_words(run, folders(root), earlier)]


def test_a_name_of_ones_own_is_nothing_to_speak_of(tmp_path: Path) -> None:
    assert codes(made_run("zwx"), tmp_path) == []
    put(tmp_path, "zwxy.pt")
    put(tmp_path, "zwx.preview.png")
    put(tmp_path, "zwx.json")
    assert codes(made_run("zwx"), tmp_path) == []


def test_a_word_of_the_model(tmp_path: Path) -> None:
    (found,) = check_words(made_run("cat", "zwx"), folders(tmp_path))
    assert found.code == "known-word" and found.what == "The model knows cat already."
    assert codes(made_run("cat", parts={"words": {"train": False}}), tmp_path) == []


@pytest.mark.parametrize("name", ["zwx.pt", "ZWX.safetensors", "people/zwx.bin", "zwx.webp"])
def test_a_word_of_the_embeddings_folder(tmp_path: Path, name: str) -> None:
    path = put(tmp_path, name)
    (found,) = check_words(made_run("zwx"), folders(tmp_path))
    assert found.code == "existing-word" and found.paths == (path.name,)
    assert "with the number" in found.effect
    # A bundle would never be read beside it.
    with pytest.raises(SettingsError) as caught:
        check_words(made_run("zwx", saving={"words_as": "bundle"}), folders(tmp_path))
    (problem,) = caught.value.problems
    assert (problem.code, problem.where) == ("existing-word", "words.0.name")
    # Files of the run itself, before it was interrupted, do not count.
    own = Result(path, EMBEDDING, 1, 1, 0, "", "zwx")
    assert codes(made_run("zwx"), tmp_path, own) == []


@pytest.mark.parametrize(("name", "words_as"), [("a:b", "pair"), ("con", "pair"), ("v1.5", "bundle")])
def test_names_that_cannot_be(tmp_path: Path, name: str, words_as: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_words(made_run(name, saving={"words_as": words_as}), folders(tmp_path))
    assert [problem.code for problem in caught.value.problems] == ["bad-word"]
    assert codes(made_run("v1.5"), tmp_path) == []


@pytest.mark.parametrize(
    ("reads", "taken", "name", "expected"),
    [
        (frozenset({"bundle", "oft"}), "", "zwx", "bundle"),
        # An embedding of that name would be read in its place.
        (frozenset({"bundle"}), "ZWX.pt", "zwx", "pair"),
        (frozenset({"bundle"}), "", "v1.5", "pair"),
        (frozenset({"dora"}), "", "zwx", "pair"),
        (None, "", "zwx", "pair"),
    ],
)
def test_where_words_go_is_decided_by_the_host(
    tmp_path: Path, reads: frozenset[str] | None, taken: str, name: str, expected: str
) -> None:
    host = PlainHost(tmp_path)
    host.reads = reads
    if taken:
        host.paths.embeddings.mkdir(parents=True)
        (host.paths.embeddings / taken).write_bytes(b"")
    left_open = Sourced(made_run(name))
    assert words_with_host(left_open, host).run.saving.words_as == expected
    # What somebody chose stays, and a word alone has its own file anyway.
    for chosen in ({"saving": {"words_as": "pair"}}, {"saving": {"words_as": "bundle"}}, ALONE):
        sourced = Sourced(made_run(name, **chosen))
        assert words_with_host(sourced, host) is sourced


def test_tags_without_a_vector_are_named(tmp_path: Path) -> None:
    word = {"name": "zwx", "vectors": 1, "start_as": "red eyes, hat, boots"}
    (found,) = check_words(made_run(words=[word]), folders(tmp_path))
    assert found.code == "unused-start" and "hat, boots of its" in found.what


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            ALONE,
            [
                "embeddings/wug-000020.pt",
                "embeddings/zwx-000020.pt",
                "embeddings/wug.pt",
                "embeddings/zwx.pt",
            ],
        ),
        (
            {"saving": {"words_as": "bundle"}},
            ["Lora/mika-000020.safetensors", "Lora/mika-000040.safetensors"],
        ),
        (
            {},
            [
                "embeddings/wug-000020.pt",
                "embeddings/zwx-000020.pt",
                "embeddings/wug.pt",
                "embeddings/zwx.pt",
                "Lora/mika-000020.safetensors",
                "Lora/mika-000040.safetensors",
            ],
        ),
    ],
)
def test_the_files_that_are_to_be(tmp_path: Path, values: dict[str, Any], expected: list[str]) -> None:
    saving = {"every": "20 steps", "subfolder": False, "embedding_format": "pt"}
    run = made_run("wug", "zwx", **joined(values, {"saving": saving}))
    length = plan_length(EpochPlan((10,), (10,), 1, 1, 1), Duration(40, "steps"))
    found = expected_files(run, outline(run, length), length, "mika", folders(tmp_path))
    assert [path.relative_to(tmp_path).as_posix() for path in found] == expected
    assert place_of(run, folders(tmp_path)).name == expected[-1].split("/")[0]


def test_whose_file_it_is() -> None:
    run = made_run("zwx", "zwx-hat")
    names = ["zwx", "zwx-000100", "zwx-hat-000100", "zwx-hat", "zwx-000100-2"]
    assert [word_of(Path(f"{name}.pt"), run) for name in names] == ["zwx", "zwx", "zwx-hat", "zwx-hat", "zwx"]
