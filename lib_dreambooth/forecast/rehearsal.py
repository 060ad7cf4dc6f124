"""A run's phases taken on `meta`: the real modules, the real graph, no weight and no arithmetic.

B: pictures, C: channels, H, W: latent size, N: tokens of all chunks, D: width of what cross-attention reads.
"""

from __future__ import annotations

import contextlib
import math
import types
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lib_dreambooth.adapters.attached import Attached
from lib_dreambooth.adapters.build import attach_weights
from lib_dreambooth.adapters.parts import Trainable
from lib_dreambooth.adapters.planning import Ground, trained_parts
from lib_dreambooth.adapters.words import WORDS
from lib_dreambooth.base.versions import first_two
from lib_dreambooth.forecast.alike import once_for_alike
from lib_dreambooth.forecast.casting import Casting
from lib_dreambooth.forecast.heap import Heap
from lib_dreambooth.forecast.meter import (
    ACTIVATIONS,
    ADAPTERS,
    GRADIENTS,
    OPTIMIZER,
    WEIGHTS,
    Meter,
    Peak,
    Work,
    bytes_of,
)
from lib_dreambooth.forecast.workspaces import GRAINS, workspaces
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.formats.entries import DTYPES
from lib_dreambooth.formats.keymap import UNET, VAE
from lib_dreambooth.formats.kinds import FileKind
from lib_dreambooth.models.loaded import HALVES, LoadedModel, safe_vae_dtype
from lib_dreambooth.models.read import blank_model
from lib_dreambooth.models.text_encoder import TextEncoder
from lib_dreambooth.settings.meaning import is_adapter
from lib_dreambooth.settings.schema import Run

Size = tuple[int, int]
META = torch.device("meta")
# What sides of pictures are rounded to.
STEP_PIXELS = 64
PIXELS = 8  # along a side of a latent's cell
PIXEL_CHANNELS = 3
ROW = 77
# Parts of the model that gradients reach, what is trained (None: words alone) and a level, to a context in
# which `training` takes steps.
Keeping = Callable[[Mapping[str, nn.Module], Trainable | None, str], AbstractContextManager[Any]]


def smaller(size_wh: Size, side: int) -> Size:
    """The same shape with about as many pixels as a square of this side."""
    share = side / (size_wh[0] * size_wh[1]) ** 0.5
    width, height = (max(STEP_PIXELS, round(one * share / STEP_PIXELS) * STEP_PIXELS) for one in size_wh)
    return width, height


class NumberTypes(Protocol):
    """What `training.precision` decides about numbers."""

    @property
    def compute(self) -> torch.dtype: ...
    @property
    def weights(self) -> torch.dtype: ...
    @property
    def frozen(self) -> torch.dtype: ...
    @property
    def frozen_unet(self) -> torch.dtype: ...
    @property
    def vae(self) -> torch.dtype: ...


@dataclass(frozen=True)
class Scene:
    """What a rehearsal goes by. `kind` is of the device: "cuda", "cpu" or "mps"."""

    run: Run
    base: FileKind
    numbers: NumberTypes
    kind: str
    keeping: Keeping
    chunks: int = 1  # of the longest caption


@dataclass(frozen=True)
class Manner:
    """How steps are taken, as far as it changes nothing about what is learned."""

    level: str = "off"  # of what is computed twice: "off", "some", "on" or "offload"
    is_fused: bool = False  # weights move in the backward pass
    is_in_system: bool = False  # gradients wait in system memory
    unloads: bool = True  # what steps do without leaves the card
    is_alone: bool = False  # the network leaves it too while encoders and VAE are at work
    pieces: int = 1  # a batch is taken in so many, one after the other
    is_state_away: bool = False  # what the optimizer remembers waits in system memory

    def on_cpu(self) -> Manner:
        """The same where system memory is all there is."""
        return replace(self, level="on" if self.level == "offload" else self.level, is_in_system=False)


@dataclass(frozen=True)
class Passed:
    """What a phase took: its peak by part, its work, and what left for system memory meanwhile."""

    peak: Peak
    work: Work = field(default_factory=Work)
    kept: int = 0  # for the backward pass
    in_system: int = 0
    gaps: int = 0  # that a heap had beside

    @property
    def total(self) -> int:
        return sum(self.peak)


