"""Every setting about how a run is prepared, and how its steps are taken, does something."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_dreambooth import settings
from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.data.cache.stores import DiskStore
from lib_dreambooth.jobs.completing import complete
from lib_dreambooth.jobs.training import TrainingJob
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.runs.commands import CommandBox
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.precision.attention import attention
from lib_dreambooth.training.precision.checkpointing import units
from lib_dreambooth.training.precision.devices import choose_device
from lib_dreambooth.training.trainer import epochs, preparing
from lib_dreambooth.training.trainer import trainer as trainer_module
from lib_dreambooth.training.trainer.control import Control
from lib_dreambooth.training.trainer.preparing import Preparer, Rooms
from lib_dreambooth.training.trainer.ready import Ready
from lib_dreambooth.training.trainer.stepping import Stepper
from lib_dreambooth.training.trainer.taking import AS_SET
from lib_dreambooth.training.trainer.trainer import Trainer
from tests.data.drawn_files import save_gradient
from tests.training.made_runs import MadeRun

pytestmark = pytest.mark.usefixtures("quick")

CPU, CARD = torch.device("cpu"), torch.device("cuda")
BASE: dict[str, Any] = {
    "model.base": str(MINI_CHECKPOINT),
    "pictures.resolution": "64x64",
    "length.batch_size": 1,
    "network.rank": 1,
    "parts.text_encoder_1.train": False,
    "draws.seed": 3,
}
DISK = {"memory.cache_latents": "disk"}


class Kit:
    """A few pictures, the miniature read once, and caches that last for one test."""

    def __init__(self, root: Path, model: LoadedModel | None) -> None:
        self.root = root
        self.model = model
        self.control = Control(CommandBox(), lambda event: None)
        self.made: list[Ready] = []

    def run(self, changes: dict[str, Any]) -> Run:
        given = {**BASE, "concepts.0.folder": str(self.root / "pictures"), **changes}
        return complete(settings.review_changes(given).sourced).run

    def preparer(self, changes: dict[str, Any]) -> Preparer:
        rooms = Rooms(self.root / "cache", self.root / "classes")
        return Preparer(self.run(changes), CPU, rooms, self.control, lambda event: None)

    def ready(self, changes: dict[str, Any]) -> Ready:
        preparer = self.preparer(changes)
        assert self.model is not None
        preparer.arithmetic = preparing.resolve(preparer.run.precision, preparing.ability_of(CPU))
        self.made.append(preparer.ready(preparer.materials(self.model, preparer.scan())))
        return self.made[-1]

    def encoded(self, changes: dict[str, Any]) -> Ready:
        ready = self.ready(changes)
        epochs.encode_epoch(ready, 0, self.control, lambda name, done, total: None)
        return ready


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    found = Kit(Path(), None).preparer({}).read()
    assert isinstance(found, LoadedModel)
    return found


@pytest.fixture
def kit(tmp_path: Path, model: LoadedModel) -> Iterator[Kit]:
    for number, caption in enumerate(("zwx", "zwx on a blue background")):
        path = tmp_path / "pictures" / f"{number}.png"
        save_gradient(path, 64 + 8 * number, 64)
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    kit = Kit(tmp_path, model)
    yield kit
    for ready in kit.made:
        ready.trained.eject()


def different(look: Callable[[dict[str, Any]], Any], beside: dict[str, Any], path: str, value: Any) -> None:
    before, after = look(beside), look({**beside, path: value})
    assert before != after


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model.base", "other.safetensors"),
        ("model.family", "sdxl"),
        ("model.vae", "other.vae.pt"),
        ("model.ema_weights", True),
    ],
)
def test_the_model_is_read_as_said(kit: Kit, monkeypatch: pytest.MonkeyPatch, path: str, value: Any) -> None:
    class Read(Exception):
        pass

    def read(*given: Any, **named: Any) -> LoadedModel:
        raise Read(given, named)

    monkeypatch.setattr(preparing, "read_model", read)

    def look(changes: dict[str, Any]) -> Any:
        preparer = kit.preparer({})
        preparer.run = settings.replace(preparer.run, changes)
        with pytest.raises(Read) as caught:
            preparer.read()
        return caught.value.args

    different(look, {}, path, value)


@pytest.mark.parametrize("value", ["off", "memory", "disk"])
def test_latents_are_kept_where_wanted(kit: Kit, value: str) -> None:
    latents = kit.encoded({"memory.cache_latents": value}).latents
    assert (value == "off") == (latents is None)
    if latents is not None:
        assert isinstance(latents.store, DiskStore) == (value == "disk")
        assert bool(list((kit.root / "cache").glob("latents/*"))) == (value == "disk")


@pytest.mark.parametrize("value", ["off", "memory", "disk"])
def test_texts_are_kept_where_wanted(kit: Kit, value: str) -> None:
    ready = kit.encoded({"memory.cache_text": value})
    assert hasattr(ready.texts, "cache") == (value != "off")
    assert bool(list((kit.root / "cache").glob("texts/*"))) == (value == "disk")


def test_a_frozen_draw_is_the_same_at_every_visit(kit: Kit) -> None:
    def draws(value: str) -> list[torch.Tensor]:
        ready = kit.encoded({"memory.latent_draw": value})
        item = ready.dataset.items[0].id
        steps = ready.dataset.plan.steps(0, 2 * ready.dataset.plan.steps_per_epoch)
        made = [ready.assembler.make(batch) for step in steps for batch in step]
        return [one.latents for one in made if one.latents is not None and one.plan.visits[0].item.id == item]

    assert torch.equal(*draws("frozen"))
    assert not torch.equal(*draws("fresh"))


def test_a_trusted_cache_is_not_compared(kit: Kit) -> None:
    kit.encoded(DISK)
    [file] = (kit.root / "cache" / "latents").glob("*.safetensors")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    damaged = file.read_bytes()
    kit.encoded({**DISK, "memory.trust_cache": True})
    assert file.read_bytes() == damaged
    ready = kit.encoded(DISK)
    assert sum(path.stat().st_size for path in file.parent.iterdir()) > len(damaged)
    assert ready.latents is not None
    assert all(ready.latents.store.read(name) is not None for name in ready.latents.names())


def test_caches_stay_below_their_limit(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "BYTES_IN_GB", 1e5)
    folder = kit.root / "cache" / "latents"
    kit.encoded(DISK)
    [first] = folder.glob("*.safetensors")
    kit.encoded({**DISK, "pictures.resolution": "128x128"})
    assert first.exists()
    [other] = set(folder.glob("*.safetensors")) - {first}
    # What is needed stays, however small the limit.
    kit.encoded({**DISK, "memory.cache_limit": 0.1})
    assert list(folder.glob("*.safetensors")) == [first]
    assert not other.exists()


def test_pictures_are_encoded_in_groups_of_the_size_set(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        save_gradient(kit.root / "pictures" / f"more{number}.png", 64, 70 + number)
    made = epochs.latent_encoder

    def groups(size: int) -> list[int]:
        counts: list[int] = []

        def counting(model: LoadedModel, *more: Any, **others: Any) -> Any:
            encode = made(model, *more, **others)
            return lambda pixels: counts.append(len(pixels)) or encode(pixels)  # type: ignore[func-returns-value]

        monkeypatch.setattr(epochs, "latent_encoder", counting)
        kit.encoded({"memory.vae_batch": size, "memory.cache_latents": "memory"})
        return counts

    assert groups(0) == [1] * 8
    assert 1 < max(found := groups(4)) <= 4
    assert sum(found) == 8


@pytest.mark.parametrize("mode", ["off", "memory"])
def test_without_padding_a_batch_is_as_long_as_its_longest_caption(kit: Kit, mode: str) -> None:
    found = {}
    for pad in (True, False):
        ready = kit.encoded({"captions.pad": pad, "memory.cache_text": mode})
        captions = ready.dataset.captions_of_epoch(0)
        with torch.no_grad():
            found[pad] = ready.texts(captions).joined()
    assert found[True].shape[1] == 77
    length = found[False].shape[1]
    assert length < 12
    assert torch.equal(found[True][:, :length], found[False])


def test_parts_leave_the_card_or_stay(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    moves: list[tuple[Any, ...]] = []
    monkeypatch.setattr(LoadedModel, "to", lambda self, *given: moves.append(given[:2]))
    kit.encoded({"memory.unload": "on"})
    assert ("vae", "cpu") in moves
    moves.clear()
    kit.encoded({"memory.unload": "off"})
    assert ("vae", "cpu") not in moves


def test_convolutions_may_lie_in_another_order(kit: Kit) -> None:
    def strides(changes: dict[str, Any]) -> Any:
        return kit.preparer(changes).read().unet.conv_in.weight.stride()

    different(strides, {}, "memory.channels_last", "on")


def test_attention_and_checkpointing(kit: Kit, model: LoadedModel) -> None:
    def kinds(changes: dict[str, Any]) -> Any:
        with attention(model.unet, kit.run(changes).memory.attention):
            return {one.kind for one in model.unet.attentions}

    different(kinds, {}, "memory.attention", "sliced")

    def level(changes: dict[str, Any]) -> Any:
        return units("unet", model.unet, AS_SET.level_for(kit.run(changes).memory.checkpointing, "cpu"))

    different(level, {}, "memory.checkpointing", "some")


def test_the_device_is_the_one_named(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    different(
        lambda changes: choose_device(kit.run(changes).memory.device, "cuda:1"), {}, "memory.device", "cpu"
    )


def after_a_step(kit: Kit, changes: dict[str, Any]) -> Ready:
    ready = kit.encoded({"rates.learning_rate": 0.05, **changes})
    [batch] = ready.dataset.plan.step(0)
    Stepper(ready, lambda part: None).take(0, [ready.assembler.make(batch)])
    return ready


def test_gradients_are_given_back_or_zeroed(kit: Kit) -> None:
    assert all(part.parameter.grad is None for part in after_a_step(kit, {}).parts)
    kept = [part.parameter.grad for part in after_a_step(kit, {"memory.set_to_none": False}).parts]
    assert all(grad is not None and not grad.any() for grad in kept)


def test_layers_stay_below_the_norm(kit: Kit) -> None:
    norm = float(after_a_step(kit, {}).trained.norms()["unet"])
    assert float(after_a_step(kit, {"network.max_norm": 1e-4}).trained.norms()["unet"]) < norm / 2


@pytest.mark.parametrize(("path", "value"), [("precision.tf32", False), ("draws.deterministic", True)])
def test_the_switches_of_pytorch(kit: Kit, monkeypatch: pytest.MonkeyPatch, path: str, value: Any) -> None:
    seen: list[tuple[bool, bool]] = []

    class Stopped(Preparer):
        def scan(self) -> Any:
            seen.append((torch.backends.cuda.matmul.allow_tf32, torch.are_deterministic_algorithms_enabled()))
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer_module, "Preparer", Stopped)
    for changes in ({}, {path: value}):
        made = MadeRun(kit.root / "made", {})
        job = TrainingJob(made.folder, made.sourced, made.library.results())
        control = Control(CommandBox(), lambda event: None)
        with pytest.raises(KeyboardInterrupt):
            Trainer(kit.run(changes), CARD, job._desk(Path()), control, lambda event: None).run()
    assert seen[0] != seen[1]


@pytest.mark.parametrize("wanted", [True, False])
def test_a_report_is_written_where_it_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    made = MadeRun(tmp_path, {"logging": {"report": wanted}})
    job = made.first()
    monkeypatch.setattr(TrainingJob, "_train", lambda self, sourced, copy, found: None)
    written: list[Any] = []
    monkeypatch.setattr(TrainingJob, "_report", lambda self: written.append(self))
    job.run()
    assert bool(written) == wanted
