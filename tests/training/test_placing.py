"""Where the parts of the model are in each phase: only what is at work is on the card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_dreambooth.formats.keymap import TEXT, UNET, VAE
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.runs.events import Event, Phase
from lib_dreambooth.training.trainer import placing
from lib_dreambooth.training.trainer.placing import Places
from tests.training.made_runs import MadeRun, joined

ALL = frozenset({UNET, VAE, TEXT})
UNET_ALONE = {"parts": {"text_encoder_1": {"train": False}}}
DRAWN = {"previews": {"at_end": True, "every": "never"}, "length": {"train_for": "2 steps"}}


class Spy:
    """Stands for the card: notes what is there whenever a phase is told or a part of the model computes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.doing = "starting"
        self.seen: dict[str, list[tuple[str, frozenset[str]]]] = {}
        self.places: Places | None = None
        init = Places.__init__

        def made(places: Places, model: LoadedModel, *args: Any, **more: Any) -> None:
            init(places, model, *args, **more)
            self.places = places
            for part, module in model.modules.items():
                module.register_forward_pre_hook(lambda *_, part=part: self.note(part))
            # The VAE is asked by these names and not called.
            model.vae.encode = self.noted(model.vae.encode)
            model.vae.decode = self.noted(model.vae.decode)

        monkeypatch.setattr(placing.Places, "__init__", made)

    def noted(self, own: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*args: Any, **more: Any) -> Any:
            self.note(VAE)
            return own(*args, **more)

        return asked

    def note(self, part: str) -> None:
        if self.places is not None:
            self.seen.setdefault(self.doing, []).append((part, frozenset(self.places.here)))

    def hear(self, event: Event) -> None:
        if isinstance(event, Phase):
            self.doing = event.name

    def there(self, doing: str, part: str) -> set[frozenset[str]]:
        """What was on the card whenever this part computed."""
        return {here for one, here in self.seen[doing] if one == part}


def walked(root: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Spy:
    spy = Spy(monkeypatch)
    made = MadeRun(root, joined(DRAWN, changes), num_pictures=3)
    job = made.first()
    job.listeners = [*job.listeners, spy.hear]
    job.run()
    return spy


@pytest.mark.slow
def test_each_part_comes_for_its_work_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = walked(tmp_path, {**UNET_ALONE, "memory": {"unload": "on"}}, monkeypatch)
    assert spy.there("encoding pictures", VAE) == {frozenset({VAE})}
    assert spy.there("encoding captions", TEXT) == {frozenset({TEXT})}
    assert spy.there("training", UNET) == {frozenset({UNET})}
    drawing = "drawing samples"
    for part in ALL:
        assert spy.there(drawing, part) == {frozenset({part})}


@pytest.mark.slow
def test_usually_the_network_stays_while_previews_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = walked(tmp_path, UNET_ALONE, monkeypatch)
    assert spy.there("encoding pictures", VAE) == {frozenset({VAE})}
    assert spy.there("training", UNET) == {frozenset({UNET})}
    assert spy.there("drawing samples", VAE) == {ALL}


def test_parts_come_and_go_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[tuple[str, str]] = []

    class Model:
        modules = dict.fromkeys((UNET, VAE, TEXT))

        def to(self, part: str, device: Any) -> None:
            moved.append((part, str(device)))

    model: Any = Model()
    places = Places(model, torch.device("meta"), is_alone=True)
    places.settle([UNET])
    with places.at_work([VAE]):
        assert places.here == {VAE}
        with places.at_work([VAE, TEXT]):
            assert places.here == {VAE, TEXT}
    assert places.here == {UNET}
    assert moved[:3] == [(UNET, "meta"), (UNET, "cpu"), (VAE, "meta")]
    beside = Places(model, torch.device("meta"))
    beside.settle([UNET])
    with pytest.raises(KeyError), beside.at_work([TEXT]):
        assert beside.here == {UNET, TEXT}
        raise KeyError
    assert beside.here == {UNET}
    stays = Places(model, torch.device("meta"), keeps_all=True, is_alone=True)
    with stays.at_work([VAE]):
        assert stays.here == {VAE}
    assert stays.here == {VAE}
    stays.settle([UNET])
    assert stays.here == ALL
