"""Which device a run uses, and what it can do."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch

from lib_dreambooth.base.errors import UserError

DEVICE = "memory.device"
# The first generation of NVIDIA cards that is fast in bfloat16 and TF32 (RTX 30).
AMPERE = 8
DIRECTML = ("dml", "directml", "privateuseone")


@dataclass(frozen=True)
class Ability:
    """What a device can compute in. `generation` is the major number of CUDA's capability, 0 elsewhere."""

    kind: str
    generation: int = 0
    has_half: bool = False
    has_bf16: bool = True

    @property
    def is_fast_in_bf16(self) -> bool:
        return self.kind == "cuda" and self.generation >= AMPERE


def choose_device(setting: str, of_host: torch.device | str | None = None) -> torch.device:
    """The device that the setting names; "auto" is the host's, or the best there is.

    Without a number the card is the host's too, which `--device-id` may have made another than the first.

    Raises UserError for devices that are not here or cannot train.
    """
    name = setting.strip().lower()
    if name == "auto":
        name = str(of_host) if of_host is not None else best_device()
    elif of_host is not None and str(of_host).partition(":")[0] == name:
        name = str(of_host)
    kind, colon, number = name.partition(":")
    if kind in DIRECTML:
        raise UserError(
            "DirectML cannot train: PyTorch lacks the gradients there.",
            where=DEVICE,
            todo="Choose CPU (slow), or a WebUI that runs the card through CUDA or ROCm.",
            code="no-device",
        )
    if kind not in ("cpu", "cuda", "mps") or (colon and not number.isdigit()):
        raise UserError(
            f'"{name}" is no device that can train.',
            where=DEVICE,
            todo="Write auto, cpu, mps, cuda, or cuda:1 and so on.",
            code="no-device",
        )
    require_here(kind, int(number or 0))
    return torch.device(name)


def best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def require_here(kind: str, number: int) -> None:
    """Raises UserError where this machine does not have the device."""
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[kind]
    if count == 0:
        named = "NVIDIA or ROCm card" if kind == "cuda" else "Apple card"
        raise UserError(
            f"PyTorch finds no {named} here.", where=DEVICE, todo="Choose auto.", code="no-device"
        )
    if number >= count:
        raise UserError(
            f"there is no {kind}:{number} here.",
            where=DEVICE,
            todo=f"The last one is {kind}:{count - 1}.",
            code="no-device",
        )


def ability_of(device: torch.device) -> Ability:
    """What a device can do, asked of the device and not of its name."""
    if device.type == "cuda":
        generation = torch.cuda.get_device_capability(device)[0]
        return Ability("cuda", generation, True)
    return Ability(device.type, 0, computes_in(device, torch.float16), computes_in(device, torch.bfloat16))


def computes_in(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether mixed precision and convolutions with gradients work in a number type: tried.

    No version says so: float16 came to CPUs after PyTorch 2.1, and autocast to Apple's cards after 2.4.
    """
    try:
        # Whoever asks may be where nothing has gradients.
        with torch.inference_mode(False), torch.enable_grad():
            x = torch.ones(1, 1, 4, 4, device=device, requires_grad=True)
            with warnings.catch_warnings():
                # Autocast says with a warning that it does nothing.
                warnings.simplefilter("ignore")
                with torch.autocast(device.type, dtype=dtype):
                    y = torch.nn.functional.conv2d(x, x[:, :, :3, :3].detach())
            half = x.detach().to(dtype).requires_grad_()
            torch.nn.functional.conv2d(half, half[:, :, :3, :3].detach()).sum().backward()  # type: ignore[no-untyped-call]
    except (RuntimeError, NotImplementedError):
        return False
    return y.dtype == dtype and half.grad is not None


def name_of(device: torch.device) -> str:
    """What a device is called, with the version that it was measured under."""
    own = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type}, {processor()}"
    return f"{own}, PyTorch {torch.__version__}"


def processor() -> str:
    """How many threads compute here; a CPU's name is no better a sign of its speed."""
    return f"{torch.get_num_threads()} threads"


def room_on(name: str) -> int | None:
    """Bytes of a card that this process could have: what is free and what its allocator holds.

    So a WebUI's own model counts as gone, which it is while a run has the card, and what the desktop and
    other programs hold does not. None where that is no question of a card.
    """
    device = torch.device(name)
    if device.type != "cuda":
        return None
    return room_of(device)[0] + torch.cuda.memory_reserved(device)


def room_of(device: torch.device) -> tuple[int, int]:
    """Bytes of a card that nobody has, and all; zeros where that is no question of a card."""
    return torch.cuda.mem_get_info(device) if device.type == "cuda" else (0, 0)


def restart_peak(name: str) -> None:
    """Counts the highest mark of a card's memory from now on."""
    device = torch.device(name)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_of(name: str) -> int:
    """The most that PyTorch had of a card at once, allocated; 0 where there is none."""
    device = torch.device(name)
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
