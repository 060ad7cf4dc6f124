"""Every setting about words does something in a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lib_dreambooth.adapters.together import words_in
from lib_dreambooth.adapters.words import WORDS
from lib_dreambooth.formats.embedding import Embedding, write_embedding
from lib_dreambooth.formats.keymap import TEXT
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.training.trainer.ready import Ready
from lib_dreambooth.training.trainer.stepping import Stepper
from lib_dreambooth.training.trainer.texts import LiveTexts
from tests.data.drawn_files import save_gradient
from tests.training.test_preparing_settings import Kit

pytestmark = pytest.mark.usefixtures("quick")

ALONE: dict[str, Any] = {
    "network.kind": "none",
    "parts.unet.train": False,
    "parts.words.train": True,
    "parts.words.rate": 1e-2,
    "words": [{"name": "zwx", "vectors": 2, "start_as": "red"}],
    "length.train_for": "4 steps",
}
NAME = "words.zwx.text_encoder"


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    found = Kit(Path(), None).preparer({}).read()
    assert isinstance(found, LoadedModel)
    return found


@pytest.fixture
def kit(tmp_path: Path, model: LoadedModel) -> Iterator[Kit]:
    path = tmp_path / "pictures" / "0.png"
    save_gradient(path, 64, 64)
    path.with_suffix(".txt").write_text("a zwx, on a blue background", encoding="utf-8")
    kit = Kit(tmp_path, model)
    yield kit
    for ready in kit.made:
        ready.trained.eject()


def made(kit: Kit, word: dict[str, Any] | None = None, **changes: Any) -> Ready:
    [first] = ALONE["words"]
    named = {f"parts.words.{key}": value for key, value in changes.items()}
    return kit.encoded({**ALONE, "words": [first | (word or {})], **named})


def trained(ready: Ready, num_steps: int = 2) -> dict[int, Tensor]:
    """The word's rows after each number of steps."""
    stepper = Stepper(ready, lambda part: None)
    rows = {0: ready.trained.state()[NAME].clone()}
    for step in range(num_steps):
        [batch] = ready.dataset.plan.step(step)
        stepper.take(step, [ready.assembler.make(batch)])
        rows[step + 1] = ready.trained.state()[NAME].clone()
    return rows


def test_a_word_is_trained_alone(kit: Kit) -> None:
    ready = made(kit)
    assert [part.name for part in ready.parts] == [NAME]
    assert isinstance(ready.texts, LiveTexts) and "text_encoder" in ready.at_work()
    rows = trained(ready)
    # Adam's first step is the rate, whatever the gradient.
    assert float((rows[1] - rows[0]).abs().max()) == pytest.approx(1e-2, rel=1e-3)
    assert ready.optimizer.learning_rates() == {WORDS: pytest.approx(1e-2)}
    # Without words the same settings train nothing of them.
    assert words_in(kit.ready({"words": ALONE["words"]}).trained) is None


def test_its_rate(kit: Kit) -> None:
    rows = trained(made(kit, rate=3e-3), 1)
    assert float((rows[1] - rows[0]).abs().max()) == pytest.approx(3e-3, rel=1e-3)


@pytest.mark.slow
def test_when_it_moves(kit: Kit) -> None:
    rows = trained(made(kit, start="1 steps", stop="2 steps"), 3)
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[1], rows[2])
    assert torch.equal(rows[2], rows[3])


@pytest.mark.slow
def test_its_weight_decay(kit: Kit) -> None:
    """AdamW takes rate times decay off each number, before its own step."""
    plain, decayed = trained(made(kit), 1), trained(made(kit, weight_decay=5.0), 1)
    expected = plain[1] - 1e-2 * 5.0 * plain[0]
    torch.testing.assert_close(decayed[1], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_its_length_stays_below_the_bound(kit: Kit) -> None:
    ready = made(kit, rate=1.0, max_norm=1.2)
    table = ready.model.encoders[0].token_embedding.weight.detach()[:-2]
    bound = 1.2 * float(table.norm(dim=1).mean())
    for rows in trained(ready).values():
        assert float(rows.norm(dim=1).max()) <= bound
    assert float(ready.trained.norms()[WORDS]) == pytest.approx(1.2, rel=1e-4)
    free = trained(made(kit, rate=1.0, max_norm=0.0))
    assert float(free[2].norm(dim=1).max()) > 5 * bound


def test_how_many_vectors_and_what_they_start_as(kit: Kit) -> None:
    table = kit.model.encoders[0].token_embedding.weight.detach() if kit.model else torch.zeros(0)
    red, blue = (table[kit.model.tokenizer(word)[0]] for word in ("red", "blue"))  # type: ignore[union-attr]
    # The miniature's own colours are longer than most of its words.
    rows = made(kit, {"vectors": 3, "start_as": "red, blue"}, max_norm=0.0).trained.state()[NAME]
    assert rows.shape[0] == 3 and torch.equal(rows[0], red) and torch.equal(rows[1], blue)


def test_what_it_goes_on_from(kit: Kit, tmp_path: Path) -> None:
    given = 0.01 * torch.ones(2, kit.model.encoders[0].width)  # type: ignore[union-attr]
    write_embedding(tmp_path / "old.pt", Embedding("old", {TEXT: given}))
    rows = made(kit, {"start_from": str(tmp_path / "old.pt")}).trained.state()[NAME]
    assert torch.equal(rows, given)


def test_its_name_is_what_is_read_in_captions(kit: Kit) -> None:
    def states(ready: Ready, text: str) -> Tensor:
        with torch.no_grad():
            return ready.texts([text]).joined()

    wug = made(kit, {"name": "wug"})
    assert list(wug.model.words.vectors) == ["wug"]
    assert wug.dataset.captions_of_epoch(0) == ["wug, a zwx, on a blue background"]
    with_word = states(wug, "a wug")
    wug.trained.eject()
    zwx = made(kit)
    assert zwx.dataset.captions_of_epoch(0) == ["a zwx, on a blue background"]
    assert not torch.equal(states(zwx, "a wug"), with_word)


@pytest.mark.parametrize("template", ["object", "style", "file"])
def test_its_templates(kit: Kit, tmp_path: Path, template: str) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("[filewords], by [name]\n", encoding="utf-8")
    ready = made(kit, template=template, template_file=str(path))
    plan = ready.dataset.plan
    texts = {text for epoch in range(12) for text in ready.dataset.captions_of_epoch(epoch)}
    assert plan.steps_per_epoch == 1
    if template == "file":
        assert texts == {"a zwx, on a blue background, by zwx"}
    else:
        wanted = "a photo of zwx" if template == "object" else "a picture in the style of zwx"
        assert wanted in texts and len(texts) > 2 and all("zwx" in text for text in texts)


@pytest.mark.slow
def test_words_and_networks_each_have_their_rate(kit: Kit) -> None:
    changes = {"network.kind": "lora", "parts.unet.train": True, "parts.unet.rate": 1e-4}
    ready = kit.encoded({**ALONE, **changes, "parts.words.stop": "2 steps"})
    stepper = Stepper(ready, lambda part: None)
    seen = []
    for step in range(3):
        [batch] = ready.dataset.plan.step(step)
        stepper.take(step, [ready.assembler.make(batch)])
        seen.append(ready.optimizer.learning_rates())
    assert seen[0] == {"unet": pytest.approx(1e-4), WORDS: pytest.approx(1e-2)}
    assert seen[2] == {"unet": pytest.approx(1e-4), WORDS: 0.0}
    assert ready.trained.trained_roots() == {"unet"}
