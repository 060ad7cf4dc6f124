"""What was trained here, drawn by a running WebUI: the same pictures as our previews.

Start the WebUI with `--api --no-half`, run `python run.py mini --into WEBUI`, then
`WEBUI_URL=http://127.0.0.1:7860 WEBUI_MODELS=WEBUI/models python run.py test tests/hosts`.
Files are put into folders of their own below its Lora and Stable-diffusion, and removed afterwards.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_dreambooth.jobs.training import TrainingJob
from lib_dreambooth.sampling.loras import LoraUse
from lib_dreambooth.sampling.picture_settings import SAMPLERS, PictureSettings
from lib_dreambooth.tools.mini import MODEL_NAME
from lib_dreambooth.training.export.places import Folders
from lib_dreambooth.training.export.result import ADAPTER, Result
from tests.hosts import webui
from tests.training.made_runs import MadeRun, joined

pytestmark = pytest.mark.skipif(
    not (webui.WEBUI_URL and webui.WEBUI_MODELS), reason="needs WEBUI_URL and WEBUI_MODELS of a running WebUI"
)

MIN_PSNR_DB = 45.0
MIN_GAIN_DB = 15.0
FOLDER = "dreambooth-trained-test"
SIDE, STEPS, GUIDANCE, NEGATIVE = 128, 20, 4.0, "a green star"
TRIGGER, WEIGHT = "a zwx", 0.75


@dataclass(frozen=True)
class Picture:
    """One picture to draw here and there."""

    prompt: str
    seed: int
    sampler: str

    @property
    def line(self) -> str:
        """As a preview prompt."""
        return f"{self.prompt} --d {self.seed} --ss {self.sampler.replace(' ', '_')}"


PICTURES = tuple(
    Picture(prompt, seed, sampler)
    for sampler in ("euler", "euler a")
    for seed, prompt in enumerate(
        ("a zwx on a red background", "a (blue:1.2) circle on a [white] background"), start=33
    )
)
SHARED: dict[str, Any] = {
    "pictures": {"resolution": SIDE},
    "length": {"train_for": "30 steps"},
    "metadata": {"trigger": TRIGGER, "weight": WEIGHT, "negative_text": "a circle"},
    "saving": {"precision": "fp16", "at_end": ["result"]},
    "previews": {
        "at_end": True,
        "prompts": [picture.line for picture in PICTURES],
        "negative": NEGATIVE,
        "steps": STEPS,
        "guidance": GUIDANCE,
        "size": str(SIDE),
    },
}
FAST: dict[str, Any] = {"rates": {"learning_rate": 5e-3}, "parts": {"text_encoder_1": {"rate": 2e-3}}}
# A1111 multiplies parts of LyCORIS' kinds in the file's own precision, and torch 2.1 has no half on a CPU.
WIDE: dict[str, Any] = joined(FAST, {"saving": {"precision": "fp32"}})
SLOW: dict[str, Any] = {"rates": {"learning_rate": 4e-4}, "parts": {"text_encoder_1": {"rate": 2e-4}}}
CONV = {"conv_rank": 3, "conv_alpha": 1.0}
KINDS: dict[str, dict[str, Any]] = {
    "LoRA": joined(FAST, {"network": {"rank": 4, "alpha": 3.0}}),
    "LoCon": joined(FAST, {"network": {"rank": 4, "alpha": 3.0, **CONV}}),
    "LoHa": joined(WIDE, {"network": {"kind": "loha", "rank": 4, "alpha": 3.0}}),
    "LoHa, Tucker": joined(
        WIDE, {"network": {"kind": "loha", "rank": 4, "alpha": 3.0, **CONV, "tucker": True, "scalar": True}}
    ),
    "LoKr": joined(WIDE, {"network": {"kind": "lokr", "rank": 2, "alpha": 1.5, "conv_rank": 2}}),
    "LoKr, both": joined(
        WIDE, {"network": {"kind": "lokr", "rank": 2, "alpha": 1.5, "factor": 8, "decompose_both": True}}
    ),
    "LoKr, whole": joined(WIDE, {"network": {"kind": "lokr", "rank": 512}}),
    "(IA)3": joined(FAST, {"network": {"kind": "ia3"}}),
    "DoRA": joined(FAST, {"network": {"rank": 4, "alpha": 3.0, **CONV, "decompose": True}}),
    "DoRA LoHa": joined(WIDE, {"network": {"kind": "loha", "rank": 4, "alpha": 3.0, "decompose": True}}),
    "OFT": joined(WIDE, {"network": {"kind": "oft", "rank": 8}}),
    "OFT, bound": joined(WIDE, {"network": {"kind": "oft", "rank": 8, "constraint": 1e-2, "rescaled": True}}),
    "GLoRA": joined(WIDE, {"network": {"kind": "glora", "rank": 4, "alpha": 3.0, **CONV}}),
    "full, norms": joined(SLOW, {"network": {"kind": "full", "train_norms": True}}),
    "checkpoint": {
        "network": {"kind": "none"},
        "rates": {"learning_rate": 2e-4},
        "parts": {"text_encoder_1": {"rate": 1e-4}},
    },
}


@dataclass(frozen=True)
class Row:
    """One picture: how it agrees with our preview, and how much is to be seen of the training."""

    kind: str
    picture: Picture
    psnr_db: float
    without_db: float

    @property
    def is_good(self) -> bool:
        return self.psnr_db >= MIN_PSNR_DB and self.psnr_db >= self.without_db + MIN_GAIN_DB

    def text(self) -> str:
        numbers = f"{self.psnr_db:8.1f} dB | {self.without_db:7.1f} dB"
        return f"| {self.kind:12} | {self.picture.sampler:7} | {self.picture.prompt:43} | {numbers} |"


@dataclass
class Table:
    """Everything measured; printed with the commit that it was measured at."""

    rows: list[Row] = field(default_factory=list)

    def text(self) -> str:
        names = f"| {'trained':12} | sampler | {'prompt':43} | our preview | without it |"
        return "\n".join(
            [f"commit {commit()}", "", names, "|---" * 5 + "|", *(row.text() for row in self.rows)]
        )


def commit() -> str:
    """The commit that is checked out; empty outside of a clone."""
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return done.stdout.strip()


@dataclass(frozen=True)
class Trained:
    """A run's file, and its last previews as they are on the disk."""

    result: Result
    previews: list[Path]


