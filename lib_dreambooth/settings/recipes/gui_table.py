"""What the kohya_ss GUI calls by other names, and what only it has."""

from __future__ import annotations

from lib_dreambooth.settings.convert import quoted
from lib_dreambooth.settings.recipes.gui_names import NETWORK_KEYS, NETWORK_TYPES
from lib_dreambooth.settings.recipes.kohya.losses import LOSSES
from lib_dreambooth.settings.recipes.kohya.network import OTHER_KIND, kind
from lib_dreambooth.settings.recipes.kohya.rates import part_rate
from lib_dreambooth.settings.recipes.kohya.running import SAME_RESULT, epochs, is_open, steps
from lib_dreambooth.settings.recipes.kohya.scripts import LORA, SDXL
from lib_dreambooth.settings.recipes.rules import Rule, Table, choice, flag_on, unused_all
from lib_dreambooth.settings.recipes.sheet import Entry, Gap, Sheet
from lib_dreambooth.settings.recipes.turn import Unreadable, number, switch, text

HIDDEN_STEPS = 1600
OF_OTHER_TYPE = "gui.widget of another type: "
LAUNCH = "how several processes are launched is not part of a recipe."
PREPARATION = "it prepared files before training; captions and sizes are read from the pictures here."
OTHER_MODELS = "it is for Flux, SD3 and other transformers."


TEMPLATES = {"caption": "captions", "object template": "object", "style template": "style"}
OTHER_FAMILIES = ("flux1_checkbox", "sd3_checkbox", "lumina_checkbox", "anima_checkbox", "hunyuan_checkbox")


def network_type(sheet: Sheet, entry: Entry) -> None:
    """LoRA_type."""
    name = text(entry.value)
    found = NETWORK_TYPES.get(name)
    if found is None:
        sheet.ask(entry, f"the type {quoted(name)} is not known here; a plain LoRA stands in its place.")
        return
    says = OTHER_KIND.get(found.algorithm or found.module)
    if says:
        sheet.differ(entry, {"network.kind": kind(sheet)}, says)
    else:
        sheet.honour(entry, {"network.kind": kind(sheet)})


def steps_are_hidden(sheet: Sheet) -> bool:
    """Whether max_train_steps is what the GUI fills in while the user set epochs."""
    hidden = sheet.number("gui.max_train_steps") == HIDDEN_STEPS and not sheet.number("max_train_epochs")
    return hidden and (sheet.number("gui.epoch") or 1) > 1


def length_key(sheet: Sheet) -> str:
    """The key that decides the length."""
    if sheet.number("max_train_epochs"):
        return "max_train_epochs"
    if sheet.number("gui.max_train_steps") and (sheet.as_run or not steps_are_hidden(sheet)):
        return "max_train_steps"
    return "epoch"


def max_steps(sheet: Sheet, entry: Entry) -> None:
    """max_train_steps, which overrides the epochs of the form also where nobody typed it."""
    if sheet.get("gui.length") == "max_train_steps":
        steps(sheet, entry)
    elif sheet.is_on("gui.hidden_steps"):
        sheet.unused(entry, "the GUI fills this in by itself; epoch is meant.")
    else:
        sheet.unused(entry, "max_train_epochs counts.")
    if sheet.is_on("gui.hidden_steps"):
        sheet.gap(
            Gap(
                "length",
                "the 1600 steps that the GUI fills in by itself override the epochs.",
                "the epochs in the form.",
                {"length.train_for": f"{HIDDEN_STEPS} steps"},
                {"length.train_for": f"{sheet.number('gui.epoch') or 1:.10g} epochs"},
            )
        )


def epoch(sheet: Sheet, entry: Entry) -> None:
    """epoch: the GUI makes steps of it."""
    deciding = sheet.get("gui.length")
    if deciding == "epoch":
        epochs(sheet, entry)
    else:
        sheet.unused(entry, f"{deciding} overrides it.")


