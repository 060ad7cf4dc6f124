"""The text for boards: everything in its place, in four languages, and nothing of the user's own."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from lib_dreambooth.jobs.report.board import board_text
from lib_dreambooth.jobs.report.board_words import EN, LANGUAGES, BoardWords
from lib_dreambooth.jobs.report.story import story_of
from lib_dreambooth.jobs.report.writing import write_report
from lib_dreambooth.runs.events import CANCELLED, Finished, Saved, Started
from tests.jobs.made_runs import FACTS, USER, MadeRun, a_folder, sourced, whole_run


def test_a_whole_run(tmp_path: Path) -> None:
    text = board_text(story_of(whole_run(tmp_path)), "en")
    lines = text.splitlines()
    assert lines[0] == "riho 猫"
    assert [line for line in lines if line.startswith("【")] == [
        "【Source】",
        "【Preparation】",
        "【Settings】",
        "【How to call it】",
        "【Result】",
    ]
    for line in (
        "Base model: dream-v1.safetensors (ab12ab12ab)",
        "Family: SD 1.x",
        "Training pictures: 12 (riho, 10 times each)",
        "Class pictures: 120 (girls)",
        "Kind: LoRA, rank 24, alpha 8",
        "Learning rate: UNet 1e-4, Text Encoder 5e-5",
        "Trigger words: riho",
        "In the prompt: <lora:riho-000300:1>",
        "Smoothed loss: 0.1495 -> 0.09493",
    ):
        assert line in lines, text
    [prompt] = [line for line in lines if line.startswith("In the prompt: <lora:")]
    [file] = [line for line in lines if line.startswith("File: ")]
    assert file.removeprefix("File: ").startswith(prompt.partition(":")[2].split(":")[1])
    assert any(line.startswith("Outcome: done (300 of 300 steps, ") for line in lines)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_the_same(tmp_path: Path, language: str) -> None:
    story = story_of(whole_run(tmp_path))
    text, english = board_text(story, language), board_text(story, "en")
    assert text.count("\n") == english.count("\n")
    for said in ("dream-v1.safetensors", "12", "120", "300", "<lora:", "riho girl", "5e-5"):
        assert said in text
    assert USER not in text and str(tmp_path) not in text
    assert "{" not in text


def test_no_word_is_missing_or_left_in_english() -> None:
    for language, words in LANGUAGES.items():
        for field in fields(BoardWords):
            word = getattr(words, field.name)
            assert word
            same = getattr(EN, field.name) == word
            assert not same or language == "en" or field.name == "colon", f"{language}: {field.name}"


def test_a_cancelled_run_of_a_checkpoint(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    run = MadeRun(folder, sourced(**{"network.kind": "none"}))
    run.start()
    run.log.emit(
        Saved(paths=("/x/y/riho-000005.safetensors",), what="result", step=5, num_bytes=2_100_000_000)
    )
    run.log.emit(Finished(outcome=CANCELLED, step=5, seconds=3725.0))
    text = board_text(story_of(folder), "en")
    assert "Choose this checkpoint: riho-000005\n" in text
    assert "File: riho-000005.safetensors (2.1 GB)\n" in text
    assert "Outcome: cancelled (5" in text and "1:02:05)" in text
    assert "<lora" not in text


def test_it_stands_beside_the_report(tmp_path: Path) -> None:
    folder = whole_run(tmp_path)
    text, _ = write_report(folder)
    for language in LANGUAGES:
        path = text.with_name(f"{text.stem}-board-{language}.txt")
        assert path.read_text("utf-8") == board_text(story_of(folder), language)
    assert Started(run_id="x", facts=FACTS).facts["pictures"] == "12 in riho (10 times each)"
