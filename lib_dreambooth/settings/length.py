"""The one definition of step and epoch: from pictures and wishes to a number of optimizer steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lib_dreambooth.base.durations import Duration, number_text, round_half_up, to_steps


@dataclass(frozen=True)
class EpochPlan:
    """How one epoch falls into batches and steps.

    `visits` are the items of each bucket, repeats and class pictures counted; `batches` are the micro-batches
    made of them (batches never mix buckets, and a short one is trained as it is).
    """

    visits: tuple[int, ...]
    batches: tuple[int, ...]
    batch_size: int
    accumulation: int
    processes: int

    @property
    def num_visits(self) -> int:
        """Items seen in an epoch."""
        return sum(self.visits)

    @property
    def num_batches(self) -> int:
        """Micro-batches in an epoch, over all processes."""
        return sum(self.batches)

    @property
    def batches_per_step(self) -> int:
        """Micro-batches that one optimizer step takes, over all processes."""
        return self.accumulation * self.processes

    @property
    def steps(self) -> int:
        """Optimizer steps in an epoch; the last one may have fewer micro-batches."""
        return math.ceil(self.num_batches / self.batches_per_step)

    @property
    def last_step_batches(self) -> int:
        """Micro-batches in the last step of an epoch."""
        rest = self.num_batches % self.batches_per_step
        return rest or min(self.num_batches, self.batches_per_step)


@dataclass(frozen=True)
class LengthPlan:
    """A whole run: `total_steps` is None where it goes on until stopped."""

    epoch: EpochPlan
    total_steps: int | None

    @property
    def epochs(self) -> float | None:
        """Passes over the pictures, with the fraction of the last one."""
        if self.total_steps is None:
            return None
        whole, rest = divmod(self.total_steps, self.epoch.steps)
        return whole + rest / self.epoch.steps

    @property
    def num_epochs(self) -> int | None:
        """Epochs begun."""
        return None if self.total_steps is None else math.ceil(self.total_steps / self.epoch.steps)

    def steps_of(self, duration: Duration) -> int | None:
        """The step at which a duration of this run has passed; None where no step can be named."""
        return to_steps(duration, self.epoch.steps, self.total_steps)


def plan_epoch(
    visits: Sequence[int], batch_size: int, accumulation: int = 1, processes: int = 1
) -> EpochPlan:
    """One epoch from the number of visits in each bucket; empty buckets are left out."""
    assert batch_size >= 1 and accumulation >= 1 and processes >= 1
    filled = tuple(count for count in visits if count > 0)
    assert filled, "an epoch needs at least one picture"
    batches = tuple(math.ceil(count / batch_size) for count in filled)
    return EpochPlan(filled, batches, batch_size, accumulation, processes)


def plan_length(epoch: EpochPlan, train_for: Duration, whole_epochs: bool = False) -> LengthPlan:
    """The steps of a wished length; `whole_epochs` takes the nearest number of whole epochs, at least one."""
    if train_for.is_word:
        return LengthPlan(epoch, None)
    wished = to_steps(train_for, epoch.steps, None)
    assert wished is not None, f"a run cannot be {train_for} long"
    if whole_epochs:
        wished = max(1, round_half_up(wished / epoch.steps)) * epoch.steps
    return LengthPlan(epoch, max(1, wished))


def plan_line(
    plan: LengthPlan, pictures: int, repeats: int | None = None, class_items: int = 0, beside: bool = False
) -> str:
    """The arithmetic in one line, for people.

    `pictures` are the different training pictures, `repeats` their common number of repeats where they have
    one, `class_items` the class pictures that take places of their own in the epoch; `beside` says that one
    goes with every training picture instead.
    """
    epoch = plan.epoch
    own = epoch.num_visits - class_items
    factor = f" x {repeats} {plural(repeats, 'repeat')}" if repeats is not None else " with their repeats"
    parts = [f"{pictures:,} {plural(pictures, 'picture')}{factor} = {own:,} {plural(own, 'visit')}"]
    if class_items:
        parts.append(f"with {class_items:,} class pictures {epoch.num_visits:,}")
    if beside:
        parts.append("each with a class picture beside it")
    count = len(epoch.visits)
    if 1 < count <= 4:
        parts.append(f"in {count} buckets of {listed(epoch.visits)}")
    elif count > 4:
        parts.append(f"in {count} buckets")
    sums = f"{' + '.join(map(str, epoch.batches))} = " if 1 < count <= 4 else ""
    batches = f"{sums}{epoch.num_batches:,} {plural(epoch.num_batches, 'batch', 'batches')}"
    lines = [", ".join(parts), f"batch {epoch.batch_size} gives {batches}"]
    if epoch.batches_per_step > 1:
        lines.append(f"{portions(epoch)} gives {steps_text(epoch)} an epoch{short_last(epoch)}")
    else:
        lines.append(f"{steps_text(epoch)} an epoch")
    lines.append(total_text(plan))
    return "; ".join(lines)


def steps_text(epoch: EpochPlan) -> str:
    """The steps of an epoch."""
    return f"{epoch.steps:,} {plural(epoch.steps, 'step')}"


def portions(epoch: EpochPlan) -> str:
    """What takes several batches into one step."""
    words = []
    if epoch.accumulation > 1:
        words.append(f"accumulation {epoch.accumulation}")
    if epoch.processes > 1:
        words.append(f"{epoch.processes} processes")
    return " on ".join(words)


def short_last(epoch: EpochPlan) -> str:
    """Says where the last step of an epoch has fewer batches than the others."""
    last = epoch.last_step_batches
    if epoch.steps == 1 or last == epoch.batches_per_step:
        return ""
    return f", the last of {last} {plural(last, 'batch', 'batches')}"


def total_text(plan: LengthPlan) -> str:
    """The length of the whole run."""
    if plan.total_steps is None:
        return "until stopped"
    passed = plan.epochs
    assert passed is not None
    amount = number_text(round(passed, 2))
    return f"{amount} {plural(passed, 'epoch')} = {plan.total_steps:,} {plural(plan.total_steps, 'step')}"


def listed(numbers: Sequence[int]) -> str:
    """Numbers as in speech: 25 and 14."""
    *front, last = map(str, numbers)
    return f"{', '.join(front)} and {last}" if front else last


def plural(count: float, one: str, many: str = "") -> str:
    """The word for a count."""
    return one if count == 1 else many or f"{one}s"
