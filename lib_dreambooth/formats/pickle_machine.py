"""Reads the pickles that `torch.save` writes without being able to run anything.

A pickle is a small program. This machine knows the instructions that tensors and containers need, resolves no
name to a real object (a known one becomes a `Known` that is only looked at), and stops at limits of
instructions and bytes. An unknown name ends the reading before anything else happens.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

# A whole SDXL training state needs about 400,000 instructions and 5 MB.
MAX_INSTRUCTIONS = 1_000_000
MAX_BYTES = 64_000_000
MAX_INTEGER_BYTES = 64

# Names that real files hold besides tensors. None is ever called: they become inert values.
KNOWN_NAMES = frozenset(
    {
        "collections.OrderedDict",
        "collections.defaultdict",
        "collections.Counter",
        "builtins.dict",
        "builtins.set",
        "builtins.list",
        "builtins.bytearray",
        "builtins.complex",
        "__builtin__.dict",
        "__builtin__.set",
        "__builtin__.list",
        "_codecs.encode",
        "numpy.ndarray",
        "numpy.dtype",
        "numpy.core.multiarray.scalar",
        "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.multiarray._reconstruct",
        "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
        "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
        "torch.Size",
        "torch.device",
        "torch.Tensor",
        "torch.nn.parameter.Parameter",
        "torch.nn.modules.container.ParameterDict",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_tensor_v3",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_parameter_with_state",
        "torch.storage.UntypedStorage",
        "torch.UntypedStorage",
        "torch._C._nn.gelu",
    }
)
TORCH_TYPES = frozenset(
    [
        "torch.float16",
        "torch.half",
        "torch.bfloat16",
        "torch.float32",
        "torch.float",
        "torch.float64",
        "torch.double",
        "torch.int8",
        "torch.uint8",
        "torch.int16",
        "torch.int32",
        "torch.int",
        "torch.int64",
        "torch.long",
        "torch.bool",
        "torch.uint16",
        "torch.uint32",
        "torch.uint64",
        "torch.float8_e4m3fn",
        "torch.float8_e5m2",
        "torch.FloatStorage",
        "torch.HalfStorage",
        "torch.BFloat16Storage",
        "torch.DoubleStorage",
        "torch.CharStorage",
        "torch.ByteStorage",
        "torch.ShortStorage",
        "torch.IntStorage",
        "torch.LongStorage",
        "torch.BoolStorage",
    ]
)


class PickleRefused(Exception):
    """The pickle names something that is neither a tensor nor a container."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)


class PickleBroken(Exception):
    """The pickle is damaged, or larger than any model's."""


@dataclass(frozen=True)
class Known:
    """A name from the list above, looked at and never called."""

    name: str


@dataclass(frozen=True)
class Inert:
    """What a call of a known name would have made, where that does not matter to a model."""

    name: str


class Module(dict[str, Any]):
    """A table whose entries come with the state that follows its call."""


