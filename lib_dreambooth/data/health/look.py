"""What can be seen in a picture without a model: blur, flat borders, where the figure stands.

Every function takes an array, 0 to 255: grey (height x width) or RGB (height x width x 3). All of them rather
say nothing than too much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Edges are looked at in windows of this many pixels along a row or column.
WINDOW = 9
# A step smaller than this (of 255) is no edge.
LEAST_EDGE = 32.0
# A border keeps within this of its own colour; content differs from it by more than the other.
FLAT, DIFFERENT = 10, 24
# A bar's inner edge is straight: nearly every pixel along it differs from the bar.
STRAIGHT = 0.9
# Below this spread (of 255) there is no content between two bars.
LEAST_CONTENT = 8.0
# A figure on a plain ground covers between these shares of the picture.
LEAST_FIGURE, MOST_FIGURE = 0.02, 0.85
# So much of a side has to be covered for the figure to be cut off there.
LEAST_TOUCH = 0.1


@dataclass(frozen=True, slots=True)
class Borders:
    """Width of flat bars on each side, in pixels."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def __bool__(self) -> bool:
        return bool(self.left or self.top or self.right or self.bottom)


@dataclass(frozen=True, slots=True)
class Figure:
    """What stands before a plain ground: its box as shares of the picture, and the sides that cut it off."""

    left: float
    top: float
    right: float
    bottom: float
    cut: frozenset[str]


def sharpness(grey: np.ndarray) -> float | None:
    """How steep the picture's steepest edges are: near 1 within one pixel, 0.2 over five; None without edges.

    Steepness is taken against each edge's own height, so dark, pale and flatly coloured pictures, and those
    with a blurred background, are judged alike.
    """
    # Every fourth line is enough; edges are many pixels long.
    heights, ratios = [], []
    for lines in (grey[::4].astype(np.int16), grey.T[::4].astype(np.int16)):
        if lines.shape[1] < WINDOW + 1:
            continue
        height, step = _edges(lines)
        is_edge = height >= LEAST_EDGE
        heights.append(height[is_edge])
        ratios.append(step[is_edge] / height[is_edge])
    height, ratio = np.concatenate([[], *heights]), np.concatenate([[], *ratios])
    if len(height) < WINDOW * 4:
        return None
    strong = height >= np.quantile(height, 0.5)
    return float(np.quantile(ratio[strong], 0.9))