@pytest.fixture(scope="module")
def folders() -> Iterator[Folders]:
    """Folders of our own in the WebUI's, gone afterwards; its own checkpoint is chosen again before."""
    models = Path(webui.WEBUI_MODELS).resolve()
    made = {kind: models / kind / FOLDER for kind in ("Lora", "Stable-diffusion")}
    try:
        yield Folders(made["Lora"], made["Stable-diffusion"], models / FOLDER, models / FOLDER)
    finally:
        webui.select_checkpoint(MODEL_NAME)
        for folder in made.values():
            shutil.rmtree(folder, ignore_errors=True)
        refresh()


@pytest.fixture(scope="module")
def train(folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """Trains each kind once, on the WebUI's own checkpoint; the WebUI is told of the file."""
    base = Path(webui.WEBUI_MODELS) / "Stable-diffusion" / f"{MODEL_NAME}.safetensors"
    noise_source = str(webui.call("/sdapi/v1/options").get("randn_source", "GPU"))

    @cache
    def trained(kind: str) -> Trained:
        run = MadeRun(tmp_path_factory.mktemp(kind), joined(SHARED, KINDS[kind]), base=base)
        host_pictures = PictureSettings(noise_source=noise_source)
        ended = run.carried(TrainingJob(run.folder, run.sourced, folders, host_pictures=host_pictures))
        previews = sorted(run.folder.samples_dir.glob("*.png"))
        assert len(previews) == len(PICTURES)
        refresh()
        return Trained(ended.results[-1], previews)

    return trained


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    found = Table()
    yield found
    print("\n" + found.text())


def refresh() -> None:
    for kind in ("loras", "checkpoints"):
        webui.call(f"/sdapi/v1/refresh-{kind}", {})


def theirs(picture: Picture, tag: str = "") -> np.ndarray:
    """The WebUI's picture."""
    known = SAMPLERS[picture.sampler]
    return webui.txt2img(
        prompt=picture.prompt + tag,
        negative_prompt=NEGATIVE,
        seed=picture.seed,
        steps=STEPS,
        cfg_scale=GUIDANCE,
        width=SIDE,
        height=SIDE,
        sampler_name=known.title,
        scheduler=known.schedule_title,
    )[-1]


def ours(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_webui_draws_our_preview(kind: str, train: Callable[[str], Trained], table: Table) -> None:
    found = train(kind)
    webui.select_checkpoint(MODEL_NAME)
    without = [theirs(picture) for picture in PICTURES]
    tag = ""
    if found.result.kind == ADAPTER:
        tag = LoraUse(found.result.path).tag
    else:
        path = found.result.path
        webui.select_checkpoint(f"{FOLDER}_{path.parent.name}_{path.stem}")
    rows = []
    for picture, plain, preview in zip(PICTURES, without, found.previews, strict=True):
        drawn = theirs(picture, tag)
        rows.append(Row(kind, picture, webui.psnr(drawn, ours(preview)), webui.psnr(drawn, plain)))
    table.rows += rows
    assert all(row.is_good for row in rows), [row.text() for row in rows]


def test_the_webui_shows_the_card(train: Callable[[str], Trained]) -> None:
    """What a click on it puts into the prompt, and its picture."""
    found = train("LoRA")
    stem = found.result.path.stem
    query = f"page=lora&tabname=txt2img&name={stem}"
    card = html.unescape(webui.call(f"/sd_extra_networks/get-single-card?{query}")["html"])
    # The words as JavaScript puts them together: prompt and negative prompt.
    clicked = f'"<lora:{stem}:" + {WEIGHT} + ">" + " {TRIGGER}", '
    # A Forge takes the negative text as it is.
    assert f'{clicked}"(a circle:1)"' in card or f'{clicked}"a circle"' in card
    shown = re.search(r'<img src="\./([^"]+)" class="preview"', card)
    assert shown is not None, card
    with urllib.request.urlopen(f"{webui.WEBUI_URL}/{shown[1]}", timeout=webui.TIMEOUT_S) as answer:
        assert answer.read() == found.previews[0].read_bytes()


def test_the_webui_knows_what_it_was_trained_on(train: Callable[[str], Trained]) -> None:
    path = train("LoRA").result.path
    (listed,) = [lora for lora in webui.call("/sdapi/v1/loras") if Path(lora["path"]).resolve() == path]
    assert (listed["name"], listed["alias"]) == (path.stem, path.stem)
    assert listed["metadata"]["ss_base_model_version"] == "sd_v1"
    # One of the names that its editor of cards offers.
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["sd version"] == "SD1"
