"""A run that steps aside for the host again and again, against one that nobody disturbs."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from lib_dreambooth.base.host import Guest
from lib_dreambooth.hosts.turns import Turns
from tests.hosts.lines import FairLock, MadeLine, MadeResidents
from tests.training.made_runs import LORA, WHOLE, MadeRun, assert_same, tensors_of

pytestmark = [pytest.mark.slow, pytest.mark.once]


class Disturbed(Turns):
    """At every tenth look a picture comes, and draws from the global generator in inference mode."""

    def __init__(self) -> None:
        lock = FairLock()
        self.announced: dict[str, float] = {}
        super().__init__(lock, MadeResidents(), MadeLine(lock, self.announced))
        self.num_looks = self.num_turns = 0

    def yield_point(self, guest: Guest) -> None:
        self.num_looks += 1
        if self.num_looks % 10 == 0 and not self.announced:
            self.announced["task(1)"] = 0.0
            threading.Thread(target=self.picture, daemon=True).start()
        super().yield_point(guest)

    def picture(self) -> None:
        with self._queue_lock, torch.inference_mode():  # type: ignore[attr-defined]
            self.announced.clear()
            self.before_picture()
            torch.manual_seed(self.num_turns)
            torch.randn(8)
            self.num_turns += 1


@pytest.mark.parametrize("values", [LORA, WHOLE], ids=["LoRA", "whole weights"])
def test_turns_change_nothing(values: dict[str, object], tmp_path: Path) -> None:
    straight, other = MadeRun(tmp_path / "one", values), MadeRun(tmp_path / "two", values)
    straight.run()
    job = other.first()
    job.sharing = turns = Disturbed()
    with turns.lend():
        other.carried(job)
    assert turns.num_turns > 1
    assert_same(tensors_of(other.files()[-1]), tensors_of(straight.files()[-1]))
