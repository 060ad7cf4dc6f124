"""Where the parts of the model are in each phase: only what is at work is on the card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lib_dreambooth.formats.keymap import TEXT, UNET, VAE
from lib_dreambooth.models.families import FAMILIES
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
        def __init__(self) -> None:
            self.modules = {part: nn.Linear(1, 1) for part in (UNET, VAE, TEXT)}

        def to(self, part: str, device: Any, dtype: Any = None) -> None:
            moved.append((part, str(device)))

        def dtype_of(self, part: str) -> torch.dtype:
            return torch.float32

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


def of_halves() -> LoadedModel:
    """Three parts as a file in half precision gives them; the UNet was turned into float32 at once."""
    torch.manual_seed(0)
    modules: dict[str, nn.Module] = {part: nn.Linear(4, 4).to(torch.float16) for part in (VAE, TEXT)}
    modules[UNET] = nn.Linear(4, 4)
    source: Any = None
    schedule: Any = None
    return LoadedModel(FAMILIES["sd1"], schedule, "epsilon", source, modules)


def values(model: LoadedModel, part: str) -> list[float]:
    weight: torch.Tensor = model.modules[part].weight  # type: ignore[assignment]
    return weight.double().flatten().tolist()


def test_what_waits_is_kept_in_the_half_precision_it_came_in() -> None:
    model = of_halves()
    before = {part: values(model, part) for part in ALL}
    places = Places(model, torch.device("cpu"), dict.fromkeys(ALL, torch.float32))
    assert {model.dtype_of(part) for part in (VAE, TEXT)} == {torch.float16}
    with places.at_work([VAE]):
        assert (model.dtype_of(VAE), model.dtype_of(TEXT)) == (torch.float32, torch.float16)
    assert model.dtype_of(VAE) == torch.float16
    places.settle([UNET])
    with places.drawing():
        assert {model.dtype_of(part) for part in ALL} == {torch.float32}
    assert {part: values(model, part) for part in ALL} == before
    assert model.dtype_of(UNET) == torch.float32


def test_what_learns_never_loses_a_digit_where_it_makes_room() -> None:
    model = of_halves()
    places = Places(model, torch.device("cpu"), dict.fromkeys(ALL, torch.float32), is_alone=True)
    places.settle([UNET, TEXT])
    with torch.no_grad():
        model.modules[TEXT].weight.add_(1e-6)  # type: ignore[operator, union-attr]
    learned = values(model, TEXT)
    with places.at_work([VAE]):
        assert model.dtype_of(TEXT) == torch.float32
    assert values(model, TEXT) == learned


def test_a_part_that_half_precision_did_not_do_for_comes_back_in_the_other_one() -> None:
    model = of_halves()
    places = Places(model, torch.device("cpu"))
    with places.at_work([VAE]):
        assert model.dtype_of(VAE) == torch.float16
        model.to(VAE, "cpu", torch.float32)
    assert model.dtype_of(VAE) == torch.float16
    with places.at_work([VAE]):
        assert model.dtype_of(VAE) == torch.float32


def test_a_part_of_several_precisions_stays_as_it_was_at_work() -> None:
    model = of_halves()
    model.modules[VAE] = nn.Sequential(nn.Linear(4, 4).to(torch.float16), nn.Linear(4, 4))
    places = Places(model, torch.device("cpu"), dict.fromkeys(ALL, torch.float32))
    with places.at_work([VAE]):
        pass
    assert model.dtype_of(VAE) == torch.float32
