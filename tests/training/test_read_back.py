"""Files that a run wrote, read again: they give the pictures that the run drew with what it trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.formats.checkpoint import identify
from lib_dreambooth.sampling.drawing import DrawJob, draw_to_folder
from lib_dreambooth.sampling.loras import LoraUse
from tests.hosts.webui import psnr
from tests.models.tiny import tiny_sdxl
from tests.training.made_runs import MadeRun, joined

pytestmark = [pytest.mark.slow, pytest.mark.once]

NUM_STEPS = 4
MIN_PSNR_DB = 45.0
# A picture that is as far from the base's as this has learnt enough for a difference to show.
MAX_LIKENESS_DB = 25.0
PROMPTS = ("a zwx on a red background", "a (blue:1.2) circle on a [white] background")
SEED, NEGATIVE = 33, "a green star"
DRAWN: dict[str, Any] = {
    "length": {"train_for": f"{NUM_STEPS} steps"},
    "previews": {
        "at_end": True,
        "prompts": [f"{prompt} --d {SEED + number}" for number, prompt in enumerate(PROMPTS)],
        "negative": NEGATIVE,
        "steps": 6,
        "guidance": 4.0,
        "batch_size": 2,
    },
}
FAST: dict[str, Any] = {"rates": {"learning_rate": 2e-2}, "parts": {"text_encoder_1": {"rate": 1e-2}}}
KINDS: dict[str, dict[str, Any]] = {
    "lora": joined(FAST, {"network": {"rank": 4, "alpha": 3.0, "dropout": 0.1}}),
    "locon": joined(
        FAST,
        {"network": {"rank": 4, "alpha": 3.0, "conv_rank": 3, "conv_alpha": 1.0, "rank_stabilised": True}},
    ),
    **{
        name: joined(FAST, {"network": {"rank": 4, "alpha": 3.0, **network}})
        for name, network in {
            "loha": {"kind": "loha", "conv_rank": 3, "tucker": True, "scalar": True},
            "lokr": {"kind": "lokr", "decompose_both": True, "conv_rank": 2},
            "ia3": {"kind": "ia3"},
            "dora": {"decompose": True, "conv_rank": 3},
            "oft": {"kind": "oft", "constraint": 0.02, "rescaled": True},
            "glora": {"kind": "glora", "conv_rank": 3},
            "full": {"kind": "full", "train_norms": True},
        }.items()
    },
    "whole": {
        "network": {"kind": "none"},
        "rates": {"learning_rate": 1e-3},
        "parts": {"text_encoder_1": {"rate": 1e-3}},
        "ema": {"use": True, "save": "both", "preview": "both"},
    },
}
Pictures = Sequence[np.ndarray]


# Other things that a file says of itself, and that change how it is drawn.
SAYING: dict[str, dict[str, Any]] = {
    "velocity": {"model": {"prediction": "velocity"}},
    "picture": {"model": {"prediction": "sample"}},
    "zero terminal": {"model": {"prediction": "velocity"}, "noise": {"zero_terminal": "on"}},
}


@dataclass(frozen=True)
class Trained:
    """A run's last files, and the pictures that it drew, by what they are of: "", or "ema"."""

    kind: str
    files: dict[str, Path]
    previews: dict[str, Pictures]


def trained(
    root: Path,
    kind: str,
    precision: str,
    changes: dict[str, Any] | None = None,
    base: Path = MINI_CHECKPOINT,
) -> Trained:
    values = joined(KINDS[kind], DRAWN, {"saving": {"precision": precision}}, changes or {})
    run = MadeRun(root, values, num_pictures=4, base=base)
    run.run()
    assert not run.warnings()
    labels = ("", "ema") if kind == "whole" else ("",)
    return Trained(
        kind,
        {
            label: next(path for path in run.files() if ("ema" in path.name) == bool(label))
            for label in labels
        },
        {label: previews_of(run, NUM_STEPS, label) for label in labels},
    )


def previews_of(run: MadeRun, step: int, label: str = "") -> Pictures:
    name = f"step-{step:08d}" + (f"-{label}" if label else "")
    paths = sorted(run.folder.samples_dir.glob(f"{name}-0?-*.png"))
    assert len(paths) == len(PROMPTS)
    return [picture(path) for path in paths]


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


def drawn(
    folder: Path, base: Path = MINI_CHECKPOINT, lora: Path | None = None, strength: float = 1.0
) -> Pictures:
    """What a user draws with the files, asking for the same as the run's previews."""
    job = DrawJob(
        base,
        PROMPTS,
        (LoraUse(lora, strength),) if lora else (),
        negative=NEGATIVE,
        steps=6,
        guidance=4.0,
        size_wh=(64, 64),
        seed=SEED,
        batch_size=2,
    )
    return [picture(path) for path in draw_to_folder(job, folder)]


