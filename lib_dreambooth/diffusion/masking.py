"""The mean error of each picture where a mask says that it counts.

B: batch, C: channels, H, W: latent size. Errors: [B, C, H, W]; masks: [B, 1, H, W] from 0 to 1.
"""

from __future__ import annotations

import torch
from torch import Tensor


def picture_means(
    errors: Tensor, masks: Tensor | None = None, *, outside: float = 0.0, over_picture: bool = False
) -> Tensor:
    """The mean error [B] of each picture; nothing in it counts less than `outside`.

    It is divided by what the mask counts, so that a small mask learns as fast as a large one, or with
    `over_picture` by the whole picture. A picture whose mask is zero everywhere gives `outside` times its
    mean either way.
    """
    if masks is None:
        return errors.mean((1, 2, 3))
    masks = masks.to(errors)
    counted = masks.clamp(min=outside)
    mean_over_picture = (errors * counted).mean((1, 2, 3))
    if over_picture:
        return mean_over_picture
    shares = torch.where(masks.sum((1, 2, 3)) > 0, counted.mean((1, 2, 3)), 1.0)
    return mean_over_picture / shares
