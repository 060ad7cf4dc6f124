"""Every key of db_config.json, with what becomes of it here."""

from __future__ import annotations

from lib_dreambooth.settings.recipes.extension.concepts import CONCEPT, unreadable
from lib_dreambooth.settings.recipes.extension.eras import Era
from lib_dreambooth.settings.recipes.extension.facts import era, has_class_pictures, is_lora, is_sdxl
from lib_dreambooth.settings.recipes.extension.learning import LEARNING
from lib_dreambooth.settings.recipes.extension.optimizing import OPTIMIZING
from lib_dreambooth.settings.recipes.rules import Rule, Table, file_at, flag, to, told, unused, unused_all
from lib_dreambooth.settings.recipes.sheet import Entry, Gap, Sheet
from lib_dreambooth.settings.recipes.turn import loose_text, number, switch, text, whole

PHASES = {"during": "saving.during", "after": "saving.at_end", "cancel": "saving.on_cancel"}
COUNTER = "it counts what was trained before; every model counts for itself here."
DEAD = "the field did nothing."


def network(sheet: Sheet, entry: Entry) -> None:
    """use_lora."""
    sheet.honour(entry, {"network.kind": "lora" if switch(entry.value) else "none"})


def rank(path: str) -> Rule:
    """The ranks of a LoRA."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        if is_lora(sheet):
            sheet.honour(entry, {path: whole(entry.value)})
        else:
            sheet.unused(entry, "it counts with Use LORA only.")

    return rule


def strength(sheet: Sheet, entry: Entry) -> None:
    """lora_weight: written as alpha, though training ran at full strength."""
    value = number(entry.value)
    if not is_lora(sheet):
        sheet.unused(entry, "it counts with Use LORA only.")
    elif era(sheet) is Era.LAST:
        sheet.differ(
            entry,
            {"network.alpha": 0.0},
            f"training ran at full strength and the file said alpha {value:g}, which made it that much"
            " weaker; here alpha is the rank in both.",
        )
    else:
        sheet.differ(
            entry, {"network.alpha": 0.0, "previews.strength": value}, "the strength it was merged with."
        )


def text_strength(sheet: Sheet, entry: Entry) -> None:
    """lora_txt_weight."""
    sheet.unused(entry, "a LoRA has one strength; <lora:name:unet:text> of the WebUI sets both.")


def name(sheet: Sheet, entry: Entry) -> None:
    """custom_model_name, else model_name."""
    if entry.name == "model_name" and sheet.given("custom_model_name"):
        sheet.unused(entry, "custom_model_name names the files.")
    else:
        sheet.honour(entry, {"metadata.name": loose_text(entry.value)})


def save_rhythm(path: str) -> Rule:
    """Frequencies: steps in November 2022, then either, from January 2023 on epochs."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        by_epochs = era(sheet) >= Era.JAN_2023 or sheet.is_on("save_use_epochs")
        every = number(entry.value)
        unit = "epochs" if by_epochs else "steps"
        sheet.honour(entry, {path: f"{every:.10g} {unit}" if 0 < every < 1e9 else "never"})

    return rule


def kinds(sheet: Sheet, phase: str) -> list[str]:
    """What is written in a phase: LoRA files are results of a LoRA, checkpoints those of whole models."""
    found = []
    if is_lora(sheet):
        found += ["result"] if sheet.is_on(f"save_lora_{phase}") else []
        found += ["checkpoint"] if sheet.is_on(f"save_ckpt_{phase}") else []
    elif sheet.is_on(f"save_ckpt_{phase}"):
        found += ["result"]
    if sheet.is_on(f"save_state_{phase}"):
        found += ["state"]
    if phase == "after" and not any(kind != "state" for kind in found):
        found = ["result", *found]
    return found