def _edges(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each window: how far the values in it lie apart, and the largest step between neighbours."""
    windows = np.lib.stride_tricks.sliding_window_view(lines, WINDOW, axis=1)[:, ::2]
    steps = np.lib.stride_tricks.sliding_window_view(np.abs(np.diff(lines, axis=1)), WINDOW - 1, axis=1)
    return windows.max(axis=2) - windows.min(axis=2), steps[:, ::2].max(axis=2)


def flat_borders(rgb: np.ndarray) -> Borders:
    """Bars above and below, left and right, or a frame; a plain ground behind a figure is none of them."""
    height, width = rgb.shape[:2]
    if min(height, width) < 16:
        return Borders()
    frame = _frame(rgb)
    if frame:
        return frame
    top, bottom = _bar(rgb), _bar(rgb[::-1])
    turned = rgb.swapaxes(0, 1)
    left, right = _bar(turned), _bar(turned[::-1])
    if top + bottom >= height or left + right >= width:
        return Borders()
    inner = rgb[top : height - bottom, left : width - right]
    has_content = inner.std(axis=(0, 1)).max() >= LEAST_CONTENT
    return Borders(left, top, right, bottom) if has_content else Borders()


def _bar(rgb: np.ndarray) -> int:
    """Rows of one flat colour at the top that end at a straight edge; 0 where there is no bar."""
    colour = np.median(rgb[0], axis=0).astype(np.int16)
    # Most pictures have no bar, and three rows tell.
    if (np.abs(rgb[:3] - colour).max(axis=2) <= FLAT).mean() < 0.99:
        return 0
    apart = np.abs(rgb - colour).max(axis=2)
    flat = (apart <= FLAT).mean(axis=1) >= 0.99
    rows = int(np.argmin(flat)) if not flat.all() else len(flat)
    # One or two rows are an encoder's edge, and a picture flat from top to bottom has no bar.
    if rows < max(3, len(rgb) // 100) or rows > len(rgb) * 0.45:
        return 0
    # JPEG leaves a fringe between bar and content, as wide as its blocks.
    is_content = (apart[rows : rows + max(3, len(rgb) // 16)] > DIFFERENT).mean(axis=1) >= STRAIGHT
    return rows + int(is_content.argmax()) if is_content.any() else 0


def _frame(rgb: np.ndarray) -> Borders:
    """A frame of one colour around a straight-edged picture that is not flat itself."""
    apart = _apart_from_ring(rgb)
    if apart is None:
        return Borders()
    content = apart > FLAT
    rows, columns = np.flatnonzero(content.any(axis=1)), np.flatnonzero(content.any(axis=0))
    if not len(rows) or not len(columns):
        return Borders()
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    height, width = content.shape
    sides = Borders(int(left), int(top), int(width - right), int(height - bottom))
    inside = content[top:bottom, left:right]
    edges = (
        inside[:2].any(axis=0),
        inside[-2:].any(axis=0),
        inside[:, :2].any(axis=1),
        inside[:, -2:].any(axis=1),
    )
    is_straight = all(edge.mean() >= STRAIGHT for edge in edges)
    is_thick = all(side >= 3 for side in (sides.left, sides.top, sides.right, sides.bottom))
    is_large = inside.size >= 0.3 * content.size
    has_content = rgb[top:bottom, left:right].std(axis=(0, 1)).max() >= LEAST_CONTENT * 2
    # A ground of one colour with holes of the frame's colour is a drawn shape, no picture.
    return sides if is_straight and is_thick and is_large and has_content else Borders()


def _apart_from_ring(rgb: np.ndarray, share: float = 0.97) -> np.ndarray | None:
    """How far each pixel is from the colour of the outermost ring, None where the ring has no one colour."""
    ring = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]]).astype(np.int16)
    colour = np.median(ring, axis=0).astype(np.int16)
    if (np.abs(ring - colour).max(axis=1) <= FLAT).mean() < share:
        return None
    return np.abs(rgb.astype(np.int16) - colour).max(axis=2)


def figure_of(rgb: np.ndarray) -> Figure | None:
    """The figure before a plain ground; None where the ground is not plain or there is no one figure."""
    # A figure that is cut off covers part of the ring.
    apart = _apart_from_ring(rgb, share=0.55)
    if apart is None:
        return None
    mask = apart > DIFFERENT
    if not LEAST_FIGURE <= mask.mean() <= MOST_FIGURE:
        return None
    rows = np.flatnonzero(mask.mean(axis=1) > 0.005)
    columns = np.flatnonzero(mask.mean(axis=0) > 0.005)
    if not len(rows) or not len(columns):
        return None
    height, width = mask.shape
    touch = {
        "left": mask[:, :2].all(axis=1).mean(),
        "right": mask[:, -2:].all(axis=1).mean(),
        "top": mask[:2].all(axis=0).mean(),
        "bottom": mask[-2:].all(axis=0).mean(),
    }
    return Figure(
        float(columns[0] / width),
        float(rows[0] / height),
        float((columns[-1] + 1) / width),
        float((rows[-1] + 1) / height),
        frozenset(side for side, covered in touch.items() if covered >= LEAST_TOUCH),
    )


def one_sided(figure: Figure) -> str | None:
    """The side at which a figure is cut off while its opposite is free; the lower edge is a usual one."""
    if ("left" in figure.cut) != ("right" in figure.cut):
        return "left" if "left" in figure.cut else "right"
    if "top" in figure.cut and not figure.cut & {"left", "right", "bottom"}:
        return "top"
    return None


def framing_seen(figure: Figure) -> str | None:
    """How much of a standing figure is seen, as far as a plain ground tells: "full" or None."""
    height = figure.bottom - figure.top
    width = figure.right - figure.left
    is_tall = height > 2.2 * width
    return "full" if is_tall and not figure.cut and height > 0.4 else None
