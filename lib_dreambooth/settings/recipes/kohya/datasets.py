"""kohya's options for folders, buckets and what happens to pictures."""

from __future__ import annotations

from lib_dreambooth.settings.recipes.rules import Table, choice, flag_on, place, to, unused
from lib_dreambooth.settings.recipes.sheet import Entry, Gap, Sheet
from lib_dreambooth.settings.recipes.turn import Unreadable, numbers, size, switch, text, whole, whole_size

FILTERS = {
    "lanczos": "lanczos",
    "nearest": "nearest",
    "bilinear": "bilinear",
    "linear": "bilinear",
    "bicubic": "bicubic",
    "cubic": "bicubic",
    "area": "area",
    "box": "area",
}
LATENT_PX = 8


def has_training_folder(sheet: Sheet) -> bool:
    """Whether the recipe itself names training pictures."""
    return sheet.given("train_data_dir") or sheet.given("in_json")


def class_number(sheet: Sheet) -> int:
    """The place of the class pictures among the concepts."""
    return 1 if has_training_folder(sheet) else 0


def replaced(sheet: Sheet, entry: Entry) -> bool:
    """Whether a dataset file takes the place of this key, which is then settled."""
    if sheet.given("dataset_config"):
        sheet.unused(entry, "dataset_config takes its place.")
        return True
    return False


def training_folder(sheet: Sheet, entry: Entry) -> None:
    """train_data_dir: the parent of folders such as 10_name, or plain pictures beside in_json."""
    if replaced(sheet, entry):
        return
    subfolders = "ignore" if sheet.given("in_json") else "repeats"
    place(sheet, entry, "concepts.0.folder", "folder", also={"concepts.0.subfolders": subfolders})


def class_folder(sheet: Sheet, entry: Entry) -> None:
    """reg_data_dir: class pictures take places of their own in the epoch."""
    if replaced(sheet, entry):
        return
    number = class_number(sheet)
    also = {f"concepts.{number}.subfolders": "repeats", **class_concept(number)}
    place(sheet, entry, f"concepts.{number}.folder", "folder", also=also)


def class_concept(number: int) -> dict[str, str]:
    """A concept of class pictures, mixed in, with the colour under transparency as kohya sees it."""
    return {
        f"concepts.{number}.role": "class",
        # Wholly transparent class pictures are trained on the colour underneath.
        f"concepts.{number}.override#pictures.alpha": "drop",
        "class_pictures.relation": "mixed",
    }


def metadata_file(sheet: Sheet, entry: Entry) -> None:
    """in_json: captions and tags of all pictures in one file."""
    if not replaced(sheet, entry):
        place(sheet, entry, "concepts.0.metadata_file", "file")


def mask_folder(sheet: Sheet, entry: Entry) -> None:
    """conditioning_data_dir: masks under the pictures' names."""
    if replaced(sheet, entry):
        return
    if has_training_folder(sheet):
        place(sheet, entry, "concepts.0.mask_folder", "folder")
    else:
        sheet.unused(entry, "no pictures are named that the masks could belong to.")


def repeats(sheet: Sheet, entry: Entry) -> None:
    """dataset_repeats, which only pictures from a metadata file ask for."""
    count = whole(entry.value)
    if sheet.given("in_json") and not sheet.given("dataset_config"):
        sheet.honour(entry, {"concepts.0.repeats": count})
    elif count == 1:
        sheet.honour(entry)
    else:
        sheet.unused(entry, "the numbers in front of the folders' names are the repeats.")


def dataset_file(sheet: Sheet, entry: Entry) -> None:
    """dataset_config: read together with this file where it is found."""
    text(entry.value)
    if sheet.assumed.get("dataset_read"):
        sheet.honour(entry, says="read together with this file; its keys follow.")
    else:
        sheet.ask(
            entry, "this dataset file is not on this machine. Put it beside the config and import again."
        )


def buckets(sheet: Sheet, entry: Entry) -> None:
    """enable_bucket."""
    sheet.honour(entry, {"pictures.buckets": switch(entry.value)})


def resolution(sheet: Sheet, entry: Entry) -> None:
    """resolution: what is no multiple of 8 loses its last pixels on the way into the latents."""
    sides = whole_size(entry.value)
    fitting = tuple(side // LATENT_PX * LATENT_PX for side in sides)
    wanted = {"pictures.resolution": "x".join(map(str, fitting))}
    if fitting == sides or not all(fitting):
        sheet.honour(entry, {"pictures.resolution": size(entry.value)})
    else:
        sheet.differ(entry, wanted, f"sides are multiples of {LATENT_PX}; the rest was lost there too.")


def bucket_step(sheet: Sheet, entry: Entry) -> None:
    """bucket_reso_steps, which may be anything there although latents come in steps of 8 pixels."""
    step = whole(entry.value)
    fitting = max(LATENT_PX, step // LATENT_PX * LATENT_PX)
    if fitting == step or step < 1:
        sheet.honour(entry, {"pictures.bucket_step": step})
    else:
        says = f"latents come in steps of {LATENT_PX} pixels, whatever is asked for."
        sheet.differ(entry, {"pictures.bucket_step": fitting}, says)


def no_upscale(sheet: Sheet, entry: Entry) -> None:
    """bucket_no_upscale."""
    sheet.honour(entry, {"pictures.upscale": not switch(entry.value)})


def random_crop(sheet: Sheet, entry: Entry) -> None:
    """random_crop: a fresh one at every visit, which no cache can hold."""
    if switch(entry.value):
        sheet.honour(entry, {"pictures.crop": "random", "pictures.crops_per_picture": 0})
    else:
        sheet.honour(entry)


def face_crop(sheet: Sheet, entry: Entry) -> None:
    """face_crop_aug_range: smallest and largest zoom around the face box in the file's name."""
    ends = numbers(entry.value)
    if len(ends) != 2:
        raise Unreadable("is not two numbers.")
    low, high = sorted(ends)
    sheet.honour(
        entry,
        {"pictures.crop": "face", "pictures.face_zoom_min": low, "pictures.face_zoom_max": high},
    )


def colours(sheet: Sheet, entry: Entry) -> None:
    """color_aug, whose gamma is taken of 0-255 there."""
    if not switch(entry.value):
        sheet.honour(entry)
        return
    sheet.honour(entry)
    sheet.gap(
        Gap(
            "colour augmentation",
            "it takes the gamma of 0-255 instead of 0-1, which only makes pictures brighter or darker.",
            "a change of gamma.",
            {"pictures.colour_change": "kohya"},
            {"pictures.colour_change": "gentle"},
        )
    )


DATASETS: Table = {
    "train_data_dir": training_folder,
    "reg_data_dir": class_folder,
    "in_json": metadata_file,
    "conditioning_data_dir": mask_folder,
    "dataset_repeats": repeats,
    "dataset_config": dataset_file,
    "dataset_class": unused("classes of other programs are not loaded here."),
    "resolution": resolution,
    "enable_bucket": buckets,
    "min_bucket_reso": to("pictures.bucket_min", whole),
    "max_bucket_reso": to("pictures.bucket_max", whole),
    "bucket_reso_steps": bucket_step,
    "bucket_no_upscale": no_upscale,
    "resize_interpolation": choice("pictures.filter", FILTERS),
    "flip_aug": to("pictures.flip", switch),
    "color_aug": colours,
    "random_crop": random_crop,
    "face_crop_aug_range": face_crop,
    "alpha_mask": flag_on("pictures.alpha", "mask"),
    "cache_info": unused("sizes and captions are remembered by content anyway."),
    "debug_dataset": unused("the command dataset and the Dataset page show every picture as it is trained."),
}
