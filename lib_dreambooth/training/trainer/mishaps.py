"""What goes wrong on a machine that is too small or too full, in sentences; and memory given back."""

from __future__ import annotations

import ctypes
import errno
import gc
import sys
import traceback
from pathlib import Path

import torch

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.base.files import unwritable
from lib_dreambooth.training.optimizers.system_memory import unpin_unused

# How memory's end is told where it has no exception of its own: by the CPU, by cuDNN, by older versions.
SIGNS = ("out of memory", "not enough memory", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")
OF_SYSTEM = ("DefaultCPUAllocator", "not enough memory")
AT_FIRST = (
    "Close other programs, or choose a smaller resolution or batch size, Gradient Checkpointing or half "
    "precision; then go on from the last state."
)
AT_LAST = (
    "Blocks were computed twice and batches split already, as far as that can be. Close other programs, or "
    "choose a smaller resolution, an 8-bit optimizer, half precision or fewer parts to train."
)
FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is the end of the card's memory or the system's."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)


def sentence_for(error: BaseException, doing: str) -> UserError | None:
    """What a user can do about an error that is not the program's own; None for one that is."""
    if isinstance(error, UserError):
        return error
    if is_out_of_memory(error):
        return out_of_memory(error, doing)
    if isinstance(error, OSError) and error.errno in FULL:
        return unwritable(Path(error.filename or ""), error)
    return None


def out_of_memory(error: BaseException, doing: str, *, is_last: bool = False) -> UserError:
    """The sentence for memory that did not suffice; `is_last` where all that changes nothing was tried."""
    is_of_system = isinstance(error, MemoryError) or any(sign in str(error) for sign in OF_SYSTEM)
    memory = "the computer's memory" if is_of_system else "the graphics card's memory"
    return UserError(
        f"{memory} did not suffice for {doing}. What was saved before is as it was.",
        where="memory",
        todo=AT_LAST if is_last else AT_FIRST,
        code="out-of-memory",
    )


def release(error: BaseException) -> None:
    """Gives back what the frames of an error hold: who keeps it keeps its lines, not the model in them."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        traceback.clear_frames(one.__traceback__)
        waiting += [one.__cause__, one.__context__]
    give_memory_back()


def give_memory_back() -> None:
    """Modules hold each other in circles: what nobody needs any more leaves memory and card now."""
    gc.collect()
    trim_heap()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
        unpin_unused()


def trim_heap() -> None:
    """Gives freed memory back to the system, which Linux' C library does not do by itself.

    A model in half precision that was turned into float32 stays half as large again otherwise.
    """
    if sys.platform != "linux":
        return
    # Not there with other C libraries (musl).
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
