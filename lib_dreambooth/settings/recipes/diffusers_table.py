"""The options of diffusers' training scripts for SD 1, SD 2 and SDXL."""

from __future__ import annotations

from typing import Any

from lib_dreambooth.settings.recipes.diffusers_scripts import Script
from lib_dreambooth.settings.recipes.rules import (
    Rule,
    Table,
    file_at,
    flag,
    flag_on,
    place,
    to,
    told,
    unused,
    unused_all,
)
from lib_dreambooth.settings.recipes.sheet import Entry, Sheet
from lib_dreambooth.settings.recipes.turn import (
    amount,
    literal,
    lower_text,
    number,
    size,
    switch,
    text,
    whole,
)

NO_HUB = "nothing is uploaded from here."
SAME_RESULT = "the fastest that is installed is taken; the result is the same."
OWN_STATE = "states of other programs cannot be gone on from."
NOT_FOR_PICTURES = "it is for models that are not trained here."


def script(sheet: Sheet) -> Script:
    """The script of the command."""
    found = sheet.assumed["script"]
    assert isinstance(found, Script)
    return found


def pictures(sheet: Sheet, entry: Entry) -> None:
    """instance_data_dir and train_data_dir."""
    also: dict[str, Any] = {"concepts.0.subfolders": "ignore"}
    if script(sheet).by_prompt and not sheet.given("instance_prompt"):
        also["captions.file_name"] = False
    place(sheet, entry, "concepts.0.folder", "folder", also=also)


def class_folder(sheet: Sheet, entry: Entry) -> None:
    """class_data_dir, which counts with prior preservation only."""
    if sheet.is_on("with_prior_preservation"):
        place(sheet, entry, "concepts.0.class_folder", "folder")
    else:
        sheet.unused(entry, "with_prior_preservation is off.")


def prior(sheet: Sheet, entry: Entry) -> None:
    """with_prior_preservation: a class picture beside every training picture."""
    if switch(entry.value):
        sheet.honour(entry, {"class_pictures.relation": "beside"})
    else:
        sheet.honour(entry)


def only_with_prior(rule: Rule) -> Rule:
    """Options that count with prior preservation only."""

    def found(sheet: Sheet, entry: Entry) -> None:
        if sheet.is_on("with_prior_preservation"):
            rule(sheet, entry)
        else:
            sheet.unused(entry, "with_prior_preservation is off.")

    return found


def class_count(sheet: Sheet, entry: Entry) -> None:
    """num_class_images: the script draws what is missing into the user's folder."""
    count = whole(entry.value)
    sheet.differ(
        entry,
        {"class_pictures.draw": True, "class_pictures.total": count},
        "missing ones are drawn into the model's own folder, never into yours.",
    )


def epochs(sheet: Sheet, entry: Entry) -> None:
    """num_train_epochs."""
    if sheet.number("max_train_steps"):
        sheet.unused(entry, "max_train_steps overrides it.")
    else:
        sheet.honour(entry, {"length.train_for": f"{number(entry.value):.10g} epochs"})


def optimizer(sheet: Sheet, entry: Entry) -> None:
    """optimizer: AdamW or prodigy."""
    name = lower_text(entry.value)
    if name == "adamw":
        sheet.honour(entry, {"optimizer.name": "AdamW8bit" if sheet.is_on("use_8bit_adam") else "AdamW"})
    elif name == "prodigy":
        sheet.honour(entry, {"optimizer.name": "Prodigy"})
    else:
        sheet.ask(entry, "the script knows AdamW and prodigy.")


def small_adam(sheet: Sheet, entry: Entry) -> None:
    """use_8bit_adam."""
    if not switch(entry.value):
        sheet.honour(entry)
    elif str(sheet.get("optimizer", "adamw")).lower() != "adamw":
        sheet.unused(entry, "it belongs to AdamW.")
    else:
        sheet.honour(entry, {"optimizer.name": "AdamW8bit"})


def betas(sheet: Sheet, entry: Entry) -> None:
    """adam_beta1 and adam_beta2 make one argument."""
    pair = [sheet.number("adam_beta1") or 0.9, sheet.number("adam_beta2") or 0.999]
    number(entry.value)
    sheet.honour(entry, {"optimizer.arguments#betas": pair})