def warm_up(sheet: Sheet, entry: Entry) -> None:
    """lr_warmup: percent of the run."""
    share = number(entry.value)
    if sheet.number("lr_warmup_steps"):
        sheet.unused(entry, "lr_warmup_steps counts.")
    elif str(sheet.get("lr_scheduler", "constant")) in ("constant", "adafactor"):
        sheet.unused(entry, "the schedule has no warm-up there.")
    elif is_open(sheet):
        sheet.differ(entry, {"rates.warmup": "0 steps"}, "a share of a run without an end is no length.")
    else:
        sheet.honour(entry, {"rates.warmup": f"{share:.10g} %"})


def attention(sheet: Sheet, entry: Entry) -> None:
    """xformers: a name, or a switch in older files."""
    if isinstance(entry.value, str) and entry.value.lower() not in ("xformers", "sdpa", "none"):
        raise Unreadable("is neither xformers, sdpa nor none.")
    sheet.differ(entry, {"memory.attention": "auto"}, SAME_RESULT)


def prompts(sheet: Sheet, entry: Entry) -> None:
    """sample_prompts: the prompts themselves, a line each."""
    lines = [line.strip() for line in text(entry.value).splitlines()]
    kept = [line for line in lines if line and not line.startswith("#")]
    sheet.honour(entry, {"previews.prompts": kept})


def text_stop(sheet: Sheet, entry: Entry) -> None:
    """stop_text_encoder_training: percent of the run, 0 for never."""
    share = number(entry.value)
    if sheet.script == LORA and sheet.as_run:
        sheet.unused(entry, "train_network.py does not read it, so it did nothing.")
        return
    if share < 0:
        sets: dict[str, object] = {f"parts.text_encoder_{n}.train": False for n in (1, 2)}
    else:
        sets = {f"parts.text_encoder_{n}.stop": f"{min(share, 100):.10g} %" for n in (1, 2)}
    sheet.honour(entry, sets)
    if sheet.script == LORA:
        sheet.gap(Gap(entry.key, "train_network.py does not read it.", "what it says."))


def only_sdxl(sets: dict[str, object]) -> Rule:
    """A switch that counts for SDXL alone."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        if not switch(entry.value):
            sheet.honour(entry)
        elif sheet.is_on("sdxl"):
            sheet.honour(entry, sets)
        else:
            sheet.unused(entry, "the GUI asks it for SDXL only.")

    return rule


def text_rate(part: str, wants_sdxl: bool) -> Rule:
    """Rates of text encoders of whole models; the GUI passes on the one that fits the model."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        if (sheet.script == SDXL) is wants_sdxl:
            part_rate(part)(sheet, entry)
        else:
            sheet.unused(entry, "the GUI passes it on for the other kind of model only.")

    return rule


def noise_family(sheet: Sheet, entry: Entry) -> None:
    """noise_offset_type: the values of the other family are left out."""
    if text(entry.value) in ("Original", "Multires"):
        sheet.honour(entry, says="it chooses which of the noise settings count.")
    else:
        raise Unreadable("is neither Original nor Multires.")


def of_family(family: str, rule: Rule) -> Rule:
    """A noise setting that counts in one family only."""

    def found(sheet: Sheet, entry: Entry) -> None:
        chosen = sheet.get("noise_offset_type", family)
        if chosen in ("Original", "Multires") and chosen != family:
            sheet.unused(entry, f"noise_offset_type is {chosen}.")
        else:
            rule(sheet, entry)

    return found


NOISE_FAMILIES = {
    "noise_offset": "Original",
    "noise_offset_random_strength": "Original",
    "adaptive_noise_scale": "Original",
    "multires_noise_iterations": "Multires",
    "multires_noise_discount": "Multires",
}


def wandb(sheet: Sheet, entry: Entry) -> None:
    """use_wandb of older files."""
    if switch(entry.value):
        sheet.honour(entry, {"logging.wandb": str(sheet.get("log_tracker_name", "network_train"))})
    else:
        sheet.honour(entry)


