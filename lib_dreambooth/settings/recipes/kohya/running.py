"""kohya's options for length, batches, precision and memory."""

from __future__ import annotations

from lib_dreambooth.settings.convert import number_shown
from lib_dreambooth.settings.recipes.rules import Table, flag, flag_on, to, told, unused
from lib_dreambooth.settings.recipes.sheet import Entry, Sheet
from lib_dreambooth.settings.recipes.turn import lower_text, number, switch, text, whole

# Lengths that nobody means to reach: stopping by hand is meant.
OPEN_EPOCHS = 9_999
OPEN_STEPS = 999_999
SEVERAL_CARDS = "how several cards share the work is up to the launcher."
OFFLOADING = "it belongs to DeepSpeed, which is not used here; the forecast finds other ways to fit the card."
SAME_RESULT = "the fastest that is installed is taken; the result is the same."
# Schedules that never ask where the end is.
ENDLESS = ("", "constant", "constant_with_warmup", "inverse_sqrt", "piecewise_constant")


def is_open(sheet: Sheet) -> bool:
    """Whether the run is meant to go on until it is stopped."""
    if sheet.as_run and needs_end(sheet):
        return False
    epochs, steps = sheet.number("max_train_epochs"), sheet.number("max_train_steps")
    if epochs:
        return epochs >= OPEN_EPOCHS
    return bool(steps and steps >= OPEN_STEPS)


def needs_end(sheet: Sheet) -> bool:
    """Whether the schedule asks for the length."""
    return str(sheet.get("lr_scheduler", "")).lower() not in ENDLESS


def epochs(sheet: Sheet, entry: Entry) -> None:
    """max_train_epochs, which overrides steps."""
    value = number(entry.value)
    if value <= 0:
        sheet.unused(entry, "0 is no length; max_train_steps counts.")
    elif is_open(sheet):
        sheet.differ(
            entry,
            {"length.train_for": "until stopped"},
            f"an open end. {files_to_the_end(sheet, int(value))}",
        )
    else:
        sheet.honour(entry, {"length.train_for": f"{value:.10g} epochs"})


def files_to_the_end(sheet: Sheet, last: int) -> str:
    """How many files the open end would write, in words."""
    every = sheet.number("save_every_n_epochs")
    if every and every >= 1:
        # The last epoch has no file of its own, only the final one.
        count = (last - 1) // int(every) + 1
        return f"To the end of epoch {last:,} it would write {count:,} files."
    if sheet.number("save_every_n_steps"):
        return f"It would write a file every {number_shown(sheet.number('save_every_n_steps') or 0)} steps."
    return "It would write one file, at the end that nobody waits for; set saving.every."


def steps(sheet: Sheet, entry: Entry) -> None:
    """max_train_steps, where no epochs are given."""
    value = number(entry.value)
    if (sheet.number("max_train_epochs") or 0) > 0:
        sheet.unused(entry, "max_train_epochs overrides it.")
    elif value <= 0:
        sheet.unused(entry, "0 is no length.")
    elif is_open(sheet):
        sheet.differ(
            entry,
            {"length.train_for": "until stopped"},
            f"an open end. {files_to_the_end(sheet, int(value))}",
        )
    else:
        sheet.honour(entry, {"length.train_for": f"{value:.10g} steps"})


def as_many_as_help(value: object) -> int:
    """The number of workers is found here."""
    whole(value)
    return -1


def latents(sheet: Sheet, entry: Entry) -> None:
    """cache_latents and cache_latents_to_disk; without either, pictures are encoded anew at every visit."""
    if switch(entry.value):
        on_disk = sheet.is_on("cache_latents_to_disk")
        sheet.honour(entry, {"memory.cache_latents": "disk" if on_disk else "memory"})
    else:
        sheet.honour(entry)


def text_states(sheet: Sheet, entry: Entry) -> None:
    """cache_text_encoder_outputs and its form on disk."""
    if switch(entry.value):
        on_disk = sheet.is_on("cache_text_encoder_outputs_to_disk")
        sheet.honour(entry, {"memory.cache_text": "disk" if on_disk else "memory"})
    else:
        sheet.honour(entry)


