"""Six ways from a program that was just started to a picture, as docs/journeys.md tells them."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image

from lib_dreambooth.assets.shapes import subject
from tests.browser.walking import FORM, MINI, RUN, Place, Walk
from tests.models import tiny

KIND = 'input[name="dreambooth_kind"][value="{}"]'
FOLDER = "#dreambooth_panel_start [data-path='concepts.0.folder'] input"
SHEET = "document.querySelector('.dreambooth-sheet')"
DIALOG = "document.querySelector('.dreambooth-dialog[open]')"
SIZE = 128
# Nobody's settings: what a test shortens a walk by.
FEW = {
    "length.train_for": "3 steps",
    "previews.every": "never",
    "previews.steps": 2,
    "previews.size": "128",
    "saving.every": "never",
    "logging.every": 1,
}


def pictures_in(folder: Path, count: int = 8) -> Path:
    """The subject that tests teach, mirrored where more are asked for than there are."""
    folder.mkdir(parents=True, exist_ok=True)
    found = sorted(path for path in subject.write_subject(folder) if path.suffix == ".png")
    for number, path in enumerate(found[: max(0, count - len(found))]):
        more = folder / f"more{number}.png"
        with Image.open(path) as picture:
            picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(more)
        shutil.copy(path.with_suffix(".txt"), more.with_suffix(".txt"))
    return folder


def beginner(walk: Walk, place: Place, folder: Path) -> None:
    """Twelve pictures are dropped, two words typed."""
    name = place.free("ring")
    walk.drop("#dreambooth_files", sorted(pictures_in(folder / "twelve", 12).iterdir()))
    walk.type("#dreambooth_name", name)
    walk.type("#dreambooth_trigger", "zwx")
    if place.is_quick:
        walk.shorten({**FEW, "previews.every": "2 steps"})
    told = walk.line("12 pictures x 1 repeat = 12 visits")
    assert "first preview after" in told and "Disk" in told
    walk.picture(1)
    walk.press("#dreambooth_start_train")
    walk.page.wait("document.querySelector('#dreambooth_panel_progress').checkVisibility()")
    walk.follow(name)
    walk.page.wait(f"{RUN}.sampled.length || {RUN}.finished", 600)
    walk.picture(2)
    walk.ended(name)
    assert f"<lora:{name}-" in place.send(walk, f"<lora:{name}")
    walk.picture(3)
    place.draw(walk)
    walk.picture(4)


def kohya_user(walk: Walk, place: Place, folder: Path) -> None:
    """A TOML of kohya's scripts, and a folder whose name holds the repeats."""
    pictures_in(folder / "train" / "40_zwx ring")
    name = place.free("riho_head")
    recipe = folder / "riho.toml"
    lines = (
        'pretrained_model_name_or_path = "nai-full.safetensors"',
        f"train_data_dir = '{folder / 'train'}'",
        f'output_name = "{name}"',
        'network_module = "networks.lora"',
        "network_dim = 8",
        "network_alpha = 4",
        'resolution = "128,128"',
        "learning_rate = 1e-3",
        'lr_scheduler = "cosine_with_restarts"',
        "train_batch_size = 4",
        "max_train_steps = 30",
        "save_every_n_epochs = 1",
        "shuffle_caption = true",
        "keep_tokens = 1",
        'caption_extension = ".txt"',
        "xformers = true",
        'mixed_precision = "no"',
        "flip_aug = true",
    )
    recipe.write_text("\n".join(lines) + "\n", encoding="utf-8")
    walk.show("import")
    walk.drop("#dreambooth_import_file", [recipe])
    walk.page.wait("document.querySelector('#dreambooth_take_import')")
    report = walk.page.text("#dreambooth_panel_import")
    assert "checkpoint file is not on this machine" in report and "xformers" in report
    walk.picture(1)
    walk.press("#dreambooth_take_import")
    walk.show("start")
    walk.choose("#dreambooth_base", f"{MINI}.safetensors")
    if place.is_quick:
        walk.shorten(FEW)
    walk.line("8 pictures x 40 repeats = 320 visits")
    train_and_draw(walk, place, name)


def train_and_draw(walk: Walk, place: Place, name: str) -> None:
    """From the guided start to a picture, with the third picture of the walk at the run's end."""
    walk.picture(2)
    walk.press("#dreambooth_start_train")
    walk.ended(name)
    walk.picture(3)
    place.send(walk, f"<lora:{name}")
    place.draw(walk)
    walk.picture(4)


