"""What optimizers remember between steps, and what moving weights takes for a moment.

Numbers that an optimizer keeps for each weight are float32, whatever the weight is. A test takes a step with
each of them and compares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

Shape = tuple[int, ...]
FLOAT = 4
# In 8 bits: a byte for each number, a float32 for each block of them; small weights stay in float32.
EIGHT_BIT, BLOCK, SMALLEST_EIGHT_BIT = "8bit", 256, 4096
# Numbers for each weight, by the name in small letters. Where nothing is said: two, as Adam.
MOMENTS: Mapping[str, float] = {
    "adamw": 2,
    "adam": 2,
    "lion": 1,
    "sgd": 0,
    "adamwschedulefree": 2,
    "radamschedulefree": 2,
    "sgdschedulefree": 1,
    "prodigy": 4,
    "dadaptadam": 3,
    "dadaptadagrad": 3,
    "dadaptadan": 5,
    "dadaptlion": 2,
    "dadaptsgd": 3,
    "adammini": 1,
}
USUAL = 2.0
# Half-precision weights are moved in float32, so many together; see `training.optimizers.building`.
PORTION = 1 << 25
# A large weight.
SQUARE = (1024, 1024)


def remembered_bytes(
    name: str, shapes: Sequence[Shape], arguments: Mapping[str, Any] = MappingProxyType({})
) -> int:
    """What the optimizer of this name, made with these arguments, keeps for weights of these shapes."""
    of_one = _of_one(name.lower(), has_momentum=bool(arguments.get("betas")))
    return sum(of_one(shape) for shape in shapes)


def _of_one(name: str, *, has_momentum: bool) -> Callable[[Shape], int]:
    if name == "adafactor":
        # Its mean is bfloat16, where it is asked for one.
        mean = 2 if has_momentum else 0
        return lambda shape: mean * math.prod(shape) + FLOAT * factored(shape)
    if name == "came":
        return lambda shape: FLOAT * (math.prod(shape) + (2 if len(shape) >= 2 else 1) * factored(shape))
    if EIGHT_BIT in name:
        moments = MOMENTS.get(name.removeprefix("paged").removesuffix(EIGHT_BIT), USUAL)
        return lambda shape: round(moments * in_eight_bits(math.prod(shape)))
    moments = MOMENTS.get(name, USUAL)
    return lambda shape: round(moments * FLOAT * math.prod(shape))


def is_worth_leaving(name: str, arguments: Mapping[str, Any] = MappingProxyType({})) -> bool:
    """Whether an optimizer remembers at least a byte for each number of a large weight."""
    return remembered_bytes(name, [SQUARE], arguments) >= math.prod(SQUARE)


def factored(shape: Shape) -> int:
    """Numbers of a spread that is kept by rows and columns: the two last dimensions."""
    if len(shape) < 2:
        return math.prod(shape)
    *outer, rows, columns = shape
    return math.prod(outer) * (rows + columns)


def in_eight_bits(count: int) -> int:
    """Bytes of so many numbers."""
    if count < SMALLEST_EIGHT_BIT:
        return FLOAT * count
    return count + FLOAT * -(-count // BLOCK)


def moving_bytes(
    name: str,
    shapes: Sequence[Shape],
    *,
    is_half: bool,
    kind: str,
    one_by_one: bool,
    in_lists: bool = False,
    in_portions: bool = True,
) -> int:
    """What the move takes beside weights, gradients and what is remembered.

    `in_lists`: PyTorch makes each root of a spread for all weights before it goes on. `in_portions`: only so
    many weights in half precision are lifted to float32 together.
    """
    counts = [math.prod(shape) for shape in shapes]
    largest = max(counts, default=0)
    lower = name.lower()
    # PyTorch's own on cards and bitsandbytes move in one go; others make a spread and its root.
    is_in_place = EIGHT_BIT in lower or (kind == "cuda" and lower == "adamw")
    passing = 0 if is_in_place else 2 * largest
    if in_lists and not one_by_one and not is_half:
        passing = sum(counts)
    if not is_half:
        return FLOAT * passing
    # A stand-in and its gradient; rounding by chance takes as much for one weight.
    together = sum(counts)
    if one_by_one:
        together = largest
    elif in_portions:
        together = max(largest, min(together, PORTION))
    lifted = FLOAT * 2 * together
    # A heap keeps the room of portions between what the optimizer comes to remember in its first step.
    gaps = lifted if kind == "cpu" and in_portions and not one_by_one else 0
    return lifted + gaps + FLOAT * max(passing, 2 * largest)
