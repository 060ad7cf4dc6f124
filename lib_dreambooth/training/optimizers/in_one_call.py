"""AdamW over all weights in one call, without PyTorch's own passes over them before and after it.

PyTorch counts each weight's moves in a tensor of its own, and goes over all of these twice in every move.
Here weights that have moved equally often share one.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

STEP, FIRST, SECOND = "step", "exp_avg", "exp_avg_sq"


class InOneCall(torch.optim.AdamW):
    """PyTorch's fused AdamW: the same numbers, the same state.

    `found_inf` and `grad_scale` are PyTorch's own way to tell it, by numbers on the device, that a move is to
    be left out, and what gradients are to be divided by.
    """

    # Not among what is remembered in a state.
    __slots__ = ("_counts_apart",)

    # PyTorch's own without what keeps a compiler out of them: to say so imports all of the compiler.
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        assert closure is None
        if all(is_plain(group) and self._counts_together(group["params"]) for group in self.param_groups):
            for group in self.param_groups:
                self._move(group)
        else:
            as_always = torch.optim.AdamW.step
            # Without the hooks around it: they are around this one already.
            getattr(as_always, "__wrapped__", as_always)(self)

    def _counts_together(self, weights: list[Tensor]) -> bool:
        """Whether all weights move now and have moved equally often; one counter is enough from then on."""
        if any(weight.grad is None for weight in weights) or getattr(self, "_counts_apart", False):
            self.count_apart()
            return False
        self._begin([weight for weight in weights if not self.state[weight]])
        counters = [self.state[weight][STEP] for weight in weights]
        first = counters[0]
        if all(counter is first for counter in counters):
            return True
        # A state was loaded, or weights joined in later. The host waits for the answer, once.
        if not bool((torch.stack(counters) == first).all()):
            self.count_apart()
            return False
        for weight in weights:
            self.state[weight][STEP] = first
        return True

    def count_apart(self) -> None:
        """From now on each weight has a counter of its own."""
        if getattr(self, "_counts_apart", False):
            return
        self._counts_apart = True
        for remembered in self.state.values():
            if remembered:
                remembered[STEP] = remembered[STEP].clone()

    def _begin(self, weights: list[Tensor]) -> None:
        """What is remembered of weights before their first move."""
        if not weights:
            return
        counter = torch.zeros((), dtype=torch.float32, device=weights[0].device)
        for weight in weights:
            self.state[weight][STEP] = counter
            self.state[weight].update({name: torch.zeros_like(weight) for name in (FIRST, SECOND)})

    def _move(self, group: dict[str, Any]) -> None:
        weights = group["params"]
        remembered = [self.state[weight] for weight in weights]
        counter = remembered[0][STEP]
        left_out = getattr(self, "found_inf", None)
        beta1, beta2 = group["betas"]
        counter.add_(1)
        torch._fused_adamw_(
            weights,
            [weight.grad for weight in weights],
            [one[FIRST] for one in remembered],
            [one[SECOND] for one in remembered],
            [],
            [counter] * len(weights),
            amsgrad=False,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=group["maximize"],
            grad_scale=getattr(self, "grad_scale", None),
            found_inf=left_out,
        )
        if left_out is not None:
            counter.sub_(left_out)


def is_plain(group: dict[str, Any]) -> bool:
    """Whether `_move` knows all that a group asks for."""
    return bool(group["fused"]) and not group["amsgrad"]