def japanese_guide(walk: Walk, place: Place, folder: Path) -> None:
    """Whole model, transparent class pictures, cancel, N more steps; the page is Japanese."""
    clear = folder / "clear"
    clear.mkdir()
    for number in range(8):
        Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0)).save(clear / f"{number}.png")
    name = place.free("nanU")
    assert "作成" in walk.page.text("#dreambooth_tab_create")
    walk.show("create")
    walk.type("#dreambooth_create_name", name)
    walk.type("#dreambooth_create_base", str(place.checkpoints / f"{MINI}.safetensors"))
    walk.press("#dreambooth_create")
    walk.page.wait(f"sdDreambooth.store.get('model') === '{name}'")
    walk.show("start")
    walk.press(KIND.format("whole"))
    walk.type(FOLDER, str(pictures_in(folder / "faces")))
    walk.type("#dreambooth_trigger", "nanU")
    walk.type("#dreambooth_class", "Unan")
    walk.show("training")
    assert "Learning Rate（学習率）" in walk.page.text(FORM)
    walk.set("Classification Dataset Directory", "concepts.0.class_folder", str(clear))
    relation = f"{walk.find('Class Pictures', 'class_pictures.relation')} select"
    mixed = f"document.querySelector({relation!r}).options[1].textContent"
    walk.choose(relation, str(walk.page.js(mixed)))
    length = walk.find("length.train_for", "length.train_for")
    walk.type(f"{length} input", "60")
    walk.choose(f"{length} select", "steps")
    if place.is_quick:
        walk.shorten({**FEW, "length.train_for": "60 steps", "previews.size": "64"})
    walk.picture(1)
    walk.press("#dreambooth_train")
    walk.follow(name)
    walk.page.wait(f"{RUN}.step > 1", 300)
    walk.picture(2)
    walk.press("#dreambooth_cancel")
    walk.page.wait(DIALOG)
    walk.picture(3)
    walk.press(".dreambooth-dialog .dreambooth-primary")
    walk.ended(name, "cancelled")
    step = walk.page.js(f"{RUN}.finished.step")
    walk.press("#dreambooth_train")
    walk.page.wait(SHEET)
    asked = walk.page.text(".dreambooth-sheet")
    assert f"60 ステップ中 {step} ステップまで保存されています" in asked, asked
    walk.picture(4)
    walk.type("#dreambooth_more_steps", "2" if place.is_quick else "10")
    walk.press("#dreambooth_again_more")
    end = step + (2 if place.is_quick else 10)
    walk.page.wait(f"{RUN}.step === {end}", 300)
    walk.ended(name)
    walk.picture(5)
    place.send(walk, f"{name}-{end:06}")
    walk.picture(6)
    place.draw(walk)
    walk.picture(7)


def sdxl_style(walk: Walk, place: Place, folder: Path) -> None:
    """A preset, no trigger, a base of SDXL: one of random weights shows the way and no style."""
    name = place.free("flat style")
    walk.show("training")
    walk.choose("#dreambooth_preset", "Style (SDXL)")
    walk.press("#dreambooth_apply_preset")
    walk.page.wait(DIALOG)
    walk.picture(1)
    walk.press_text("Apply", ".dreambooth-dialog")
    walk.show("start")
    walk.choose("#dreambooth_base", f"{XL}.safetensors")
    walk.type(FOLDER, str(pictures_in(folder / "flat", 12)))
    walk.type("#dreambooth_name", name)
    # Only for a CPU: a card would draw and train at 1024.
    walk.show("training")
    for path, value in {"pictures.resolution": "128", "previews.size": "128", "previews.steps": "4"}.items():
        walk.set(path, path, value)
    length = walk.find("length.train_for", "length.train_for")
    walk.type(f"{length} input", "2" if place.is_quick else "6")
    walk.choose(f"{length} select", "steps")
    walk.show("start")
    if place.is_quick:
        walk.shorten({**FEW, "length.train_for": "2 steps"})
    walk.line("12 pictures x 1 repeat = 12 visits; batch 2 gives 6 batches")
    train_and_draw(walk, place, name)


def word_and_network(walk: Walk, place: Place, folder: Path) -> None:
    """Both in one run; the prompt holds both."""
    name, word = place.free("pair"), place.free("zwp")
    walk.press(KIND.format("both"))
    walk.type(FOLDER, str(pictures_in(folder / "both")))
    walk.type("#dreambooth_name", name)
    walk.type("#dreambooth_trigger", word)
    walk.type("#dreambooth_class", "ring")
    if place.is_quick:
        walk.shorten(FEW)
    walk.line("8 pictures x 1 repeat = 8 visits")
    walk.picture(1)
    walk.press("#dreambooth_start_train")
    walk.ended(name)
    walk.picture(2)
    assert word in place.send(walk, f"<lora:{name}")
    place.draw(walk)
    walk.picture(3)


def morning_after(walk: Walk, place: Place, name: str, sentence: str) -> None:
    """The program was killed; it is there again and says so."""
    walk.page.wait("document.querySelector('.dreambooth-said')")
    assert sentence in walk.page.text(".dreambooth-saying")
    walk.picture(1)
    walk.show("queue")
    walk.page.wait("document.querySelector('.dreambooth-stopped')")
    assert sentence in walk.page.text(".dreambooth-stopped")
    walk.picture(2)
    walk.press_text("Go on", ".dreambooth-stopped")
    walk.page.wait(f"{RUN} && {RUN}.model === '{name}' && !{RUN}.finished")
    walk.ended(name)
    walk.picture(3)
    place.send(walk, f"<lora:{name}")
    place.draw(walk)
    walk.picture(4)


XL = "tiny-sdxl"


def put_xl(place: Place) -> None:
    """A small SDXL among the checkpoints."""
    if not (place.checkpoints / f"{XL}.safetensors").exists():
        tiny.tiny_sdxl(place.checkpoints)
