"""The layers of the families at their real sizes; nothing is allocated."""

from __future__ import annotations

from lib_dreambooth.formats.adapter_names import adapter_names
from lib_dreambooth.formats.clip_keys import ClipLayout
from lib_dreambooth.formats.keymap import TEXT, TEXT_2
from lib_dreambooth.formats.unet_layout import UNetLayout

FOUR = {"down_depths": ((1, 1),) * 3 + ((0, 0),), "up_depths": ((0,) * 3,) + ((1,) * 3,) * 3, "mid_depth": 1}
CLIP_L = ClipLayout(49408, 77, 768, 3072, 12, 0)
CLIP_H = ClipLayout(49408, 77, 1024, 4096, 23, 0)
CLIP_G = ClipLayout(49408, 77, 1280, 5120, 32, 1280)


def sd(context: int, *, is_linear: bool) -> UNetLayout:
    widths = (320, 640, 1280, 1280)
    return UNetLayout(
        4, 4, widths, **FOUR, context_width=context, time_width=1280, addition_width=0, is_linear=is_linear
    )


NAMES = {
    "sd1": adapter_names("sd1", sd(768, is_linear=False), {TEXT: CLIP_L}),
    "sd2": adapter_names("sd2", sd(1024, is_linear=True), {TEXT: CLIP_H}),
    "sdxl": adapter_names(
        "sdxl",
        UNetLayout(
            4, 4, (320, 640, 1280), ((0, 0), (2, 2), (10, 10)), ((10,) * 3, (2,) * 3, (0,) * 3), 10, 2048,
            1280, 2816, True,
        ),
        {TEXT: CLIP_L, TEXT_2: CLIP_G},
    ),
}  # fmt: skip