class Rehearsal:
    """The model of a run with what is trained on it, all on `meta`."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.model = blank_model(scene.base, Path())
        trained = self._trained_parts = trained_parts(scene.run, self.model.modules)
        self._passed: dict[tuple[Any, ...], Passed] = {}
        for part in self.model.modules:
            self.model.to(part, META, self._dtype_of(part))
        self.words = _words(scene.run, self.model)
        self.trained = self._attached(trained)
        self.parts = [] if self.trained is None else self.trained.parts()
        self.parameters = [part.parameter for part in self.parts]
        self.all_trained = [*self.parameters, *(row for rows in self.words.values() for row in rows.values())]

    def _dtype_of(self, part: str) -> torch.dtype:
        numbers = self.scene.numbers
        if part == VAE:
            return numbers.vae
        if part in self._trained_parts and not is_adapter(self.scene.run):
            return numbers.weights
        return numbers.frozen_unet if part == UNET else numbers.frozen

    def _attached(self, trained: Collection[str]) -> Trainable | None:
        scene = self.scene
        if not trained:
            return None
        roots = {part: module for part, module in self.model.modules.items() if part != VAE}
        names = names_of(scene.base)
        ground = Ground(scene.run, names, self.model.family.name, tuple(trained))
        return attach_weights(ground, roots, self.model.rules, scene.numbers.weights)

    @property
    def trains_text(self) -> bool:
        return bool(self.words) or any(part.part not in (UNET, WORDS) for part in self.parts)

    def numbers_of(self, part: str) -> int:
        """How many numbers a part has."""
        return self._numbers[part]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        modules = self.model.modules
        return {part: sum(one.numel() for one in module.parameters()) for part, module in modules.items()}

    @property
    def num_trained(self) -> int:
        return sum(parameter.numel() for parameter in self.all_trained)

    def bytes_of_parts(self, parts: Collection[str]) -> int:
        """What parts of the model weigh in the precision of this run."""
        return sum(bytes_of(self.model.modules[part].parameters()) for part in parts)

    def bytes_waiting(self, parts: Collection[str]) -> int:
        """What parts weigh in the computer's memory until they are at work, and after it."""
        return sum(self.numbers_of(part) * self._waits_as(part).itemsize for part in parts)

    def _waiting_beside(self, parts: Collection[str]) -> int:
        """The same of all others, where they wait in the memory that is meant."""
        if self.scene.kind != "cpu":
            return 0
        return self.bytes_waiting([part for part in self.model.modules if part not in parts])

    def bytes_beside(self, parts: Collection[str]) -> int:
        """What the model weighs while these are at work, others too where they wait in the same memory."""
        return self.bytes_of_parts(parts) + self._waiting_beside(parts)

    def _waits_as(self, part: str) -> torch.dtype:
        """The UNet is read as it works, others wait in half precision if so read."""
        works = self._dtype_of(part)
        in_file = DTYPES.get(self.scene.base.precision)
        is_read_as_it_works = part == UNET and not self.scene.run.model.merge
        if is_read_as_it_works or works != torch.float32 or in_file not in HALVES:
            return works
        return safe_vae_dtype(self.model.family, in_file) if part == VAE else in_file

    def step(
        self,
        batch: int,
        size_wh: tuple[int, int],
        manner: Manner,
        remembered: int,
        averages: int,
        moving: int,
        limit: float = math.inf,
    ) -> Passed:
        """One step of one micro-batch: `remembered` bytes of the optimizer and `averages` stand beside it;
        moving the weights takes `moving` more. Raises TooMuch as soon as it takes more than `limit`.
        """
        if self.scene.kind == "cpu":
            manner = manner.on_cpu()
        meter = self._meter(limit)
        run, numbers = self.scene.run, self.scene.numbers
        # Not for as long as it counts: layers that are computed together get memory in common on the way.
        self._hold(meter, self.at_work(manner), lasts=False)
        meter.reserve(self._waiting_beside(self.at_work(manner)), WEIGHTS)
        meter.reserve(remembered + averages, OPTIMIZER)
        casting = Casting(meter, numbers.compute, self.scene.kind)
        gone = _Gone()
        micro = -(-batch // manner.pieces)
        is_added_up = (run.length.accumulation > 1 or manner.pieces > 1) and not (
            manner.is_fused or manner.is_in_system
        )
        roots = {
            part: module for part, module in self.model.modules.items() if part == UNET or self._trains(part)
        }
        level = "on" if manner.level == "offload" else manner.level
        with contextlib.ExitStack() as stack:
            stack.enter_context(checkpoints_on_meta())
            stack.enter_context(self._gradients(meter, manner, moving))
            stack.enter_context(self.scene.keeping(roots, self.trained, level))
            if self.trained is not None:
                self.trained.training(True)
            stack.enter_context(meter)
            stack.enter_context(casting)
            if is_added_up:
                for parameter in self.all_trained:
                    parameter.grad = torch.empty_like(parameter)
                meter.hold([one.grad for one in self.all_trained if one.grad is not None], GRADIENTS)
            meter.restart(has_graph=True)
            if manner.level == "offload":
                stack.enter_context(gone.hooks())
            loss = self._loss(micro, size_wh)
            casting.close()
            self._hold(meter, self.at_work(manner))
            meter.keep()
            if level != "off":
                meter.in_pieces()
            kept = meter.held[ACTIVATIONS]
            backward(loss)
            del loss
            if not manner.is_fused:
                meter.attend(0.0, moving)
            # The optimizer's first move comes before gradients go, and steps after it find its memory there.
            meter.settle(self._in_blocks(remembered))
        meter.repeat()
        in_system = gone.num_bytes + (self.bytes_of_trained if manner.is_in_system else 0)
        return Passed(meter.peak, meter.work.times(manner.pieces), kept, in_system, meter.gaps)

    def _in_blocks(self, num_bytes: int) -> list[int]:
        """What an optimizer remembers, as it lies: by weight, in two pieces."""
        numbers = max(1, self.num_trained)
        return [num_bytes * one.numel() // numbers // 2 for one in self.all_trained for _ in range(2)]

    def encode(self, size_wh: Size, group: int, beside: Collection[str] = (), more: int = 0) -> Passed:
        """Pictures to latents, so many at a time, with these parts and `more` bytes on the device beside."""
        width, height = size_wh
        shape = max(1, group), PIXEL_CHANNELS, height, width

        def do() -> None:
            self.model.vae.encode(self._empty(*shape, dtype=self.scene.numbers.vae))

        beside = [VAE, *beside]
        return self._passing(("encode", shape), do, beside, more, torch.float32, is_trained=more > 0)

    def read_texts(self, beside: Collection[str] = (), more: int = 0) -> Passed:
        """A caption to states, without gradients."""
        parts = [*(one.part for one in self.model.encoders), *beside]

        def do() -> None:
            self._states(1, is_live=True)

        return self._passing(("texts",), do, parts, more, torch.float32, is_trained=more > 0)

    def draw(self, size_wh: Size, batch: int, more: int, parts: Collection[str]) -> Passed:
        """One call of the network for a preview under guidance; the decoder comes after it."""

        def do() -> None:
            self._predicted(2 * batch, size_wh, self._states(2 * batch, is_live=False))

        return self._passing(("draw", size_wh, batch), do, parts, more, self.scene.numbers.compute)

    def decode(self, size_wh: Size, more: int, parts: Collection[str]) -> Passed:
        """A latent to a picture."""
        width, height = size_wh
        shape = 1, self.model.latent_channels, height // PIXELS, width // PIXELS

        def do() -> None:
            self.model.vae.decode(self._empty(*shape, dtype=self.scene.numbers.vae))

        return self._passing(("decode", shape), do, parts, more, torch.float32)

    def _passing(
        self,
        key: tuple[Any, ...],
        do: Callable[[], None],
        parts: Collection[str],
        more: int,
        compute: torch.dtype,
        *,
        is_trained: bool = True,
    ) -> Passed:
        """What is done without gradients, once for each `key`: it takes the same whatever stands beside it.

        These parts are held, `more` bytes of the optimizer's, and with `is_trained` what is trained.
        """
        meter = self._meter()
        parts = dict.fromkeys(parts)
        self._hold(meter, parts, is_trained=is_trained)
        meter.reserve(self._waiting_beside(parts), WEIGHTS)
        meter.reserve(more, OPTIMIZER)
        standing = tuple(meter.held)
        if key not in self._passed:
            if self.trained is not None:
                self.trained.training(False)
            with torch.no_grad(), meter, Casting(meter, compute, self.scene.kind), self._alike(meter):
                meter.restart()
                do()
            moving = tuple(one - there for one, there in zip(meter.peak, standing, strict=True))
            self._passed[key] = Passed(moving, meter.work, gaps=meter.gaps)
        found = self._passed[key]
        meter.close()
        peak = tuple(one + there for one, there in zip(found.peak, standing, strict=True))
        return replace(found, peak=peak)

    def _alike(self, meter: Meter) -> AbstractContextManager[None]:
        """Blocks that are alike are gone through once, where no heap is followed."""
        if meter.heap is not None:
            return contextlib.nullcontext()
        return once_for_alike(self.model.modules.values(), meter, self._beside)

    @cached_property
    def _beside(self) -> dict[int, tuple[Any, ...]]:
        """What stands beside layers, by their `id`."""
        if not isinstance(self.trained, Attached):
            return {}
        found: dict[int, tuple[Any, ...]] = {}
        for target, network in self.trained.adapters.items():
            weights = [(one.shape, one.dtype) for _, one in network.named_parameters()]
            found[id(self.trained.layer(target))] = type(network), *weights
        return found

    def _meter(self, limit: float = math.inf) -> Meter:
        heap = Heap() if self.scene.kind == "cpu" else None
        return Meter(workspaces(self.scene.kind), GRAINS.get(self.scene.kind, 1), heap, limit)

    def _hold(
        self, meter: Meter, parts: Collection[str], *, is_trained: bool = True, lasts: bool = True
    ) -> None:
        for part in parts:
            # The thread that read the UNet has made its memory.
            is_elsewhere = part == UNET and not self.scene.run.model.merge
            found = self.model.modules[part].parameters()
            meter.hold(found, WEIGHTS, lasts=lasts, is_elsewhere=is_elsewhere)
        if not is_trained:
            return
        if is_adapter(self.scene.run):
            meter.hold(self.parameters, ADAPTERS, lasts=lasts)
        words = [row for rows in self.words.values() for row in rows.values()]
        meter.hold(words, ADAPTERS, lasts=lasts)

    @property
    def bytes_of_trained(self) -> int:
        """What is trained, once."""
        return bytes_of(self.all_trained)

    def at_work(self, manner: Manner) -> list[str]:
        """The parts that are on the device in the steps, in the precision that they work in."""
        idle = self._idle(manner)
        return [part for part in self.model.modules if part not in idle]

    def _idle(self, manner: Manner) -> list[str]:
        if not manner.unloads:
            return []
        idle = [] if self.scene.run.memory.cache_latents == "off" else [VAE]
        return idle if self.is_live else idle + [one.part for one in self.model.encoders]

    @property
    def is_live(self) -> bool:
        return self.trains_text or self.scene.run.memory.cache_text == "off"

    def _trains(self, part: str) -> bool:
        return (bool(self.words) and part != VAE) or any(one.part == part for one in self.parts)

    @contextlib.contextmanager
    def _gradients(self, meter: Meter, manner: Manner, moving: int) -> Iterator[None]:
        """What becomes of a gradient as soon as it is whole."""

        def whole(parameter: Tensor) -> None:
            assert parameter.grad is not None
            if manner.is_fused:
                meter.attend(0.0, moving)
            if manner.is_fused or manner.is_in_system:
                parameter.grad = None
            else:
                meter.hold([parameter.grad], GRADIENTS)

        handles = [one.register_post_accumulate_grad_hook(whole) for one in self.all_trained]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            for one in self.all_trained:
                one.grad = None

    def _loss(self, batch: int, size_wh: tuple[int, int]) -> Tensor:
        predicted = self._predicted(batch, size_wh, self._states(batch, is_live=self.is_live))
        target = torch.empty_like(predicted, dtype=torch.float32)
        return ((predicted.float() - target) ** 2).flatten(1).mean(1).sum()

    def _predicted(
        self, batch: int, size_wh: tuple[int, int], states: tuple[Tensor, Tensor | None]
    ) -> Tensor:
        width, height = size_wh
        numbers = self.scene.numbers
        plain = numbers.compute == torch.float32
        joined, pooled = states
        more = {}
        if pooled is not None:
            ids = self._empty(batch, 6)
            more = {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": ids}}
        dtype = self.model.dtype_of(UNET) if plain else torch.float32
        noisy = self._empty(batch, self.model.latent_channels, height // PIXELS, width // PIXELS, dtype=dtype)
        steps = torch.zeros(batch, dtype=torch.int64, device=META)
        found: Tensor = self.model.unet(noisy, steps, joined, **more).sample
        return found

    def _states(self, batch: int, *, is_live: bool) -> tuple[Tensor, Tensor | None]:
        """The states [B, N, D] of captions and the pooled ones."""
        chunks = self.scene.chunks
        found, pooled = [], None
        for encoder in self.model.encoders:
            states, of_first = self._encoded(encoder, batch * chunks, is_live=is_live)
            found.append(states.reshape(batch, chunks * ROW, -1))
            pooled = pooled if of_first is None else of_first[:batch]
        return torch.cat(found, dim=-1) if len(found) > 1 else found[0], pooled

    def _encoded(self, encoder: TextEncoder, rows: int, *, is_live: bool) -> tuple[Tensor, Tensor | None]:
        dtype = self.model.dtype_of(encoder.part)
        if not is_live:
            pooled = (
                self._empty(rows, self._projected(encoder), dtype=dtype) if encoder.rule.is_pooled else None
            )
            return self._empty(rows, ROW, encoder.width, dtype=dtype), pooled
        ids = torch.zeros(rows, ROW, dtype=torch.int64, device=META)
        layer = self.scene.run.model.clip_skip if encoder.rule.takes_clip_skip else encoder.rule.layer
        with self._words_in(encoder):
            output = encoder.module(input_ids=ids, output_hidden_states=layer > 1)
        return encoder.states_of(output, layer)

    @contextlib.contextmanager
    def _words_in(self, encoder: TextEncoder) -> Iterator[None]:
        """The words' rows stand in each prompt, so that gradients go through the encoder."""
        rows = self.words.get(encoder.part, {})

        def put(module: nn.Module, args: Any, states: Tensor) -> Tensor:
            added = torch.cat([row.to(states.dtype) for row in rows.values()])[: ROW - 2]
            return torch.cat([states[:, : ROW - len(added)], added.expand(len(states), -1, -1)], dim=1)

        handle = encoder.token_embedding.register_forward_hook(put) if rows else None
        try:
            yield
        finally:
            if handle is not None:
                handle.remove()

    def _projected(self, encoder: TextEncoder) -> int:
        projection: Any = encoder.module.text_projection
        return int(projection.weight.shape[0])

    def _empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=META)


def _words(run: Run, model: LoadedModel) -> dict[str, dict[str, nn.Parameter]]:
    """Rows by text encoder and word, where words are trained."""
    if not run.parts.words.train:
        return {}
    return {
        encoder.part: {
            word.name: nn.Parameter(torch.empty(word.vectors, encoder.width, device=META))
            for word in run.words
        }
        for encoder in model.encoders
    }


class _Gone:
    """What waits in system memory for the backward pass."""

    def __init__(self) -> None:
        self.num_bytes = 0

    def hooks(self) -> AbstractContextManager[Any]:
        def pack(tensor: Tensor) -> Any:
            if isinstance(tensor, nn.Parameter):
                return tensor
            self.num_bytes += tensor.numel() * tensor.element_size()
            return tensor.shape, tensor.dtype

        def unpack(kept: Any) -> Tensor:
            return kept if isinstance(kept, Tensor) else torch.empty(kept[0], dtype=kept[1], device=META)

        return torch.autograd.graph.saved_tensors_hooks(pack, unpack)


def backward(loss: Tensor) -> None:
    """`loss.backward()` with modes for functions at work inside, where blocks are computed a second time."""
    engine: Any = torch.autograd.Variable._execution_engine
    ones = (torch.empty(loss.shape, dtype=loss.dtype, device=META),)
    engine.run_backward((loss,), ones, False, False, (), allow_unreachable=True, accumulate_grad=True)


@contextlib.contextmanager
def checkpoints_on_meta() -> Iterator[None]:
    """PyTorch before 2.2 looks for a module of `meta`'s own where an adapter computes its weight twice."""
    if hasattr(torch, "meta") or first_two(torch.__version__) >= (2, 2):
        yield
        return
    torch.meta = types.SimpleNamespace()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del torch.meta  # type: ignore[attr-defined]