def prodigy(name: str) -> Rule:
    """An argument of Prodigy."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        if str(sheet.get("optimizer", "")).lower() != "prodigy":
            sheet.unused(entry, "the optimizer is not Prodigy.")
        else:
            sheet.honour(entry, {f"optimizer.arguments#{name}": literal(entry.value)})

    return rule


def text_rate(sheet: Sheet, entry: Entry) -> None:
    """text_encoder_lr."""
    rate = number(entry.value)
    sheet.honour(entry, {f"parts.text_encoder_{n}.rate": rate for n in (1, 2)})


def schedule(sheet: Sheet, entry: Entry) -> None:
    """lr_scheduler."""
    name = lower_text(entry.value)
    sheet.honour(entry, {"rates.schedule": "constant" if name.startswith("constant") else name})


def warm_up(sheet: Sheet, entry: Entry) -> None:
    """lr_warmup_steps; constant has none."""
    count = whole(entry.value)
    if count and lower_text(sheet.get("lr_scheduler", "constant")) == "constant":
        sheet.unused(entry, "constant has no warm-up there.")
    else:
        sheet.honour(entry, {"rates.warmup": f"{max(0, count)} steps"})


def prompts(sheet: Sheet, entry: Entry) -> None:
    """validation_prompt and validation_prompts."""
    sheet.honour(entry, {"previews.prompts": [text(entry.value)]})


def log(sheet: Sheet, entry: Entry) -> None:
    """report_to."""
    name = lower_text(entry.value)
    if name == "wandb":
        sheet.honour(entry, {"logging.wandb": str(sheet.get("tracker_name", "diffusers"))})
    elif name in ("tensorboard", "all"):
        sheet.honour(entry, {"logging.tensorboard": True})
    else:
        sheet.unused(entry, "curves can go to tensorboard or wandb.")


def prediction(sheet: Sheet, entry: Entry) -> None:
    """prediction_type."""
    names = {"epsilon": "noise", "v_prediction": "velocity", "sample": "sample"}
    name = lower_text(entry.value)
    sheet.honour(entry, {"model.prediction": names.get(name, name)})


def token_length(sheet: Sheet, entry: Entry) -> None:
    """tokenizer_max_length, with the two marks around it."""
    sheet.honour(entry, {"captions.max_tokens": whole(entry.value) - 2})


def output(sheet: Sheet, entry: Entry) -> None:
    """output_dir: the files' name comes from it."""
    name = [part for part in text(entry.value).replace("\\", "/").split("/") if part]
    sheet.differ(
        entry,
        {"metadata.name": name[-1]} if name else {},
        "its last part names the files; they go where the WebUI looks for them.",
    )


def launch_rule(name: str) -> Rule | None:
    """The launcher's options."""
    return unused("how a script is launched is not part of a recipe.") if name.startswith("launch.") else None


