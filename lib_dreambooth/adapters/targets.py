"""Which modules of a model a low-rank adapter stands beside: the lists of kohya's scripts, by path and shape.

kohya goes by class names, which change with the libraries; a path and a shape do not.
"""

from __future__ import annotations

import re

from lib_dreambooth.formats.adapter_names import AdapterNames, Target
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.formats.links import Shape

TEXT_PREFIX = "text_model."

_TRANSFORMER = re.compile(r"(?:down_blocks|up_blocks)\.\d+\.attentions\.|mid_block\.attentions\.")
_CONVOLUTIONAL = re.compile(
    r"\.(?:resnets\.\d+\.(?:conv1|conv2|conv_shortcut|time_emb_proj)|(?:down|up)samplers\.0\.conv)$"
)
_TEXT_LAYER = re.compile(r"text_model\.encoder\.layers\.")


def attention_targets(names: AdapterNames) -> list[Target]:
    """Every linear layer and 1x1 convolution of the UNet's transformers, and of the text encoders' layers."""
    found = []
    for target, shape in names.shapes.items():
        pattern = _TRANSFORMER if target.part == UNET else _TEXT_LAYER
        if pattern.match(target.path) and is_pointwise(shape):
            found.append(target)
    return found


def convolution_targets(names: AdapterNames) -> list[Target]:
    """What LoCon adds: the UNet's residual blocks with their linear layers, and its steps between sizes."""
    return [target for target in names.shapes if target.part == UNET and _CONVOLUTIONAL.search(target.path)]


def is_pointwise(shape: Shape) -> bool:
    """Whether a weight is a linear layer's or a 1x1 convolution's."""
    return len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1))