class PickleMachine:
    """One pickle, read once.

    `call(name, arguments)` gives the value that stands for a call, `persistent(id)` the one for a storage.
    """

    def __init__(
        self,
        file: BinaryIO,
        call: Callable[[str, tuple[Any, ...]], Any],
        persistent: Callable[[Any], Any],
    ) -> None:
        self._file = file
        self._call = call
        self._persistent = persistent
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._bytes_left = MAX_BYTES

    def load(self) -> Any:
        """The value that the pickle describes."""
        try:
            for _ in range(MAX_INSTRUCTIONS):
                code = self._read(1)
                if code == b".":
                    return self._stack.pop()
                step = _STEPS.get(code)
                if step is None:
                    raise PickleBroken(f"instruction {code!r} is not one that torch.save writes")
                step(self)
        except (IndexError, KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
            raise PickleBroken(f"its instructions do not fit together ({type(error).__name__})") from error
        raise PickleBroken("it has more instructions than any model")

    def _read(self, count: int) -> bytes:
        self._bytes_left -= count
        if count < 0 or self._bytes_left < 0:
            raise PickleBroken("it is longer than any model's")
        data = self._file.read(count)
        if len(data) < count:
            raise PickleBroken("it ends too early")
        return data

    def _line(self) -> str:
        line = self._file.readline(1000)
        self._bytes_left -= len(line)
        if not line.endswith(b"\n"):
            raise PickleBroken("it ends too early")
        return line[:-1].decode("utf-8")

    def _number(self, form: str) -> int:
        return struct.unpack(form, self._read(struct.calcsize(form)))[0]

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop_mark(self) -> list[Any]:
        items = self._stack
        self._stack = self._marks.pop()
        return items

    def _mark(self) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _find(self, name: str) -> None:
        if name not in KNOWN_NAMES and name not in TORCH_TYPES:
            raise PickleRefused(name)
        self._push(Known(name))

    def _stack_global(self) -> None:
        attribute, module = self._stack.pop(), self._stack.pop()
        self._find(f"{module}.{attribute}")

    def _reduce(self) -> None:
        arguments, target = self._stack.pop(), self._stack.pop()
        if not isinstance(target, Known) or not isinstance(arguments, tuple):
            raise PickleRefused(type(target).__name__)
        self._push(self._call(target.name, arguments))

    def _text(self, length: int) -> None:
        self._push(self._read(length).decode("utf-8", errors="replace"))

    def _integer(self, length: int) -> None:
        if length > MAX_INTEGER_BYTES:
            raise PickleBroken("it holds a number larger than any model's")
        self._push(int.from_bytes(self._read(length), "little", signed=True))

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(target, dict):
                target[_plain_key(key)] = value

    def _append_all(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, list):
            target.extend(items)

    def _tuple(self, count: int) -> None:
        items = tuple(self._stack[-count:])
        if len(items) < count:
            raise IndexError
        del self._stack[-count:]
        self._push(items)

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set_items([key, value])

    def _build(self) -> None:
        # Other values' states only add attributes, such as a state dict's versions, that no tensor needs.
        state = self._stack.pop()
        target = self._stack[-1]
        parameters = state.get("_parameters") if isinstance(state, dict) else None
        if isinstance(target, Module) and isinstance(parameters, dict):
            target.update({key: value for key, value in parameters.items() if isinstance(key, str)})


def _plain_key(key: Any) -> Any:
    # Deeply nested tuples would overflow the C stack while they are hashed.
    if key is None or isinstance(key, str | int | float | Known):
        return key
    return str(type(key).__name__)


def _store(machine: PickleMachine, index: int) -> None:
    machine._memo[index] = machine._stack[-1]


_STEPS: dict[bytes, Callable[[PickleMachine], Any]] = {
    b"\x80": lambda m: m._read(1),
    b"\x95": lambda m: m._read(8),
    b"(": lambda m: m._mark(),
    b"0": lambda m: m._stack.pop(),
    b"1": lambda m: m._pop_mark(),
    b"N": lambda m: m._push(None),
    b"\x88": lambda m: m._push(True),
    b"\x89": lambda m: m._push(False),
    b"J": lambda m: m._push(m._number("<i")),
    b"K": lambda m: m._push(m._number("<B")),
    b"M": lambda m: m._push(m._number("<H")),
    b"\x8a": lambda m: m._integer(m._number("<B")),
    b"\x8b": lambda m: m._integer(m._number("<i")),
    b"G": lambda m: m._push(struct.unpack(">d", m._read(8))[0]),
    b"X": lambda m: m._text(m._number("<I")),
    b"\x8c": lambda m: m._text(m._number("<B")),
    b"\x8d": lambda m: m._text(m._number("<Q")),
    b"T": lambda m: m._text(m._number("<I")),
    b"U": lambda m: m._text(m._number("<B")),
    b"B": lambda m: m._push(m._read(m._number("<I"))),
    b"C": lambda m: m._push(m._read(m._number("<B"))),
    b"q": lambda m: _store(m, m._number("<B")),
    b"r": lambda m: _store(m, m._number("<I")),
    b"\x94": lambda m: _store(m, len(m._memo)),
    b"h": lambda m: m._push(m._memo[m._number("<B")]),
    b"j": lambda m: m._push(m._memo[m._number("<I")]),
    b"}": lambda m: m._push({}),
    b"]": lambda m: m._push([]),
    b")": lambda m: m._push(()),
    b"\x8f": lambda m: m._push([]),
    b"\x90": lambda m: m._append_all(m._pop_mark()),
    b"e": lambda m: m._append_all(m._pop_mark()),
    b"a": lambda m: m._append_all([m._stack.pop()]),
    b"s": lambda m: m._set_item(),
    b"u": lambda m: m._set_items(m._pop_mark()),
    b"t": lambda m: m._push(tuple(m._pop_mark())),
    b"\x85": lambda m: m._tuple(1),
    b"\x86": lambda m: m._tuple(2),
    b"\x87": lambda m: m._tuple(3),
    b"c": lambda m: m._find(f"{m._line()}.{m._line()}"),
    b"\x93": lambda m: m._stack_global(),
    b"R": lambda m: m._reduce(),
    b"\x81": lambda m: m._reduce(),
    b"b": lambda m: m._build(),
    b"Q": lambda m: m._push(m._persistent(m._stack.pop())),
}