def read_back(found: Trained, label: str, folder: Path) -> Pictures:
    path = found.files[label]
    return drawn(folder, path) if found.kind == "whole" else drawn(folder, lora=path)


def likeness(some: Pictures, others: Pictures) -> float:
    """Of the pictures that differ most, in dB."""
    return min(psnr(one, other) for one, other in zip(some, others, strict=True))


def distance(some: Pictures, others: Pictures) -> float:
    return float(np.mean([np.abs(a.astype(float) - b) for a, b in zip(some, others, strict=True)]))


def are_same(some: Pictures, others: Pictures) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(some, others, strict=True))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    return drawn(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def lora_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lora")


@pytest.fixture(scope="module")
def lora(lora_root: Path) -> Trained:
    """It is drawn before it has learnt anything too."""
    return trained(lora_root, "lora", "fp32", {"previews": {"at_start": True}})


@pytest.fixture(scope="module")
def lora_pictures(lora: Trained, tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    return read_back(lora, "", tmp_path_factory.mktemp("read back"))


def test_a_lora_gives_the_preview(lora: Trained, lora_pictures: Pictures, base: Pictures) -> None:
    assert are_same(lora_pictures, lora.previews[""])
    assert likeness(lora_pictures, base) < MAX_LIKENESS_DB


def test_at_strength_0_it_is_the_base(lora: Trained, lora_root: Path, base: Pictures, tmp_path: Path) -> None:
    assert are_same(drawn(tmp_path, lora=lora.files[""], strength=0.0), base)
    # A new network changes nothing yet either, and neither does how a run reads its base.
    assert are_same(previews_of(MadeRun(lora_root, {}), 0), base)


def test_half_of_it_lies_between(
    lora: Trained, lora_pictures: Pictures, base: Pictures, tmp_path: Path
) -> None:
    half = drawn(tmp_path, lora=lora.files[""], strength=0.5)
    whole_way = distance(lora_pictures, base)
    assert 0.05 * whole_way < distance(half, base) < 0.95 * whole_way
    assert 0.05 * whole_way < distance(half, lora_pictures) < 0.95 * whole_way


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "lora"])
def test_other_kinds_give_the_preview(kind: str, base: Pictures, tmp_path: Path) -> None:
    found = trained(tmp_path, kind, "fp32")
    for label, previews in found.previews.items():
        pictures = read_back(found, label, tmp_path / f"read back {label}")
        assert are_same(pictures, previews), label
        assert likeness(pictures, base) < MAX_LIKENESS_DB
    if kind == "whole":
        assert likeness(found.previews[""], found.previews["ema"]) < MAX_LIKENESS_DB


@pytest.mark.parametrize("saying", list(SAYING))
def test_a_checkpoint_says_how_it_is_drawn(saying: str, tmp_path: Path) -> None:
    """An XL model, which has marks for velocity and the schedule; the base itself says nothing."""
    base = tiny_sdxl(tmp_path)
    found = trained(tmp_path, "whole", "fp32", SAYING[saying], base)
    kind = identify(found.files[""])
    expected = "sample" if saying == "picture" else "v"
    assert (kind.prediction, kind.is_zero_terminal) == (expected, saying == "zero terminal")
    for label, previews in found.previews.items():
        assert are_same(read_back(found, label, tmp_path / f"read back {label}"), previews), label


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_an_xl_lora_gives_the_preview(dtype: torch.dtype, tmp_path: Path) -> None:
    base = tiny_sdxl(tmp_path, dtype=dtype)
    found = trained(tmp_path, "lora", "fp32", {"parts": {"text_encoder_2": {"rate": 1e-2}}}, base)
    assert are_same(drawn(tmp_path / "read back", base, found.files[""]), found.previews[""])


@pytest.mark.parametrize("kind", list(KINDS))
def test_half_precision_is_close_to_the_preview(kind: str, tmp_path: Path) -> None:
    found = trained(tmp_path, kind, "fp16")
    for label, previews in found.previews.items():
        pictures = read_back(found, label, tmp_path / f"read back {label}")
        assert likeness(pictures, previews) >= MIN_PSNR_DB


def test_a_weaker_preview_and_a_merged_checkpoint(tmp_path: Path) -> None:
    """`previews.strength` is the strength in prompts; merging rounds, and changes no more than that."""
    changes = {"previews": {"strength": 0.5}, "saving": {"at_end": ["result", "checkpoint"]}}
    found = trained(tmp_path, "lora", "fp32", changes)
    path = found.files[""]
    assert are_same(drawn(tmp_path / "weaker", lora=path, strength=0.5), found.previews[""])
    merged = next((tmp_path / "models" / "Stable-diffusion").rglob("*.safetensors"))
    pictures = drawn(tmp_path / "merged", merged)
    assert likeness(pictures, drawn(tmp_path / "beside", lora=path)) >= MIN_PSNR_DB
