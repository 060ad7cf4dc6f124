"""The miniature in a WebUI's folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.base.errors import FileError
from lib_dreambooth.models.tokenizer import clip_tokenizer
from lib_dreambooth.tools.mini import put_into_webui


@pytest.mark.parametrize("given", ["", "models"])
def test_the_checkpoint_lies_beside_a_yaml_that_names_an_absolute_folder(tmp_path: Path, given: str) -> None:
    webui = tmp_path / "stable diffusion ウェブ"
    (webui / "models" / "Stable-diffusion").mkdir(parents=True)
    installed = put_into_webui(webui / given)
    assert installed.checkpoint.parent == webui / "models" / "Stable-diffusion"
    assert installed.checkpoint.read_bytes() == MINI_CHECKPOINT.read_bytes()
    assert installed.config == installed.checkpoint.with_suffix(".yaml")
    named = f"version: '{installed.text_dir.resolve().as_posix()}'"
    assert named in installed.config.read_text(encoding="utf-8")


@pytest.mark.slow
def test_transformers_reads_the_folder(tmp_path: Path) -> None:
    from transformers import CLIPTextConfig, CLIPTokenizer

    (tmp_path / "Stable-diffusion").mkdir()
    folder = put_into_webui(tmp_path).text_dir
    text = "a red circle, on a blue background's 42"
    tokenizer = CLIPTokenizer.from_pretrained(str(folder))
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == clip_tokenizer()(text)
    config = CLIPTextConfig.from_pretrained(str(folder))
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (64, 4, 1)
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    assert len(vocabulary) == 49408


def test_another_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(FileError) as caught:
        put_into_webui(tmp_path)
    assert caught.value.code == "not-a-webui"
    assert list(tmp_path.iterdir()) == []
