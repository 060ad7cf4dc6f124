"""Words that were trained here, drawn by a running WebUI: the same pictures as our previews.

Start the WebUI with `--api --no-half`, run `python run.py mini --into WEBUI`, then
`WEBUI_URL=http://127.0.0.1:7860 WEBUI_MODELS=WEBUI/models python run.py test tests/hosts`.
Files are put into folders of their own below its Lora and embeddings, and removed afterwards.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth.jobs.training import TrainingJob
from lib_dreambooth.sampling.loras import LoraUse
from lib_dreambooth.sampling.picture_settings import PictureSettings
from lib_dreambooth.tools.mini import MODEL_NAME
from lib_dreambooth.training.export.places import Folders
from lib_dreambooth.training.export.result import ADAPTER, EMBEDDING
from tests.hosts import webui
from tests.hosts.test_trained import NEGATIVE, SHARED, Picture, Row, Table, ours, theirs
from tests.training.made_runs import MadeRun, joined
from tests.training.made_words import ALONE, PAIRED

pytestmark = pytest.mark.skipif(
    not (webui.WEBUI_URL and webui.WEBUI_MODELS), reason="needs WEBUI_URL and WEBUI_MODELS of a running WebUI"
)

FOLDER = "dreambooth-words-test"
# Each kind has a word of its own, so that no file meets another's.
PICTURES = tuple(
    Picture(prompt, seed, sampler)
    for sampler in ("euler", "euler a")
    for seed, prompt in enumerate(
        ("a WORD on a red background", "a (WORD:1.2), [a white] background"), start=33
    )
)
FAST: dict[str, Any] = {"parts": {"words": {"rate": 0.05, "max_norm": 3.0}}}
BESIDE: dict[str, Any] = joined(
    PAIRED, FAST, {"rates": {"learning_rate": 5e-3}, "parts": {"text_encoder_1": {"rate": 2e-3}}}
)
KINDS: dict[str, dict[str, Any]] = {
    "word": joined(ALONE, FAST),
    "pair": BESIDE,
    "bundle": joined(BESIDE, {"saving": {"words_as": "bundle"}}),
}


class Trained:
    """A run's files, how prompts ask for them, and its previews as they are on the disk."""

    def __init__(self, kind: str, folders: Folders, root: Path, noise_source: str) -> None:
        self.word = f"zwx{kind}"
        lines = [named(picture, self.word).line for picture in PICTURES]
        own = {
            "words": [{"name": self.word, "vectors": 3, "start_as": "purple ring"}],
            "metadata": {"trigger": f"a {self.word}", "negative_text": NEGATIVE},
            "previews": {"prompts": lines},
        }
        base = Path(webui.WEBUI_MODELS) / "Stable-diffusion" / f"{MODEL_NAME}.safetensors"
        run = MadeRun(root, joined(SHARED, KINDS[kind], own), base=base)
        pictures = PictureSettings(noise_source=noise_source)
        self.results = run.carried(
            TrainingJob(run.folder, run.sourced, folders, host_pictures=pictures)
        ).results
        self.previews = sorted(run.folder.samples_dir.glob("*.png"))
        assert len(self.previews) == len(PICTURES)

    def path(self, kind: str) -> Path | None:
        return next((result.path for result in self.results if result.kind == kind), None)

    @property
    def tag(self) -> str:
        """What a prompt says beside the word."""
        path = self.path(ADAPTER)
        return "" if path is None else LoraUse(path).tag


def named(picture: Picture, word: str) -> Picture:
    return Picture(picture.prompt.replace("WORD", word), picture.seed, picture.sampler)


@pytest.fixture(scope="module")
def folders() -> Iterator[Folders]:
    """Folders of our own in the WebUI's, gone afterwards."""
    models = Path(webui.WEBUI_MODELS).resolve()
    lora, embeddings = models / "Lora" / FOLDER, models.parent / "embeddings" / FOLDER
    try:
        yield Folders(lora, models / FOLDER, models / FOLDER, embeddings)
    finally:
        shutil.rmtree(lora, ignore_errors=True)
        shutil.rmtree(embeddings, ignore_errors=True)
        refresh()


@pytest.fixture(scope="module")
def train(folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """Trains each kind once; the WebUI is told of the files by whoever draws with them."""
    noise_source = str(webui.call("/sdapi/v1/options").get("randn_source", "GPU"))

    @cache
    def trained(kind: str) -> Trained:
        return Trained(kind, folders, tmp_path_factory.mktemp(kind), noise_source)

    return trained


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    found = Table()
    yield found
    print("\n" + found.text())


def refresh() -> None:
    for kind in ("loras", "embeddings"):
        webui.call(f"/sdapi/v1/refresh-{kind}", {})


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_webui_draws_our_preview(kind: str, train: Callable[[str], Trained], table: Table) -> None:
    webui.select_checkpoint(MODEL_NAME)
    pictures = [named(picture, f"zwx{kind}") for picture in PICTURES]
    # Before the files are there: the model reads the name as any other text.
    without = [theirs(picture) for picture in pictures]
    found = train(kind)
    refresh()
    rows = []
    for picture, plain, preview in zip(pictures, without, found.previews, strict=True):
        drawn = theirs(picture, found.tag)
        rows.append(Row(kind, picture, webui.psnr(drawn, ours(preview)), webui.psnr(drawn, plain)))
    table.rows += rows
    assert all(row.is_good for row in rows), [row.text() for row in rows]


def test_the_webui_lists_the_words(train: Callable[[str], Trained]) -> None:
    """Files of embeddings by their names; a bundled word only while its LoRA is used."""
    pair, bundle = train("pair"), train("bundle")
    refresh()
    loaded = webui.call("/sdapi/v1/embeddings")["loaded"]
    assert loaded[pair.word]["vectors"] == 3 and bundle.word not in loaded
    path = pair.path(EMBEDDING)
    assert path is not None and path.stem == pair.word and bundle.path(EMBEDDING) is None


def test_the_card_says_the_word(train: Callable[[str], Trained]) -> None:
    for kind in ("pair", "bundle"):
        found = train(kind)
        path = found.path(ADAPTER)
        assert path is not None
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        assert card["activation text"] == f"a {found.word}"
