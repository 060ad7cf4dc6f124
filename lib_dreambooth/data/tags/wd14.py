"""Taggers of the WD14 family: an ONNX file and the `selected_tags.csv` that belongs to it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lib_dreambooth.base.errors import FileError, MissingPackage
from lib_dreambooth.data.captions.decode import decode
from lib_dreambooth.data.tags.tagger import TagScores

if TYPE_CHECKING:
    import onnxruntime

# Categories of the danbooru tag list.
CHARACTER, RATING = "4", "9"
DEFAULT_SIDE = 448


@dataclass(frozen=True, slots=True)
class TagList:
    """The tags that a model's outputs stand for, in their order, with their categories."""

    names: tuple[str, ...]
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a graph takes pictures: side in pixels, channels last or first, and the batch.

    `is_fixed` says that it takes exactly that many.
    """

    side: int
    channels_last: bool
    batch_size: int
    is_fixed: bool = False


class OnnxTagger:
    """A WD14-family tagger in an onnxruntime session."""

    def __init__(
        self, session: onnxruntime.InferenceSession, tags: TagList, name: str, batch_size: int
    ) -> None:
        graph_input = session.get_inputs()[0]
        self.name = name
        self.layout = read_layout(graph_input.shape, name, batch_size)
        self.batch_size = self.layout.batch_size
        self._session = session
        self._tags = tags
        self._input = graph_input.name
        self._output = tag_output([(o.name, o.shape) for o in session.get_outputs()], len(tags.names), name)

    def score(self, pictures: Sequence[Image.Image]) -> list[TagScores]:
        pixels = np.stack([prepare(picture, self.layout) for picture in pictures])
        if self.layout.is_fixed and len(pixels) < self.batch_size:
            empty = np.zeros((self.batch_size - len(pixels), *pixels.shape[1:]), pixels.dtype)
            pixels = np.concatenate([pixels, empty])
        (rows,) = self._session.run([self._output], {self._input: pixels})
        return [group(row, self._tags) for row in np.asarray(rows, dtype=np.float64)[: len(pictures)]]


def open_wd14(
    model: Path, tag_list: Path, batch_size: int = 8, threads: int = 0, providers: Sequence[str] = ()
) -> OnnxTagger:
    """The tagger in two files that the user has. `threads` 0 lets onnxruntime choose."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackage(
            "tagging with an ONNX model needs the package onnxruntime, which is not installed here.",
            todo="Install it with `pip install onnxruntime`, or use the WebUI's DeepBooru.",
        ) from error
    tags = read_tag_list(tag_list)
    if not model.is_file():
        raise FileError("there is no such model file.", where=str(model), todo="Choose the .onnx file.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    chosen = list(providers) or ["CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(str(model), options, providers=chosen)
    # onnxruntime's own errors have no base class of their own.
    except _session_errors(onnxruntime) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FileError(
            f"this is no ONNX model that can be run here ({reason[:200]}).",
            where=str(model),
            todo="Fetch the file again; an interrupted download is the usual cause.",
        ) from error
    return OnnxTagger(session, tags, model.stem, batch_size)


def read_tag_list(path: Path) -> TagList:
    """The tag list in `selected_tags.csv`: a header with `name` and `category`, one line for each output."""
    try:
        text = decode(path.read_bytes()).text
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FileError(
            f"the tag list cannot be read ({reason}).",
            where=str(path),
            todo="Put the selected_tags.csv of the model beside it.",
        ) from error
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows or not {"name", "category"} <= set(rows[0]):
        raise FileError(
            "this is no tag list: its first line has to name the columns `name` and `category`.",
            where=str(path),
            todo="Use the selected_tags.csv that was published with the model.",
        )
    return TagList(tuple(row["name"] or "" for row in rows), tuple(row["category"] or "" for row in rows))


def read_layout(shape: Sequence[Any], name: str, batch_size: int) -> Layout:
    """The layout in a graph's input shape; sizes that are left open are those of the family."""
    sizes = [size if isinstance(size, int) and size > 0 else None for size in shape]
    if len(sizes) != 4 or 3 not in (sizes[1], sizes[3]):
        raise FileError(
            f"this model does not take pictures: its input has the shape {list(shape)}.",
            where=name,
            todo="Use a tagger of the WD14 family.",
        )
    channels_last = sizes[3] == 3
    height, width = sizes[1:3] if channels_last else sizes[2:4]
    side = height or width or DEFAULT_SIDE
    return Layout(side, channels_last, sizes[0] or batch_size, sizes[0] is not None)


def tag_output(outputs: Sequence[tuple[str, Sequence[Any]]], count: int, name: str) -> str:
    """The output that has one number per tag; models that also give features have others beside it."""
    for output, shape in outputs:
        if len(shape) == 2 and shape[1] == count:
            return output
    open_ended = [output for output, shape in outputs if len(shape) != 2 or not isinstance(shape[1], int)]
    if len(outputs) == 1 and open_ended:
        return open_ended[0]
    widths = ", ".join(str(shape[-1]) for _, shape in outputs if shape)
    raise FileError(
        f"the tag list has {count} tags but the model gives {widths} numbers.",
        where=name,
        todo="Use the selected_tags.csv that was published with this model.",
    )


def prepare(picture: Image.Image, layout: Layout) -> np.ndarray:
    """A picture as the family was trained: on white, padded to a square, BGR from 0 to 255, float32."""
    rgba = picture.convert("RGBA")
    side = max(rgba.size)
    square = Image.new("RGBA", (side, side), (255, 255, 255, 255))
    square.alpha_composite(rgba, ((side - rgba.width) // 2, (side - rgba.height) // 2))
    rgb = square.convert("RGB")
    if side != layout.side:
        rgb = rgb.resize((layout.side, layout.side), Image.Resampling.BICUBIC)
    bgr = np.asarray(rgb, dtype=np.float32)[:, :, ::-1]
    return np.ascontiguousarray(bgr if layout.channels_last else bgr.transpose(2, 0, 1))


def group(row: np.ndarray, tags: TagList) -> TagScores:
    """One picture's numbers by what their tags are."""
    general: dict[str, float] = {}
    character: dict[str, float] = {}
    rating: dict[str, float] = {}
    for name, category, score in zip(tags.names, tags.categories, row.tolist(), strict=True):
        place = character if category == CHARACTER else rating if category == RATING else general
        place[name] = score
    return TagScores(general, character, rating)


def _session_errors(onnxruntime: Any) -> tuple[type[Exception], ...]:
    classes = vars(onnxruntime.capi.onnxruntime_pybind11_state).values()
    return RuntimeError, ValueError, *(c for c in classes if isinstance(c, type) and issubclass(c, Exception))
