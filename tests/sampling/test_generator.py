"""Pictures from small models: against a drawing made by hand, and what may not change them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler
from PIL import Image
from torch import Tensor

from lib_dreambooth.adapters.targets import attention_targets
from lib_dreambooth.base.errors import Cancelled, FileError, SettingsError
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.formats.keymap import TEXT
from lib_dreambooth.formats.safetensors_write import write_safetensors
from lib_dreambooth.models.encode import Embeddings, encode_prompts
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.sampling.generator import Generator, Request
from lib_dreambooth.sampling.loras import LoraUse
from lib_dreambooth.sampling.picture_settings import SAMPLERS, PictureSettings
from lib_dreambooth.sampling.sigmas import SigmaTable
from lib_dreambooth.sampling.watch import Progress
from tests.models import tiny

STABLE: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SMALL = PictureSettings(sampler="euler", steps=3, width=64, height=64, noise_source="CPU")


def draw(
    model: LoadedModel, settings: PictureSettings, *requests: Request, **keywords: Any
) -> list[np.ndarray]:
    return [
        np.asarray(picture).astype(int) for picture in Generator(model).draw(requests, settings, **keywords)
    ]


def differ(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one - other).max())


@torch.no_grad()
def by_hand(
    model: LoadedModel,
    settings: PictureSettings,
    request: Request,
    step: Callable[[Any, Tensor, Any], Tensor],
) -> np.ndarray:
    """The same picture with diffusers' parts, called one by one."""
    texts = [encode_prompts(model.encoders, [text]) for text in (request.prompt, request.negative)]
    added: list[dict[str, Any]] = [{}, {}]
    if model.family.name == "sdxl":
        texts[1] = texts[1].zeroed() if request.negative == "" else texts[1]
        ids = torch.tensor([[settings.height, settings.width, 0, 0, settings.height, settings.width]])
        added = [{"added_cond_kwargs": {"text_embeds": text.pooled, "time_ids": ids}} for text in texts]

    def noise_at(x: Tensor, timestep: Any) -> Tensor:
        positive, negative = (
            model.unet(x, timestep, text.joined(), **more).sample
            for text, more in zip(texts, added, strict=True)
        )
        return negative + settings.guidance * (positive - negative)

    generator = torch.Generator().manual_seed(request.seed or 0)
    x = torch.randn((4, settings.height // 8, settings.width // 8), generator=generator)[None]
    latent = step(noise_at, x, settings)
    values = model.vae.decode(latent / model.vae.config.scaling_factor).sample[0]
    return (((values + 1) / 2).clamp(0, 1) * 255).permute(1, 2, 0).numpy().astype("uint8").astype(int)


def euler_by_hand(noise_at: Any, x: Tensor, settings: PictureSettings) -> Tensor:
    scheduler = EulerDiscreteScheduler(**STABLE, timestep_spacing="linspace")
    table = SigmaTable(scheduler.alphas_cumprod)
    scheduler.set_timesteps(settings.steps)
    scheduler.sigmas = torch.tensor(table.uniform(settings.steps))
    x = x * scheduler.sigmas[0]
    for index, timestep in enumerate(scheduler.timesteps):
        scaled = x / math.sqrt(scheduler.sigmas[index] ** 2 + 1)
        exact = torch.tensor(table.timestep_of(scheduler.sigmas[index].item()))
        x = scheduler.step(noise_at(scaled, exact), timestep, x).prev_sample
    return x


def ddim_by_hand(noise_at: Any, x: Tensor, settings: PictureSettings) -> Tensor:
    scheduler = DDIMScheduler(
        **STABLE, steps_offset=1, set_alpha_to_one=False, clip_sample=False, timestep_spacing="leading"
    )
    scheduler.set_timesteps(settings.steps)
    for timestep in scheduler.timesteps[:-1]:
        x = scheduler.step(noise_at(x, timestep), int(timestep), x).prev_sample
    return x


@pytest.mark.slow
@pytest.mark.parametrize(("sampler", "step"), [("euler", euler_by_hand), ("ddim", ddim_by_hand)])
@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_equals_a_drawing_by_hand(
    request: pytest.FixtureRequest, family: str, sampler: str, step: Callable[[Any, Tensor, Any], Tensor]
) -> None:
    model: LoadedModel = request.getfixturevalue(family)
    settings = replace(SMALL, sampler=sampler, steps=5)
    wanted = Request("a (red:1.4) circle", "" if family == "sdxl" else "blurry", seed=41)
    [found] = draw(model, settings, wanted)
    expected = by_hand(model, settings, wanted, step)
    assert expected.std() > 5
    assert differ(found, expected) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_picture_depends_on_its_batch(sd1: LoadedModel, sampler: str) -> None:
    settings = replace(SMALL, sampler=sampler, seed=5)
    requests = [Request("a cat"), Request("a dog " * 80), Request("a cat", seed=6), Request("", "b", seed=6)]
    together = draw(sd1, replace(settings, batch_size=3), *requests)
    alone = [draw(sd1, settings, replace(one, seed=one.seed or 5 + n))[0] for n, one in enumerate(requests)]
    assert max(differ(a, b) for a, b in zip(together, alone, strict=True)) <= 1
    assert differ(together[0], together[2]) > 5


def test_the_same_twice(sd1: LoadedModel) -> None:
    settings = replace(SMALL, sampler="euler a")
    first, second = (draw(sd1, settings, Request("a cat"))[0] for _ in range(2))
    assert differ(first, second) == 0


@pytest.mark.parametrize(("sampler", "changes"), [("euler", False), ("ddim", False), ("euler a", True)])
def test_ensd_changes_ancestral_samplers_only(sd1: LoadedModel, sampler: str, changes: bool) -> None:
    settings = replace(SMALL, sampler=sampler)
    [plain] = draw(sd1, settings, Request("a cat"))
    [shifted] = draw(sd1, replace(settings, ensd=31337), Request("a cat"))
    assert (differ(plain, shifted) > 0) == changes


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [{"noise_source": "NV"}, {"guidance": 2.0}, {"steps": 4}, {"clip_skip": 2}, {"emphasis": "None"},
     {"emphasis": "No norm"}, {"is_zero_terminal": True}, {"text_kind": "kohya", "max_tokens": 150},
     {"seed": 1},     {"emphasis": "Ignore"}],
)  # fmt: skip
def test_every_choice_shows(sd1: LoadedModel, change: dict[str, Any]) -> None:
    request = Request("a (red:1.8) cat", "blurry")
    [plain], [changed] = draw(sd1, SMALL, request), draw(sd1, replace(SMALL, **change), request)
    assert differ(plain, changed) > 0


def test_guidance_of_one_is_the_prompt_alone(sd1: LoadedModel) -> None:
    settings = replace(SMALL, guidance=1.0)
    [one], [other] = draw(sd1, settings, Request("a cat")), draw(sd1, settings, Request("a cat", "a dog"))
    assert differ(one, other) == 0


@pytest.mark.parametrize("size", [(72, 64), (64, 88), (136, 104)])
def test_any_size_in_steps_of_8(sd1: LoadedModel, size: tuple[int, int]) -> None:
    [picture] = draw(sd1, replace(SMALL, width=size[0], height=size[1]), Request("a cat"))
    assert picture.shape == (size[1], size[0], 3)


def test_settings_are_checked_all_at_once(sd1: LoadedModel) -> None:
    settings = replace(SMALL, width=65, steps=0, sampler="heun", noise_source="TPU")
    with pytest.raises(SettingsError) as caught:
        list(Generator(sd1).draw([Request("a")], settings))
    assert {problem.where for problem in caught.value.problems} == {
        "width",
        "steps",
        "sampler",
        "noise_source",
    }


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_stop_ends_within_one_step(sd1: LoadedModel, sampler: str) -> None:
    seen: list[Progress] = []
    settings = replace(SMALL, sampler=sampler, steps=8)
    drawing = Generator(sd1).draw(
        [Request("a cat")], settings, should_stop=lambda: len(seen) >= 3, on_progress=seen.append
    )
    with pytest.raises(Cancelled):
        list(drawing)
    assert [progress.step for progress in seen] == [0, 1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_progress_counts_every_network_call(sd1: LoadedModel, sampler: str) -> None:
    calls: list[None] = []
    seen: list[Progress] = []
    handle = sd1.unet.register_forward_pre_hook(lambda *_: calls.append(None))
    settings = replace(SMALL, sampler=sampler, steps=6, batch_size=2)
    list(Generator(sd1).draw([Request("a")] * 3, settings, on_progress=seen.append))
    handle.remove()
    num_steps = 6 if sampler != "ddim" else len(range(0, 1000, 1000 // 6)) - 1
    assert len(calls) == 2 * num_steps
    assert [progress.step for progress in seen] == [*range(num_steps + 1)] * 2
    assert {progress.num_steps for progress in seen} == {num_steps}
    assert [progress.picture for progress in seen[:: num_steps + 1]] == [0, 2]


def lora_file(model: LoadedModel, path: Path) -> Path:
    """A LoRA with a visible effect on every attention layer, as any trainer writes it."""
    names = names_of(model.source.kind)
    tensors = {}
    for target in attention_targets(names):
        width_out, width_in, *kernel = names.shapes[target]
        down = Draw(1, "down", *target).normal_tensor((2, width_in, *kernel)) / width_in**0.5
        up = 0.2 * Draw(1, "up", *target).normal_tensor((width_out, 2, *(1 for _ in kernel)))
        for name, tensor in (
            ("lora_down.weight", down),
            ("lora_up.weight", up),
            ("alpha", torch.tensor(2.0)),
        ):
            tensors[f"{names.written[target]}.{name}"] = tensor
    write_safetensors(path, tensors, {"ss_base_model_version": "sd_v1"})
    return path


@pytest.mark.slow
def test_loras_act_while_drawing_and_leave_nothing(sd1: LoadedModel, tmp_path: Path) -> None:
    path = lora_file(sd1, tmp_path / "some lora.safetensors")
    [plain] = draw(sd1, SMALL, Request("a cat"))
    [full] = draw(sd1, SMALL, Request("a cat"), loras=[LoraUse(path)])
    [half] = draw(sd1, SMALL, Request("a cat"), loras=[LoraUse(path, 0.5)])
    halves = [LoraUse(path, 0.5), LoraUse(path, 0.5)]
    [twice] = draw(sd1, SMALL, Request("a cat"), loras=halves)
    [unet_only] = draw(sd1, SMALL, Request("a cat"), loras=[LoraUse(path, 0.0, 1.0)])
    [nothing] = draw(sd1, SMALL, Request("a cat"), loras=[LoraUse(path, 0.0)])
    assert differ(plain, full) > 3 and differ(full, half) > 1 and differ(full, unet_only) > 0
    assert differ(full, twice) <= 1
    assert differ(plain, nothing) == 0
    assert differ(plain, draw(sd1, SMALL, Request("a cat"))[0]) == 0


def test_a_drawing_given_up_ejects_its_loras(sd1: LoadedModel, tmp_path: Path) -> None:
    path = lora_file(sd1, tmp_path / "lora.safetensors")
    [plain] = draw(sd1, SMALL, Request("a cat"))
    drawing = Generator(sd1).draw([Request("a cat"), Request("a dog")], SMALL, loras=[LoraUse(path)])
    next(drawing)
    drawing.close()
    assert differ(plain, draw(sd1, SMALL, Request("a cat"))[0]) == 0


def test_a_bad_lora_among_good_ones_changes_nothing(sd1: LoadedModel, tmp_path: Path) -> None:
    good = lora_file(sd1, tmp_path / "good.safetensors")
    (tmp_path / "bad.safetensors").write_text("no lora", encoding="utf-8")
    with pytest.raises(FileError):
        draw(sd1, SMALL, Request("a"), loras=[LoraUse(good), LoraUse(tmp_path / "bad.safetensors")])
    assert not any(module._forward_hooks for module in sd1.unet.modules())


def test_tags_are_the_webui_s() -> None:
    path = Path("folder/my lora.safetensors")
    assert LoraUse(path).tag == "<lora:my lora:1>"
    assert LoraUse(path, 0.75).tag == "<lora:my lora:0.75>"
    assert LoraUse(path, 0.5, 1.25).tag == "<lora:my lora:0.5:1.25>"


def test_words_replace_their_names(sd1: LoadedModel) -> None:
    """An embedding made of a prompt's own vectors draws what the prompt draws."""
    tokens = [sd1.tokenizer(word)[0] for word in ("red", "cat")]
    vectors = sd1.encoders[0].token_embedding.weight[tokens].clone()
    word = Embeddings({"sks": {TEXT: vectors}})
    [named] = Generator(sd1, word).draw([Request("a sks on a mat")], SMALL)
    [spelled] = draw(sd1, SMALL, Request("a red cat on a mat"))
    [unknown] = draw(sd1, SMALL, Request("a sks on a mat"))
    assert differ(np.asarray(named).astype(int), spelled) == 0
    assert differ(spelled, unknown) > 0


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["ddim", "euler"])
@pytest.mark.parametrize("prediction", ["v", "sample"])
def test_other_predictions_draw_what_noise_models_draw(
    sd1: LoadedModel, prediction: str, sampler: str
) -> None:
    """The same network, told otherwise: x = (noisy - sqrt(1 - a) noise) / sqrt(a), v = (noise - sqrt(1 - a)
    noisy) / sqrt(a)."""
    table = sd1.schedule.for_sampling()

    def told_otherwise(module: Any, args: tuple[Any, ...], output: Any) -> Any:
        noisy, noise, share = args[0], output.sample, between(table, float(args[1][0]))
        of_noisy, of_noise = (
            (-((1 - share) ** 0.5), 1.0) if prediction == "v" else (1.0, -((1 - share) ** 0.5))
        )
        return replace(output, sample=(of_noise * noise + of_noisy * noisy) / share**0.5)

    settings = replace(SMALL, sampler=sampler, guidance=3.0)
    [noise] = draw(sd1, settings, Request("a cat"))
    handle = sd1.unet.register_forward_hook(told_otherwise)
    try:
        [other] = draw(replace(sd1, prediction=prediction), settings, Request("a cat"))
    finally:
        handle.remove()
    assert differ(noise, other) <= 1


def between(alphas_bar: Tensor, timestep: float) -> float:
    """At a timestep that need not be whole: the logarithm of sigma is straight between two."""
    log_sigmas = ((1 - alphas_bar) / alphas_bar).sqrt().log()
    low = int(timestep)
    high, share = min(low + 1, len(alphas_bar) - 1), timestep - low
    sigma = float(((1 - share) * log_sigmas[low] + share * log_sigmas[high]).exp())
    return 1 / (sigma**2 + 1)


def test_inpainting_models_draw_on_an_empty_canvas(tmp_path: Path) -> None:
    path = tiny.save(tmp_path / "i.safetensors", tiny.sd1_tensors(in_channels=9), torch.float32)
    model = read_model(path)
    assert model.source.kind.variant == "inpainting"
    seen: list[Tensor] = []
    model.unet.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    [picture] = Generator(model).draw([Request("a cat")], SMALL)
    assert picture.size == (64, 64)
    grey = model.vae.encode(torch.zeros(1, 3, 64, 64)).latent_dist.mean * 0.18215
    assert bool((seen[0][:, 4] == 1).all())
    assert torch.allclose(seen[0][:1, 5:], grey, atol=1e-5)


def test_pictures_are_pil_s(sd1: LoadedModel) -> None:
    [picture] = Generator(sd1).draw([Request("a cat")], SMALL)
    assert isinstance(picture, Image.Image) and picture.mode == "RGB"
