"""The Performance wizard: fast settings of a card, and what it offers at a cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_dreambooth import settings
from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.jobs import performance as wizard
from lib_dreambooth.jobs.performance import FAST, ROUNDED, performance
from lib_dreambooth.settings.fields import all_fields
from lib_dreambooth.settings.sources import Sourced
from tests.jobs.made_host import PlainHost


def asked(**changes: dict[str, object]) -> Sourced:
    return settings.read({"model": {"base": str(MINI_CHECKPOINT)}, **changes})


def test_only_settings_of_memory_are_changed_unasked() -> None:
    known = {field.path for field in all_fields()}
    assert FAST.keys() <= known and {path.split(".")[0] for path in FAST} == {"memory"}
    assert {path for path, *_ in ROUNDED} <= known


def test_slow_settings_are_made_fast_and_coarser_ones_only_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wizard, "room_here", lambda host: None)
    host = PlainHost(tmp_path)
    slow = {"attention": "sliced", "cache_latents": "off", "one_call": "off", "checkpointing": "offload"}
    given = asked(memory=slow, precision={"mixed": "no"}, rates={"learning_rate": 3e-4})
    found = performance(host, "new", given, {})
    changed = {one.path: one.after for one in found.changes}
    assert changed == {f"memory.{name}": "auto" for name in slow} | {"memory.checkpointing": "off"}
    assert [dict(one.changes) for one in found.rounded] == [{"precision.mixed": "auto"}]
    told = found.to_json()
    assert (told["card"], told["here"], told["fits"]) == (8, None, True)
    taken = performance(host, "new", given, {"precision.mixed": "auto"}, 24)
    assert not taken.rounded and taken.card == 24
    assert taken.suiting.sourced.run.rates.learning_rate == 3e-4
    assert taken.suiting.told.forecast.bytes < found.suiting.told.forecast.bytes


@pytest.mark.parametrize(("card", "where"), [(-1.0, "card"), (8.0, "model.base")])
def test_what_is_missing_is_said(tmp_path: Path, card: float, where: str) -> None:
    with pytest.raises(UserError) as caught:
        performance(PlainHost(tmp_path), "new", settings.read({}), {}, card)
    assert caught.value.where.startswith(where) and caught.value.todo