def phase(when: str) -> Rule:
    """The boxes for what is written when."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        on = switch(entry.value)
        if "lora" in entry.name and not is_lora(sheet):
            sheet.unused(entry, "it counts with Use LORA only.")
            return
        wanted = kinds(sheet, when)
        sheet.put(PHASES[when], wanted)
        sheet.honour(entry, {PHASES[when]: wanted} if on else {})

    return rule


def safe_files(sheet: Sheet, entry: Entry) -> None:
    """save_safetensors."""
    if switch(entry.value):
        sheet.honour(entry)
    else:
        sheet.differ(entry, {}, "written as .safetensors, which every program reads and which runs no code.")


def crop(sheet: Sheet, entry: Entry) -> None:
    """center_crop: off, a random cut was drawn once and kept."""
    if switch(entry.value):
        sheet.honour(entry, {"pictures.crop": "centre"})
        return
    sheet.honour(entry)
    sheet.gap(
        Gap(
            "center_crop",
            "without the tick a random square is cut out of each picture.",
            "the middle of the picture.",
            {"pictures.crop": "random", "pictures.crops_per_picture": 1},
            {"pictures.crop": "centre"},
        )
    )


def prior_weight(sheet: Sheet, entry: Entry) -> None:
    """prior_loss_weight, which the last form computed and then forgot for SD 1 and 2."""
    value = number(entry.value)
    sheet.honour(entry, {"class_pictures.weight": value})
    if era(sheet) is Era.LAST and has_class_pictures(sheet) and not is_sdxl(sheet):
        sheet.gap(
            Gap(
                "prior_loss_weight",
                "the class loss is computed and never added; at batch 1 class pictures count in full.",
                "the weight.",
                {"class_pictures.weight": 1.0},
                {"class_pictures.weight": value},
            )
        )


def prior_fall(sheet: Sheet, entry: Entry) -> None:
    """prior_loss_scale and prior_loss_target: the weight falls over so many epochs."""
    if not sheet.is_on("prior_loss_scale"):
        sheet.honour(entry) if entry.value is False else sheet.unused(entry, "prior_loss_scale is off.")
        return
    target = sheet.number("prior_loss_target") or 100
    sheet.honour(entry, {"class_pictures.fall": f"{target:.10g} epochs"})


def prior_floor(sheet: Sheet, entry: Entry) -> None:
    """prior_loss_weight_min."""
    if sheet.is_on("prior_loss_scale"):
        sheet.honour(entry, {"class_pictures.weight_min": number(entry.value)})
    else:
        sheet.unused(entry, "prior_loss_scale is off.")


def average(sheet: Sheet, entry: Entry) -> None:
    """use_ema: of the UNet, with a fixed decay."""
    on = switch(entry.value)
    if on and is_lora(sheet):
        sheet.unused(entry, "it excludes Use LORA there.")
    else:
        sheet.honour(entry, {"ema.use": on, "ema.decay": 0.9999} if on else {})


def pause(sheet: Sheet, entry: Entry) -> None:
    """epoch_pause_frequency."""
    every = number(entry.value)
    sheet.honour(entry, {"length.pause_every": f"{every:.10g} epochs" if every > 0 else "never"})


def concepts_file(sheet: Sheet, entry: Entry) -> None:
    """concepts_path: counts where use_concepts is ticked."""
    if not sheet.is_on("use_concepts"):
        sheet.unused(entry, "use_concepts is off.")
    elif sheet.assumed.get("concepts_read"):
        sheet.honour(entry, says="read together with this file; its keys follow.")
    else:
        sheet.ask(
            entry, "this list of concepts is not on this machine. Put it beside this file and import again."
        )


def drawn_by(sheet: Sheet, entry: Entry) -> None:
    """class_gen_method."""
    sheet.differ(entry, {}, "class pictures are drawn with the untouched base and class_pictures.sampler.")


EXTENSION: Table = {
    **LEARNING,
    **OPTIMIZING,
    **CONCEPT,
    "use_lora": network,
    "lora_unet_rank": rank("network.rank"),
    "lora_txt_rank": rank("network.text_rank"),
    "lora_weight": strength,
    "lora_txt_weight": text_strength,
    "lora_model_name": file_at("network.start_from", "lora"),
    "model_name": name,
    "custom_model_name": name,
    "hflip": flag("pictures.flip"),
    "center_crop": crop,
    "shuffle_tags": flag("captions.shuffle"),
    "max_token_length": to("captions.max_tokens", whole),
    "pad_tokens": flag("captions.pad"),
    "prior_loss_weight": prior_weight,
    "prior_loss_scale": prior_fall,
    "prior_loss_target": prior_fall,
    "prior_loss_weight_min": prior_floor,
    "sample_batch_size": to("class_pictures.batch_size", whole),
    "class_gen_method": drawn_by,
    "use_ema": average,
    "train_ema": average,
    "save_ema": flag("ema.save", "average", "live"),
    "infer_ema": flag("ema.preview", "average", "live"),
    "save_embedding_every": save_rhythm("saving.every"),
    "save_model_frequency": save_rhythm("saving.every"),
    "save_preview_every": save_rhythm("previews.every"),
    **{f"save_{kind}_{when}": phase(when) for kind in ("ckpt", "lora", "state") for when in PHASES},
    "save_safetensors": safe_files,
    "half_model": flag("saving.precision", "fp16", "fp32"),
    "use_subdir": flag("saving.subfolder"),
    "epoch_pause_frequency": pause,
    "epoch_pause_time": to("length.pause_for", number),
    "sanity_prompt": to("previews.sanity_prompt", text),
    "sanity_seed": to("previews.sanity_seed", whole),
    "save_use_epochs": told(
        "saving.counter", lambda value: "epochs" if switch(value) else "steps", "see saving.every."
    ),
    "save_use_global_counts": unused("saves always fall on the count of all runs of a model."),
    "use_concepts": unused("concepts are sections of the settings."),
    "concepts_path": concepts_file,
    "unreadable concepts": unreadable,
    "replaced concepts": unused("use_concepts takes the list from concepts_path."),
    **unused_all("save_lora_for_extra_net", "LoRA files always have the form that the WebUI reads."),
    **unused_all("snapshot", "states of other programs cannot be gone on from."),
    **unused_all(
        "revision epoch lifetime_revision initial_revision lifetime_epoch total_steps has_ema lifetime_steps",
        COUNTER,
    ),
    **unused_all(
        "scheduler noise_scheduler", "training draws noise levels by itself; previews have previews.sampler."
    ),
    **unused_all("strict_tokens", "tokens are always found as whole words."),
    **unused_all("split_loss", "the curves show both losses."),
    **unused_all("disable_class_matching", "class pictures count whatever their captions are."),
    **unused_all(
        "tenc_weight_decay tenc_grad_clip_norm ema_predict sanity_negative_prompt new_model_extract_ema", DEAD
    ),
    **unused_all("freeze_clip_normalization", "the field only put the text encoder into another mode."),
    **unused_all("train_unfrozen", "it only chose a file to copy; whole models are trained whole."),
    **unused_all("tomesd", "merging tokens makes drawing faster and training coarser; it is not done here."),
    **unused_all("use_dream dream_detail_preservation", "DREAM is not done here."),
    **unused_all("freeze_spectral_norm", "frozen spectral norms are not done here."),
    **unused_all("input_pertubation", "what it does there is not known; see noise.perturbation."),
    **unused_all("dynamic_img_norm", "pictures are scaled to -1..1, as the model was taught."),
    **unused_all("train_imagic train_imagic_only", "Imagic is not done here."),
    **unused_all("train_inpainting", "inpainting models are read and trained as they are."),
    **unused_all(
        "use_lora_extended lora_use_buggy_requires_grad", "see network.targets and network.conv_rank."
    ),
    **unused_all("lr_factor lr_scale_pos", "the schedules here start at the full rate, after the warm-up."),
    **unused_all(
        "api_key discord_webhook webhook webhook_url", "keys and addresses do not belong into settings."
    ),
}
