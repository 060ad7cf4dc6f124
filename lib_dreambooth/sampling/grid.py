"""Pictures in rows and columns, with words beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

BACKGROUND = (255, 255, 255)
INK = (32, 32, 32)
PAPER = (225, 225, 225)
# Shares of a picture's shorter side.
LETTER_SHARE = 1 / 16
GAP_SHARE = 1 / 64
MIN_LETTER_PX = 10
MAX_LINES = 4

Picture = Image.Image
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_grid(
    pictures: Sequence[Image.Image],
    num_columns: int = 0,
    *,
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
    font_path: str | None = None,
) -> Image.Image:
    """One picture of all, row by row; 0 columns: as nearly square as can be. Smaller pictures stand centred.

    `columns` are written above, `rows` on the left. `font_path` for signs that Pillow's own letters lack.
    """
    assert pictures, "a grid needs at least one picture"
    num_columns = num_columns or len(columns) or math.ceil(math.sqrt(len(pictures)))
    num_rows = max(math.ceil(len(pictures) / num_columns), len(rows))
    width, height = (max(picture.size[axis] for picture in pictures) for axis in (0, 1))
    font = load_font(max(int(min(width, height) * LETTER_SHARE), MIN_LETTER_PX), font_path)
    gap = max(int(min(width, height) * GAP_SHARE), 1)
    left = max((_measured(_wrapped(text, width // 2, font), font)[0] for text in rows), default=0)
    top = max((_measured(_wrapped(text, width, font), font)[1] for text in columns), default=0)
    left, top = (side + 2 * gap if side else 0 for side in (left, top))
    size = left + num_columns * (width + gap) - gap, top + num_rows * (height + gap) - gap
    sheet = Image.new("RGB", size, BACKGROUND)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, num_columns)
        x, y = left + column * (width + gap), top + row * (height + gap)
        sheet.paste(picture, (x + (width - picture.width) // 2, y + (height - picture.height) // 2))
    canvas = ImageDraw.Draw(sheet)
    for column, text in enumerate(columns[:num_columns]):
        _write(canvas, (left + column * (width + gap), 0, width, top), _wrapped(text, width, font), font)
    for row, text in enumerate(rows[:num_rows]):
        _write(canvas, (0, top + row * (height + gap), left, height), _wrapped(text, width // 2, font), font)
    return sheet


def blank(beside: Picture) -> Picture:
    """A place of a grid that stays empty, as large as another."""
    return Image.new("RGB", beside.size, BACKGROUND)


def load_font(size_px: int, path: str | None = None) -> Font:
    """Letters of a size; Pillow before 10.1 has its own in one size only."""
    if path is not None:
        return ImageFont.truetype(path, size_px)
    try:
        return ImageFont.load_default(size_px)
    except TypeError:
        return ImageFont.load_default()


def _wrapped(text: str, width: int, font: Font) -> str:
    """The text in lines of at most `width` pixels; too much of it ends in dots."""
    lines: list[str] = [""]
    for word in _pieces(text):
        longer = f"{lines[-1]}{word}"
        if lines[-1].strip() and _measured(longer.rstrip(), font)[0] > width:
            lines.append(word.lstrip())
        else:
            lines[-1] = longer
    lines = [line.rstrip() for line in lines]
    if len(lines) > MAX_LINES:
        lines = [*lines[: MAX_LINES - 1], f"{lines[MAX_LINES - 1]} ..."]
    return "\n".join(lines)


def _pieces(text: str) -> list[str]:
    """Where a line may be broken: after spaces, and between signs of scripts without spaces."""
    pieces: list[str] = [""]
    for sign in text:
        if pieces[-1].endswith(" ") or ord(sign) >= 0x2E80:
            pieces.append(sign)
        else:
            pieces[-1] += sign
    return pieces


def _measured(text: str, font: Font) -> tuple[int, int]:
    canvas = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    box = canvas.multiline_textbbox((0, 0), _printable(text, font), font=font)
    return math.ceil(box[2]), math.ceil(box[3])


def _write(canvas: ImageDraw.ImageDraw, box: tuple[int, int, int, int], text: str, font: Font) -> None:
    """The text in the middle of a box (x, y, width, height)."""
    x, y, width, height = box
    if not width or not height:
        return
    canvas.rectangle((x, y, x + width - 1, y + height - 1), fill=PAPER)
    written = _measured(text, font)
    place = (x + (width - written[0]) / 2, y + (height - written[1]) / 2)
    canvas.multiline_text(place, _printable(text, font), fill=INK, font=font, align="center")


def _printable(text: str, font: Font) -> str:
    """Pillow's oldest letters know Latin-1 only."""
    is_limited = not isinstance(font, ImageFont.FreeTypeFont)
    return text.encode("latin-1", "replace").decode("latin-1") if is_limited else text
