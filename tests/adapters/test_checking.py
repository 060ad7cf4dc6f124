"""Patterns of layers are held against a model's names, without its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth import settings
from lib_dreambooth.adapters.checking import check_layers
from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.base.errors import SettingsError, UserError
from lib_dreambooth.formats.checkpoint import identify
from lib_dreambooth.formats.kinds import FileKind

WHOLE = {"network": {"kind": "none"}}


@pytest.fixture(scope="module")
def mini() -> FileKind:
    return identify(Path(MINI_CHECKPOINT))


@pytest.mark.parametrize(
    "values",
    [
        {},
        WHOLE,
        {**WHOLE, "parts": {"unet": {"blocks": ["up*", "mid", "input_blocks.4", "down.0"]}}},
        {"network": {"include": ["unet.mid*"]}},
        # Blocks are for whole weights, and of a UNet that is trained.
        {"parts": {"unet": {"blocks": ["nothing"]}}},
        {**WHOLE, "parts": {"unet": {"train": False, "blocks": ["nothing"]}}},
    ],
)
def test_what_fits_is_said_nothing_about(values: dict[str, Any], mini: FileKind) -> None:
    check_layers(settings.read(values).run, mini)


def test_every_block_that_is_not_there_is_named_with_the_nearest(mini: FileKind) -> None:
    run = settings.read({**WHOLE, "parts": {"unet": {"blocks": ["upp*", "mid", "midle"]}}}).run
    with pytest.raises(SettingsError) as caught:
        check_layers(run, mini)
    first, second = caught.value.problems
    assert (first.where, first.code) == ("parts.unet.blocks", "no-such-block")
    assert "`upp*`" in first.what and first.todo.startswith("Blocks are called like `up`, ")
    assert "`midle`" in second.what and second.todo.startswith("Blocks are called like `mid`, ")


def test_layers_of_networks_and_lists_of_blocks_are_looked_at_too(mini: FileKind) -> None:
    with pytest.raises(SettingsError) as caught:
        check_layers(settings.read({"network": {"include": ["unet.midle*"]}}).run, mini)
    assert "`unet.mid_block." in caught.value.problems[0].todo
    with pytest.raises(UserError, match=r"parts\.unet\.block_rates"):
        check_layers(settings.read({"parts": {"unet": {"block_rates": [1.0] * 23}}}).run, mini)
