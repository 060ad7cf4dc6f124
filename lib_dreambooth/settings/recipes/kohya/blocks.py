"""kohya's weights, ranks and alphas for single blocks of the UNet."""

from __future__ import annotations

from lib_dreambooth.settings.recipes.rules import Table, to, unused
from lib_dreambooth.settings.recipes.sheet import Entry, Sheet
from lib_dreambooth.settings.recipes.turn import Unreadable, number, numbers, wholes

# Blocks down, in the middle and up; SDXL has one more before and behind that take no weight.
SD, SDXL = (12, 1, 12), (9, 3, 9)
SHAPES = ("down_lr_weight", "mid_lr_weight", "up_lr_weight")
NO_SHAPE = "only the shapes linear, reverse_linear and zeros are known here; write the numbers out."


def weights_of(sheet: Sheet) -> list[float]:
    """All three lists as one factor per block; raises Unreadable."""
    given = [sheet.get(f"network_args.{name}") for name in SHAPES]
    counts = SDXL if sdxl_shaped(given) else SD
    parts = [
        [1.0] * count if value is None else factors(value, count)
        for value, count in zip(given, counts, strict=True)
    ]
    below = sheet.number("network_args.block_lr_zero_threshold") or 0.0
    found = [0.0 if weight <= below else weight for part in parts for weight in part]
    return [1.0, *found, 1.0] if counts == SDXL else found


def sdxl_shaped(given: list[object]) -> bool:
    """Whether the lists have SDXL's lengths."""
    for value, count in zip(given, SDXL, strict=True):
        try:
            if value is not None and len(numbers(value)) == count:
                return True
        except Unreadable:
            continue
    return False


def factors(value: object, count: int) -> list[float]:
    """Numbers, or a shape such as linear+.25."""
    if isinstance(value, str) and value.strip()[:1].isalpha():
        return shape(value.strip().lower(), count)
    found = numbers(value)
    if len(found) < count:
        raise Unreadable(f"has {len(found)} numbers; {count} blocks need one each.")
    return found[:count]


def shape(name: str, count: int) -> list[float]:
    """A named shape with an optional floor."""
    kind, _, rest = name.partition("+")
    floor = number(rest) if rest else 0.0
    steps = [place / max(1, count - 1) for place in range(count)]
    rising = {"linear": steps, "reverse_linear": steps[::-1], "zeros": [0.0] * count}.get(kind)
    if rising is None:
        raise Unreadable(f"is no list of numbers; {NO_SHAPE}")
    return [float(f"{value + floor:.6g}") for value in rising]


def block_weights(sheet: Sheet, entry: Entry) -> None:
    """down_lr_weight, mid_lr_weight and up_lr_weight make one list together."""
    sheet.honour(entry, {"parts.unet.block_rates": weights_of(sheet)})


def threshold(sheet: Sheet, entry: Entry) -> None:
    """Blocks at or below it get no network."""
    number(entry.value)
    if any(sheet.given(f"network_args.{name}") for name in SHAPES):
        sheet.honour(entry, says="blocks at or below it are 0 in parts.unet.block_rates.")
    else:
        unused("no block has a weight that it could be compared with.")(sheet, entry)


BLOCKS: Table = {
    "network_args.down_lr_weight": block_weights,
    "network_args.mid_lr_weight": block_weights,
    "network_args.up_lr_weight": block_weights,
    "network_args.block_lr_zero_threshold": threshold,
    "network_args.block_dims": to("network.block_ranks", wholes),
    "network_args.block_alphas": to("network.block_alphas", numbers),
    "network_args.conv_block_dims": to("network.block_conv_ranks", wholes),
    "network_args.conv_block_alphas": to("network.block_conv_alphas", numbers),
}