DIFFUSERS: Table = {
    "pretrained_model_name_or_path": file_at("model.base", "checkpoint"),
    "pretrained_vae_model_name_or_path": file_at("model.vae", "vae"),
    "instance_data_dir": pictures,
    "train_data_dir": pictures,
    "instance_prompt": to("concepts.0.prompt", text),
    "class_data_dir": class_folder,
    "class_prompt": only_with_prior(to("concepts.0.class_prompt", text)),
    "with_prior_preservation": prior,
    "prior_loss_weight": only_with_prior(to("class_pictures.weight", number)),
    "num_class_images": only_with_prior(class_count),
    "sample_batch_size": only_with_prior(to("class_pictures.batch_size", whole)),
    "repeats": to("concepts.0.repeats", whole),
    "output_dir": output,
    "seed": to("draws.seed", whole),
    "resolution": to("pictures.resolution", size),
    "center_crop": flag("pictures.crop", "centre", "random"),
    "random_flip": flag("pictures.flip"),
    "train_text_encoder": flag("parts.text_encoder_1.train"),
    "train_batch_size": to("length.batch_size", whole),
    "num_train_epochs": epochs,
    "max_train_steps": to("length.train_for", amount("steps")),
    "gradient_accumulation_steps": to("length.accumulation", whole),
    "gradient_checkpointing": flag_on("memory.checkpointing", "on"),
    "learning_rate": to("rates.learning_rate", number),
    "text_encoder_lr": text_rate,
    "scale_lr": flag("rates.scale"),
    "lr_scheduler": schedule,
    "lr_warmup_steps": warm_up,
    "lr_num_cycles": to("rates.restarts", whole),
    "lr_power": to("rates.power", number),
    "optimizer": optimizer,
    "use_8bit_adam": small_adam,
    "adam_beta1": betas,
    "adam_beta2": betas,
    "adam_weight_decay": to("optimizer.weight_decay", number),
    "adam_epsilon": to("optimizer.arguments#eps", number),
    "max_grad_norm": to("optimizer.max_grad_norm", number),
    "prodigy_beta3": prodigy("beta3"),
    "prodigy_decouple": prodigy("decouple"),
    "prodigy_use_bias_correction": prodigy("use_bias_correction"),
    "prodigy_safeguard_warmup": prodigy("safeguard_warmup"),
    "mixed_precision": to("precision.mixed", lower_text),
    "allow_tf32": flag("precision.tf32"),
    "noise_offset": to("noise.offset", number),
    "offset_noise": flag_on("noise.offset", 0.1),
    "input_perturbation": to("noise.perturbation", number),
    "snr_gamma": to("loss.min_snr_gamma", number),
    "prediction_type": prediction,
    "loss_type": to("loss.kind", lower_text),
    "huber_c": to("loss.huber_c", number),
    "huber_schedule": to("loss.huber_schedule", lower_text),
    "proportion_empty_prompts": to("captions.dropout", number),
    "rank": to("network.rank", whole),
    "lora_alpha": to("network.alpha", number),
    "lora_dropout": to("network.dropout", number),
    "use_dora": flag("network.decompose"),
    "use_ema": flag("ema.use"),
    "offload_ema": flag("ema.place", "system", "card"),
    "tokenizer_max_length": token_length,
    "checkpointing_steps": to("saving.state_every", amount("steps")),
    "checkpoints_total_limit": to("saving.keep_states", whole),
    "validation_prompt": prompts,
    "validation_prompts": prompts,
    "num_validation_images": to("previews.count", whole),
    "validation_epochs": to("previews.every", amount("epochs")),
    "validation_steps": to("previews.every", amount("steps")),
    "report_to": log,
    "dataloader_num_workers": told(
        "memory.workers", lambda value: -1, "as many as help; they change nothing about the result."
    ),
    "placeholder_token": to("words.0.name", text),
    "initializer_token": to("words.0.start_as", text),
    "num_vectors": to("words.0.vectors", whole),
    "learnable_property": to("parts.words.template", lower_text),
    "save_steps": to("saving.every", amount("steps")),
    "enable_xformers_memory_efficient_attention": told("memory.attention", lambda value: "auto", SAME_RESULT),
    "set_grads_to_none": flag("memory.set_to_none"),
    "cache_latents": flag_on("memory.cache_latents", "memory"),
    "pre_compute_text_embeddings": flag_on("memory.cache_text", "memory"),
    "resume_from_checkpoint": unused(OWN_STATE),
    **unused_all("push_to_hub hub_token hub_model_id cache_dir revision variant non_ema_revision", NO_HUB),
    **unused_all(
        "dataset_name dataset_config_name image_column caption_column",
        "sets of the hub are not downloaded here; give a folder with pictures and captions.",
    ),
    **unused_all("max_train_samples", "all pictures of a folder are trained on; take out what is too many."),
    **unused_all("tokenizer_name", "the tokenizers are part of this program."),
    **unused_all("logging_dir tracker_project_name log_with", "curves are kept in the model's own folder."),
    **unused_all("local_rank", "how a script is launched is not part of a recipe."),
    **unused_all("prior_generation_precision", "class pictures are drawn as the base runs best."),
    **unused_all("skip_save_text_encoder foreach_ema", "it changes nothing about the result."),
    **unused_all(
        "text_encoder_use_attention_mask class_labels_conditioning validation_images validation_scheduler",
        NOT_FOR_PICTURES,
    ),
    **unused_all("enable_npu_flash_attention", SAME_RESULT),
    **unused_all(
        "do_edm_style_training", "training in EDM's way is not done here; noise levels are the model's own."
    ),
    **unused_all("dream_training dream_detail_preservation", "DREAM is not done here."),
    **unused_all(
        "timestep_bias_strategy timestep_bias_multiplier timestep_bias_begin timestep_bias_end"
        " timestep_bias_portion",
        "see noise.timesteps, noise.first_timestep and noise.last_timestep for the same end.",
    ),
    **unused_all("output_kohya_format", "LoRA files always have kohya's names."),
    **unused_all("adam_weight_decay_text_encoder", "one weight decay counts for all parts."),
    **unused_all(
        "image_interpolation_mode", "pictures shrink by area and grow with Lanczos, which keeps most."
    ),
    **unused_all("save_as_full_pipeline save_only_embeds", "words are written as files of their own."),
    **unused_all("debug_loss", "the curves show the loss."),
    **unused_all(
        "train_text_encoder_ti train_text_encoder_ti_frac token_abstraction",
        "see parts.words for training words.",
    ),
}
