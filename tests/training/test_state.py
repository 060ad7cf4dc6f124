"""A state holds all of a run, and comes back from the disk to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lib_dreambooth import settings
from lib_dreambooth.base.errors import FileError
from lib_dreambooth.runs.kept_states import checked, read_state
from lib_dreambooth.runs.states import write_state
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sources import Sourced
from lib_dreambooth.settings.writing import text_of
from lib_dreambooth.training.state import (
    EMA,
    OPTIMIZER,
    SCHEDULE,
    TRAINED,
    Surroundings,
    TrainingState,
    surroundings,
)


def settings_text(run: Run) -> str:
    return text_of(Sourced(run), only_changed=True)


def a_state() -> TrainingState:
    """A linear layer after three steps of AdamW."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
    for _ in range(3):
        layer(torch.randn(4, 3)).pow(2).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    remembered: dict[str, Tensor] = {
        f"{number}.{name}": value
        for number, one in optimizer.state_dict()["state"].items()
        for name, value in one.items()
    }
    run = settings.replace(settings.defaults().run, {"draws.seed": 7, "metadata.name": "ねこ"})
    return TrainingState(
        step=3,
        settings=settings_text(run),
        surroundings=surroundings("ab" * 32, plan="12" * 32),
        tensors={
            TRAINED: {name: parameter.detach() for name, parameter in layer.named_parameters()},
            OPTIMIZER: remembered,
            EMA: {},
        },
        numbers={SCHEDULE: {"rates": [0.1, 1 / 3]}, OPTIMIZER: {"groups": [{"betas": [0.9, 0.999]}]}},
    )


def test_a_state_comes_back_from_the_disk(tmp_path: Path) -> None:
    state = a_state()
    path = write_state(tmp_path, state.step, *state.to_saved())
    back = TrainingState.from_saved(*read_state(checked(path)))
    assert (back.step, back.settings, back.surroundings) == (3, state.settings, state.surroundings)
    assert back.numbers == state.numbers
    assert back.tensors.keys() == state.tensors.keys() == {TRAINED, OPTIMIZER, EMA}
    for group, named in state.tensors.items():
        assert back.tensors[group].keys() == named.keys()
        for name, tensor in named.items():
            found = back.tensors[group][name]
            assert found.dtype == tensor.dtype and found.shape == tensor.shape and torch.equal(found, tensor)


def test_names_inside_a_group_may_hold_anything() -> None:
    tensors = {TRAINED: {"a/b.c": torch.ones(1), "": torch.zeros(2)}}
    state = TrainingState(1, "", Surroundings("x"), tensors)
    back = TrainingState.from_saved(*state.to_saved())
    assert back.tensors[TRAINED].keys() == {"a/b.c", ""}


def test_the_machine_is_part_of_the_state() -> None:
    found = surroundings("ab", device="cuda:0")
    assert found.threads == torch.get_num_threads() and found.device == "cuda:0"
    assert found.versions["torch"] == str(torch.__version__)
    assert {"python", "sd-webui-dreambooth"} <= set(found.versions)
    assert not {"diffusers", "transformers"} & set(found.versions)
    assert Surroundings.from_json(found.to_json()) == found


def test_a_state_of_a_newer_form_is_refused() -> None:
    tensors, scalars = a_state().to_saved()
    with pytest.raises(FileError) as caught:
        TrainingState.from_saved(tensors, scalars | {"form": 2})
    assert caught.value.code == "other-state-form"


@pytest.mark.parametrize("missing", ["step", "settings", "surroundings", "groups", "numbers"])
def test_an_incomplete_state_gets_a_sentence(missing: str) -> None:
    tensors, scalars = a_state().to_saved()
    del scalars[missing]
    with pytest.raises(FileError) as caught:
        TrainingState.from_saved(tensors, scalars)
    assert caught.value.code == "damaged-state"


def test_a_tensor_of_no_group_gets_a_sentence() -> None:
    tensors, scalars = a_state().to_saved()
    with pytest.raises(FileError):
        TrainingState.from_saved(tensors | {"stray": torch.zeros(1)}, scalars)
