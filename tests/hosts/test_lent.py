"""A run that steps aside for the host after every step, against one that nobody disturbs."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from lib_dreambooth.base.host import Guest
from lib_dreambooth.hosts.turns import Turns
from tests.hosts.lines import FairLock, MadeLine, MadeResidents
from tests.training.made_runs import LORA, WHOLE, MadeRun, assert_same, tensors_of

pytestmark = pytest.mark.slow


class Busy(MadeLine):
    """A picture is announced at every tenth look, another one each time."""

    def tasks(self) -> list[str]:
        self.announced[f"task({len(self.announced)})"] = 0.0
        return list(self.announced)[-1:] if len(self.announced) % 10 == 0 else []


class Disturbed(Turns):
    """Whoever takes a turn draws from the global generator, in inference mode, from another thread."""

    def __init__(self) -> None:
        lock = FairLock()
        super().__init__(lock, MadeResidents(), Busy(lock))
        self.num_turns = 0
        self.thread: threading.Thread | None = None

    def yield_point(self, guest: Guest) -> None:
        if self.thread is None or not self.thread.is_alive():
            self.thread = threading.Thread(target=self.picture, daemon=True)
            self.thread.start()
        super().yield_point(guest)

    def picture(self) -> None:
        with self._queue_lock, torch.inference_mode():  # type: ignore[attr-defined]
            self.before_picture()
            assert not torch.are_deterministic_algorithms_enabled()
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
    assert turns.num_turns > 5
    assert_same(tensors_of(other.files()[-1]), tensors_of(straight.files()[-1]))