def small_base(sheet: Sheet, entry: Entry) -> None:
    """fp8_base and fp8_base_unet, which leaves the text encoders in half precision."""
    if switch(entry.value):
        unet_only = sheet.is_on("fp8_base_unet")
        sheet.honour(entry, {"precision.frozen": "fp8 unet" if unet_only else "fp8"})
    else:
        sheet.honour(entry)


def checkpointing(sheet: Sheet, entry: Entry) -> None:
    """gradient_checkpointing, and whether what is kept goes to system memory."""
    if switch(entry.value):
        offload = sheet.is_on("cpu_offload_checkpointing")
        sheet.honour(entry, {"memory.checkpointing": "offload" if offload else "on"})
    else:
        sheet.honour(entry)


def fused(sheet: Sheet, entry: Entry) -> None:
    """fused_backward_pass and fused_optimizer_groups: they clip each tensor by itself."""
    if entry.value is False or (not isinstance(entry.value, bool) and number(entry.value) == 0):
        sheet.honour(entry)
    elif sheet.number("max_grad_norm") == 0 and not (sheet.number("gradient_accumulation_steps") or 1) > 1:
        sheet.honour(entry, {"memory.fused_backward": "on"})
    else:
        sheet.differ(
            entry, {}, "left to Auto: gradients are clipped over all weights, which a fused pass cannot do."
        )


def compiler(sheet: Sheet, entry: Entry) -> None:
    """dynamo_backend: inductor is the only one used."""
    if text(entry.value).strip().lower() in ("inductor", "no"):
        sheet.honour(entry)
    else:
        sheet.unused(entry, "inductor compiles where compiling is on.")


def attention(sheet: Sheet, entry: Entry) -> None:
    """The switches for ways to compute attention."""
    if switch(entry.value):
        sheet.differ(entry, {"memory.attention": "auto"}, SAME_RESULT)
    else:
        sheet.honour(entry)


RUNNING: Table = {
    "train_batch_size": to("length.batch_size", whole),
    "gradient_accumulation_steps": to("length.accumulation", whole),
    "max_train_steps": steps,
    "max_train_epochs": epochs,
    "max_data_loader_n_workers": told(
        "memory.workers", as_many_as_help, "as many as help; they change nothing about the result."
    ),
    "persistent_data_loader_workers": unused("workers stay as long as they are needed."),
    "seed": to("draws.seed", whole),
    "mixed_precision": to("precision.mixed", lower_text),
    "full_fp16": flag_on("precision.weights", "half"),
    "full_bf16": flag_on("precision.weights", "half"),
    "fp8_base": small_base,
    "fp8_base_unet": small_base,
    "gradient_checkpointing": checkpointing,
    "cpu_offload_checkpointing": checkpointing,
    "mem_eff_attn": attention,
    "xformers": attention,
    "sdpa": attention,
    "diffusers_xformers": attention,
    "torch_compile": flag_on("memory.compile", "on"),
    "dynamo_backend": compiler,
    "cache_latents": latents,
    "cache_latents_to_disk": latents,
    "vae_batch_size": to("memory.vae_batch", whole),
    "skip_cache_check": flag("memory.trust_cache"),
    "cache_text_encoder_outputs": text_states,
    "cache_text_encoder_outputs_to_disk": text_states,
    "fused_backward_pass": fused,
    "fused_optimizer_groups": fused,
    "ddp_timeout": unused(SEVERAL_CARDS),
    "ddp_gradient_as_bucket_view": unused(SEVERAL_CARDS),
    "ddp_static_graph": unused(SEVERAL_CARDS),
    "deepspeed": unused(OFFLOADING),
    "zero_stage": unused(OFFLOADING),
    "offload_optimizer_device": unused(OFFLOADING),
    "offload_optimizer_nvme_path": unused(OFFLOADING),
    "offload_param_device": unused(OFFLOADING),
    "offload_param_nvme_path": unused(OFFLOADING),
    "zero3_init_flag": unused(OFFLOADING),
    "zero3_save_16bit_model": unused(OFFLOADING),
    "fp16_master_weights_and_gradients": unused(OFFLOADING),
    "blocks_to_swap": unused(
        "it is for transformers such as Flux; kohya's scripts ignore it for SD and SDXL."
    ),
}
