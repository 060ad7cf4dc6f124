"""The text that the WebUI reads its form from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from lib_dreambooth.sampling.infotext import infotext, save_picture, text_in, with_tag
from lib_dreambooth.sampling.loras import LoraUse
from lib_dreambooth.sampling.picture_settings import PictureSettings

SETTINGS = PictureSettings(sampler="dpm++ 2m karras", steps=25, guidance=6.5, width=512, height=768)


def test_a_plain_picture() -> None:
    text = infotext("a cat", "blurry", 7, SETTINGS, model="mini", model_hash="0123456789abcdef")
    assert text == (
        "a cat\nNegative prompt: blurry\n"
        "Steps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 7, Size: 512x768, "
        "Model hash: 0123456789, Model: mini"
    )


def test_what_is_not_as_always_is_said() -> None:
    settings = replace(
        SETTINGS, sampler="euler a", guidance=7.0, clip_skip=2, ensd=31337, noise_source="NV", eta=0.5,
        emphasis="No norm", vae="kl, f8: mse", is_zero_terminal=True,
    )  # fmt: skip
    text = infotext("", "", 1, settings, loras=[LoraUse(Path("x/some.safetensors"), 0.8)])
    assert text == (
        "<lora:some:0.8>\n"
        "Steps: 25, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7, Seed: 1, Size: 512x768, "
        'VAE: "kl, f8: mse", Clip skip: 2, ENSD: 31337, RNG: NV, Eta: 0.5, Emphasis: No norm, '
        "Noise Schedule: Zero Terminal SNR"
    )


def test_ensd_is_said_only_where_it_matters() -> None:
    assert "ENSD" not in infotext("a", "", 1, replace(SETTINGS, ensd=31337))


def test_the_text_comes_back_from_the_file(tmp_path: Path) -> None:
    text = infotext("猫 (red:1.3)\nsecond line", "", 1, SETTINGS)
    save_picture(tmp_path / "絵.png", Image.new("RGB", (8, 8)), text)
    with Image.open(tmp_path / "絵.png") as picture:
        assert picture.info["parameters"] == text
    assert [path.name for path in tmp_path.iterdir()] == ["絵.png"]


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("", ""),
        ("a cat\nSteps: 20, Seed: 1", "a cat <lora:x:1>\nSteps: 20, Seed: 1"),
        ("a\nb\nNegative prompt: c\nSteps: 2", "a\nb <lora:x:1>\nNegative prompt: c\nSteps: 2"),
        ("Steps: 20", "<lora:x:1>\nSteps: 20"),
        ("a cat", "a cat <lora:x:1>"),
    ],
)
def test_a_tag_goes_behind_the_prompt(text: str, made: str) -> None:
    assert with_tag(text, "<lora:x:1>") == made
    assert with_tag(text, "") == text


def test_the_text_of_a_picture_comes_back(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png", Image.new("RGB", (4, 4)), "猫, a cat\nSteps: 1")
    assert text_in(tmp_path / "a.png") == "猫, a cat\nSteps: 1"
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert text_in(tmp_path / "b.png") == text_in(tmp_path / "none.png") == ""