def of_other_type(sheet: Sheet, entry: Entry) -> None:
    """Widgets of network types that are not chosen."""
    sheet.unused(entry, f"{quoted(sheet.get('gui.LoRA_type', 'Standard'))} does not ask it.")


def other_family(sheet: Sheet, entry: Entry) -> None:
    """A tick for models of another kind."""
    if switch(entry.value):
        sheet.ask(entry, "models of this kind are not trained here. Choose one of SD 1.x, SD 2.x or SDXL.")
    else:
        sheet.honour(entry)


GUI_TABLE: Table = {
    "gui.LoRA_type": network_type,
    "gui.max_train_steps": max_steps,
    "gui.epoch": epoch,
    "gui.lr_warmup": warm_up,
    "gui.xformers": attention,
    "gui.template": choice("parts.words.template", TEMPLATES),
    "gui.sample_prompts": prompts,
    "gui.stop_text_encoder_training": text_stop,
    "gui.sdxl_no_half_vae": only_sdxl({"precision.vae": "fp32"}),
    "gui.sdxl_cache_text_encoder_outputs": only_sdxl({"memory.cache_text": "memory"}),
    "gui.learning_rate_te": text_rate("text_encoder_1", wants_sdxl=False),
    "gui.learning_rate_te1": text_rate("text_encoder_1", wants_sdxl=True),
    "gui.learning_rate_te2": text_rate("text_encoder_2", wants_sdxl=True),
    "sdxl": flag_on("model.family", "sdxl"),
    **dict.fromkeys(OTHER_FAMILIES, other_family),
    "use_wandb": wandb,
    "noise_offset_type": noise_family,
    **{name: of_family(family, LOSSES[name]) for name, family in NOISE_FAMILIES.items()},
    **{f"{OF_OTHER_TYPE}{key}": of_other_type for key in NETWORK_KEYS},
    **unused_all("model_list save_as_bool", "it only filled the form."),
    **unused_all(
        "num_processes num_machines multi_gpu gpu_ids main_process_port num_cpu_threads_per_process"
        " dynamo_mode dynamo_use_dynamic dynamo_use_fullgraph extra_accelerate_launch_args",
        LAUNCH,
    ),
    **unused_all(
        "batch_size train_dir image_folder caption_metadata_filename latent_metadata_filename full_path"
        " create_caption create_buckets generate_caption_database generate_image_buckets use_latent_files",
        PREPARATION,
    ),
    **unused_all("mem_eff_save", "files are written piece by piece anyway."),
    **unused_all(
        "ae apply_t5_attn_mask clip_g clip_l discrete_flow_shift double_blocks_to_swap enable_all_linear"
        " flux1_cache_text_encoder_outputs flux1_cache_text_encoder_outputs_to_disk"
        " flux_fused_backward_pass fused_backward_pass_flux guidance_scale img_attn_dim img_mlp_dim"
        " img_mod_dim in_dims logit_mean logit_std lowvram mode_scale model_prediction_type"
        " pos_emb_random_crop_rate save_clip save_t5xxl sd3_cache_text_encoder_outputs"
        " sd3_cache_text_encoder_outputs_to_disk sd3_clip_l"
        " sd3_disable_mmap_load_safetensors sd3_enable_scaled_pos_embed sd3_fused_backward_pass"
        " sd3_text_encoder_batch_size single_blocks_to_swap single_dim single_mod_dim split_mode"
        " split_qkv t5xxl t5xxl_device t5xxl_dropout_rate t5xxl_dtype t5xxl_lr t5xxl_max_token_length"
        " timestep_sampling train_blocks train_double_block_indices train_single_block_indices"
        " train_t5xxl txt_attn_dim txt_mlp_dim txt_mod_dim weighting_scheme"
        " lumina_cache_text_encoder_outputs ggpo_sigma ggpo_beta",
        OTHER_MODELS,
    ),
}
