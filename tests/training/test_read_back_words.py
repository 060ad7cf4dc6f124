"""Words that a run wrote, read again: they give the pictures that the run drew with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.formats.embedding import read_embedding
from lib_dreambooth.sampling.drawing import DrawJob, draw_to_folder
from lib_dreambooth.sampling.loras import LoraUse
from lib_dreambooth.training.export.result import ADAPTER, EMBEDDING
from tests.models.tiny import tiny_sdxl
from tests.training.made_runs import MadeRun, joined
from tests.training.made_words import ALONE, PAIRED
from tests.training.test_read_back import (
    DRAWN,
    MAX_LIKENESS_DB,
    MIN_PSNR_DB,
    NEGATIVE,
    NUM_STEPS,
    PROMPTS,
    SEED,
    Pictures,
    are_same,
    likeness,
    picture,
    previews_of,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick"), pytest.mark.once]
FAST: dict[str, Any] = {
    "parts": {"words": {"rate": 0.05}},
    "previews": {"prompts": DRAWN["previews"]["prompts"]},
}
KINDS = {
    "word": ALONE,
    "pair": joined(PAIRED, {"rates": {"learning_rate": 1e-2}}),
    "bundle": joined(PAIRED, {"rates": {"learning_rate": 1e-2}, "saving": {"words_as": "bundle"}}),
}


@dataclass(frozen=True)
class Made:
    """A run's files, and the pictures that it drew."""

    embeddings: tuple[Path, ...]
    loras: tuple[Path, ...]
    previews: Pictures


def made(root: Path, kind: str, base: Path = MINI_CHECKPOINT, **changes: Any) -> Made:
    run = MadeRun(root, joined(KINDS[kind], DRAWN, FAST, changes), num_pictures=4, base=base)
    results = run.run().results
    assert not run.warnings()
    found = {kind: tuple(one.path for one in results if one.kind == kind) for kind in (EMBEDDING, ADAPTER)}
    assert [path.stem for path in found[EMBEDDING]] == ([] if kind == "bundle" else ["zwx"])
    assert len(found[ADAPTER]) == (kind != "word")
    return Made(found[EMBEDDING], found[ADAPTER], previews_of(run, NUM_STEPS))


def drawn(found: Made, folder: Path, base: Path = MINI_CHECKPOINT) -> Pictures:
    job = DrawJob(
        base,
        PROMPTS,
        tuple(LoraUse(path) for path in found.loras),
        embeddings=found.embeddings,
        negative=NEGATIVE,
        steps=6,
        guidance=4.0,
        size_wh=(64, 64),
        seed=SEED,
        batch_size=2,
    )
    return [picture(path) for path in draw_to_folder(job, folder)]


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_files_give_the_preview(kind: str, tmp_path: Path) -> None:
    found = made(tmp_path, kind)
    assert are_same(drawn(found, tmp_path / "read back"), found.previews)
    base = drawn(Made((), (), found.previews), tmp_path / "base")
    assert likeness(base[:1], found.previews[:1]) < MAX_LIKENESS_DB
    if kind == "word":
        # The second prompt does not say the word.
        assert are_same(base[1:], found.previews[1:])


@pytest.mark.parametrize("kind", list(KINDS))
def test_half_precision_is_close(kind: str, tmp_path: Path) -> None:
    form = {"precision": "fp16", "embedding_format": "pt"}
    found = made(tmp_path, kind, saving={**form, **({"words_as": "bundle"} if kind == "bundle" else {})})
    assert all(path.suffix == ".pt" for path in found.embeddings)
    assert likeness(drawn(found, tmp_path / "read back"), found.previews) >= MIN_PSNR_DB


@pytest.mark.parametrize("kind", list(KINDS))
def test_two_encoders(kind: str, tmp_path: Path) -> None:
    """SDXL: vectors for both encoders in one file."""
    base = tiny_sdxl(tmp_path)
    found = made(tmp_path, kind, base)
    assert are_same(drawn(found, tmp_path / "read back", base), found.previews)
    for path in found.embeddings:
        assert set(read_embedding(path).vectors) == {"text_encoder", "text_encoder_2"}
