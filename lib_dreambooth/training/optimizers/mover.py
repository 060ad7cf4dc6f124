"""One library optimizer over weights that share a part and a factor on its rate."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lib_dreambooth.adapters.parts import Part
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.training.optimizers.groups import Groups, without_weights
from lib_dreambooth.training.optimizers.in_one_call import InOneCall
from lib_dreambooth.training.optimizers.places import Moving, draw_in, tensors_in
from lib_dreambooth.training.optimizers.system_state import SystemState
from lib_dreambooth.training.optimizers.trees import Json, Tensors, from_tree, place_name, to_tree
from lib_dreambooth.training.precision.rounding import round_to

# What an optimizer is made of, without what it remembers: torch's own fields, and links to other objects.
NOT_REMEMBERED = {"model", "mng", "page_mng", "args", "non_castable_tensor_keys", "_step_count"}
NOT_REMEMBERED |= {"embed_blocks", "qk_blocks"}
# What a library works out again from what it remembers, by weight.
CACHES = ("_mask_indices",)
NOT_REMEMBERED |= {*CACHES}
# How a group is computed, which depends on the device.
OF_DEVICE = ("fused", "foreach", "capturable")

SEED_BITS = 62


@dataclass(frozen=True)
class Key:
    """What the weights of a mover have in common; `number` tells portions of them apart."""

    part: str
    rate: float
    is_matrix: bool = False
    number: int = 0

    def __str__(self) -> str:
        return f"{self.part} x{self.rate!r}{' matrices' if self.is_matrix else ''} #{self.number}"


class Mover:
    """A library optimizer with the weights it moves.

    Half-precision weights are moved through float32 stand-ins that exist during a step only: the update is
    computed in float32, without a second copy of the weights between steps.
    """

    def __init__(self, key: Key, parts: Sequence[Part], stand_ins: Sequence[nn.Parameter]) -> None:
        self.key = key
        self.parts = list(parts)
        self.stand_ins = list(stand_ins)
        self.library: torch.optim.Optimizer | None = None
        self.has_stopped = False
        self.gradient_of: Callable[[Tensor], Tensor | None] = own_gradient
        self.away: SystemState | None = None
        self._kept: list[Tensor] | None = None
        self._moving = Moving(self.stand_ins[0].device)

    @property
    def made(self) -> torch.optim.Optimizer:
        assert self.library is not None
        return self.library

    @property
    def is_half(self) -> bool:
        return self.stand_ins[0] is not self.parts[0].parameter

    def parameters(self) -> list[nn.Parameter]:
        return [part.parameter for part in self.parts]

    def keep_away(self, away: SystemState) -> None:
        """From now on what is remembered waits in system memory, and has to be asked for (`remembering`)."""
        self.away = away
        if isinstance(self.made, InOneCall):
            # Each weight is moved, and counted, on its own from now on.
            self.made.count_apart()
        for stand_in in self.stand_ins:
            away.leave(stand_in, self.made.state)

    def remembering(self, stand_in: nn.Parameter) -> AbstractContextManager[None]:
        """What is remembered of a weight is on its device while inside."""
        return nullcontext() if self.away is None else self.away.visiting(stand_in, self.made.state)

    def gradients(self) -> list[Tensor]:
        """The gradients there are."""
        return [gradient for p in self.parameters() if (gradient := self.gradient_of(p)) is not None]

    def set_rate(self, rate: float) -> None:
        for group in self.made.param_groups:
            group["lr"] = rate

    def step(
        self,
        factor: Tensor | None,
        rounds: bool,
        seed: int,
        places: Sequence[int] | None = None,
        leave_out: Tensor | None = None,
    ) -> None:
        """Moves the weights by their gradients times `factor`; `seed` is for rounding by chance.

        With `places` only these weights; the library has to be shown no others then.
        """
        places = range(len(self.parts)) if places is None else places
        if not self.is_half:
            found = [g for place in places if (g := self.parts[place].parameter.grad) is not None]
            if leave_out is not None:
                self._move(factor, leave_out)
                return
            if factor is not None and self.can_leave_out:
                # To the same bit as where the library does it.
                for one in found:
                    one.div_(factor.reciprocal())
            elif factor is not None and found:
                torch._foreach_mul_(found, factor)
            self.made.step()
            return
        self.lift(places)
        self._lift_gradients(places, factor)
        self.made.step()
        self.settle(seed if rounds else None, places)

    @functools.cached_property
    def can_leave_out(self) -> bool:
        """Whether the library moves nothing where a number on the device says so."""
        if not isinstance(self.made, InOneCall) or self.is_half:
            return False
        # PyTorch is told by numbers of its own kind alone.
        return all(part.parameter.dtype == torch.float32 for part in self.parts)

    def _move(self, factor: Tensor | None, leave_out: Tensor) -> None:
        """The same where the device says whether, and the library multiplies by the factor itself."""
        assert self.can_leave_out
        # What PyTorch's own loss scaling tells it with.
        told = {"found_inf": leave_out, "grad_scale": None if factor is None else factor.reciprocal()}
        for name, value in told.items():
            setattr(self.made, name, value)
        try:
            self.made.step()
        finally:
            for name in told:
                delattr(self.made, name)

    def lift(self, places: Sequence[int] | None = None) -> None:
        """Gives the stand-ins the weights' values."""
        for place in range(len(self.parts)) if places is None else places:
            self.stand_ins[place].data = self.parts[place].parameter.detach().float()

    def _lift_gradients(self, places: Sequence[int], factor: Tensor | None) -> None:
        for place in places:
            gradient = self.parts[place].parameter.grad
            if gradient is not None:
                raised = gradient.float()
                self.stand_ins[place].grad = raised if factor is None else raised * factor

    @torch.no_grad()
    def settle(self, seed: int | None, places: Sequence[int] | None = None) -> None:
        """Gives the weights the stand-ins' values, rounded by chance where there is a seed; takes those away.

        Each weight has draws of its own, so that their order changes nothing.
        """
        for place in range(len(self.parts)) if places is None else places:
            part, values = self.parts[place], self.stand_ins[place].data
            self.stand_ins[place].grad = None
            if seed is not None:
                chance = torch.Generator(values.device)
                chance.manual_seed(Draw(seed, "rounding", part.name).integer(1 << SEED_BITS))
                values = round_to(values, part.parameter.dtype, chance)
            part.parameter.copy_(values)
        self.clear()

    def clear(self) -> None:
        """Gives the stand-ins' memory back."""
        for stand_in in self.stand_ins:
            stand_in.grad = None
            stand_in.data = torch.empty(0, device=stand_in.device)

    @property
    def switches(self) -> bool:
        """Whether training and use want different weights."""
        return callable(getattr(self.made, "eval", None)) and callable(getattr(self.made, "train", None))

    @torch.no_grad()
    def to_evaluation(self) -> None:
        """Puts the weights for use in place of those that are trained."""
        if not self.switches or self.has_stopped:
            return
        self._kept = [p.detach().clone() for p in self.parameters()]
        if self.is_half:
            self.lift()
        self._switch(self.made.eval)  # type: ignore[attr-defined]
        if self.is_half:
            self.settle(None)

    @torch.no_grad()
    def to_training(self) -> None:
        """Puts the trained weights back, bit for bit: there and back again would round."""
        if self._kept is None:
            return
        if self.is_half:
            self.lift()
        self._switch(self.made.train)  # type: ignore[attr-defined]
        if self.is_half:
            self.clear()
        for parameter, kept in zip(self.parameters(), self._kept, strict=True):
            parameter.copy_(kept)
        self._kept = None

    def to(self, device: torch.device) -> None:
        """Takes what is remembered off its device or back to it; the weights are moved by who has them.

        bitsandbytes' paged memory belongs to no device and is never freed by it: its pages are drawn into
        system memory, and come back by themselves at the next step.
        """
        self._moving.move(self._remembered(), device)
        self.clear_caches()
        for buffer in self._paged_buffers() if self._moving.is_away else ():
            draw_in(buffer)
        for parameter in self.parameters():
            gradient, parameter.grad = parameter.grad, None
            if gradient is not None:
                parameter.grad = gradient.to(parameter.device)

    def _remembered(self) -> Iterator[Tensor]:
        """Every tensor that is kept between steps, besides weights and gradients."""
        yield from tensors_in(self.made.state)
        yield from tensors_in([without_weights(group) for group in self.made.param_groups])
        yield from tensors_in([value for _, value in self._own()])
        yield from self._kept or ()
        if self.is_half:
            yield from self.stand_ins

    def _paged_buffers(self) -> Iterator[Tensor]:
        return (tensor for tensor in tensors_in(self.made.state) if getattr(tensor, "is_paged", False))

    def clear_caches(self) -> None:
        """Has the library work out again what belongs to tensors that are gone."""
        for name in CACHES:
            getattr(self.made, name, {}).clear()

    def _switch(self, switch: Callable[[], object]) -> None:
        """The library sees only weights that have moved: SPlus fails at others, and asking leaves a trace."""
        moved = [stand_in for stand_in in self.stand_ins if self.made.state.get(stand_in)]
        groups = Groups(self.made)
        try:
            if self.away is None or not moved:
                groups.only(moved)
                switch()
            for stand_in in () if self.away is None else moved:
                groups.only([stand_in])
                with self.remembering(stand_in):
                    switch()
        finally:
            groups.together()

    def forget(self) -> None:
        """Gives back what is remembered of weights that do not move any more."""
        self.has_stopped = True
        self._let_go()
        for parameter in self.parameters():
            parameter.grad = None

    def _let_go(self) -> None:
        self._moving.forget()
        self.clear_caches()
        if self.away is not None:
            self.away.forget(self.stand_ins)
        self.made.state.clear()

    def state(self, tensors: Tensors) -> Json:
        """Everything remembered, by the names of the weights."""
        assert not self._moving.is_away, "a state says where its tensors are"
        if self.away is not None:
            self.away.settle()
        # Where a tensor is when it is at work.
        place = place_name if self.away is None else self.away.place_name
        names = {stand_in: part.name for part, stand_in in zip(self.parts, self.stand_ins, strict=True)}
        weights: dict[str, Json] = {}
        shared: dict[str, Json] = {}
        for owner, value in self.made.state.items():
            if isinstance(owner, Tensor):
                name = names[owner]  # type: ignore[index]
                weights[name] = to_tree(as_dict(value), name, tensors, place)
            else:
                shared[str(owner)] = to_tree(as_dict(value), f"{self.key}/{owner}", tensors)
        groups = [
            to_tree(without_weights(group), f"{self.key}/group{number}", tensors)
            for number, group in enumerate(self.made.param_groups)
        ]
        own = {name: to_tree(value, f"{self.key}/own/{name}", tensors) for name, value in self._own()}
        device = self.stand_ins[0].device.type
        return {"weights": weights, "shared": shared, "groups": groups, "own": own, "device": device}

    def _own(self) -> Iterator[tuple[str, Any]]:
        """The library optimizer's own fields that can change."""
        for name, value in vars(self.made).items():
            if name not in OF_TORCH and name not in NOT_REMEMBERED and not callable(value):
                yield name, value

    def load(self, tree: Json, tensors: Mapping[str, Tensor]) -> None:
        """Puts a `state` back; how the library computes stays as it suits this device."""
        assert not self._moving.is_away
        library = self.made
        device = self.stand_ins[0].device
        self.clear_caches()

        def restored(saved: Json) -> Any:
            return from_tree(saved, tensors, device, moves_all=tree["device"] == "cpu")

        library.state.clear()
        for part, stand_in in zip(self.parts, self.stand_ins, strict=True):
            if part.name in tree["weights"]:
                library.state[stand_in] = self._paged(restored(tree["weights"][part.name]), stand_in)
                if self.away is not None:
                    self.away.leave(stand_in, library.state)
        for owner, value in tree["shared"].items():
            library.state[owner] = restored(value)  # type: ignore[index]
        for group, saved in zip(library.param_groups, tree["groups"], strict=True):
            stays = {name: group[name] for name in ("params", *OF_DEVICE) if name in group}
            group.clear()
            group.update(restored(saved), **stays)
        for name, value in tree["own"].items():
            setattr(library, name, restored(value))

    def _paged(self, remembered: dict[str, Any], stand_in: nn.Parameter) -> dict[str, Any]:
        """The same with bitsandbytes' large tensors in memory that can leave the card."""
        if not getattr(self.made, "is_paged", False) or stand_in.device.type != "cuda":
            return remembered
        for name in ("state1", "state2"):
            if name in remembered:
                buffer = self.made.get_state_buffer(stand_in, dtype=remembered[name].dtype)  # type: ignore[attr-defined]
                remembered[name] = buffer.copy_(remembered[name])
        return remembered

    def close(self) -> None:
        """Takes our tensors out of bitsandbytes' list for the whole process, which would keep them."""
        pages = getattr(self.made, "page_mng", None)
        if pages is not None:
            ours = {id(value) for state in self.made.state.values() for value in as_dict(state).values()}
            pages.paged_tensors[:] = [kept for kept in pages.paged_tensors if id(kept) not in ours]
        self._let_go()
        self.made.param_groups.clear()


def own_gradient(parameter: Tensor) -> Tensor | None:
    """The gradient where it is as always."""
    return parameter.grad


def as_dict(value: Any) -> Any:
    """A plain dictionary of one of torch's."""
    return dict(value) if isinstance(value, Mapping) else value


OF_TORCH = frozenset(vars(InOneCall([nn.Parameter(torch.zeros(1))])))
