"""The commands. Adding one: a file with `add(parser)` and `run(args, out) -> int`, and a row here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`module` is imported only when the command is called.

    With `takes_settings` every setting is a flag (--rates.learning_rate 5e-5) besides --set; what was given
    so stands in `args.setting_pairs`, to be read by `run_settings.review`.
    """

    name: str
    module: str
    summary: str
    takes_settings: bool = False


ROWS: tuple[Row, ...] = (
    Row("new", "lib_dreambooth.cli.new", "makes the folder of a model that is to be trained"),
    Row("train", "lib_dreambooth.cli.train", "trains a model from a settings file", takes_settings=True),
    Row(
        "resume",
        "lib_dreambooth.cli.resume",
        "goes on with a model's last run, makes it longer, or starts it over",
        takes_settings=True,
    ),
    Row(
        "forecast",
        "lib_dreambooth.cli.forecast",
        "says what a run needs of memory, time and disk, before anything is loaded",
        takes_settings=True,
    ),
    Row("tell", "lib_dreambooth.cli.tell", "asks a run that is under way to pause, save, sample or stop"),
    Row("demo", "lib_dreambooth.cli.demo", "does the whole job on the small model that comes along"),
    Row("sample", "lib_dreambooth.cli.sample", "draws pictures with a checkpoint and LoRA files"),
    Row("inspect", "lib_dreambooth.cli.inspect", "says what a file is, and what is wrong with it"),
    Row("convert", "lib_dreambooth.cli.convert", "writes a model in another form or precision"),
    Row("merge", "lib_dreambooth.cli.merge", "writes a checkpoint with LoRA files in it"),
    Row("resize", "lib_dreambooth.cli.resize", "makes the rank of a LoRA smaller"),
    Row("extract", "lib_dreambooth.cli.extract", "makes a LoRA of what two checkpoints differ in"),
    Row("compare", "lib_dreambooth.cli.compare", "draws LoRA files at several strengths in one sheet"),
    Row("mini", "lib_dreambooth.cli.mini", "puts the miniature into a WebUI, ready to load"),
    Row("import", "lib_dreambooth.cli.import_recipe", "reads another tool's recipe into a settings file"),
    Row(
        "export",
        "lib_dreambooth.cli.export_recipe",
        "writes settings as a config of kohya's scripts",
        takes_settings=True,
    ),
    Row(
        "settings",
        "lib_dreambooth.cli.settings",
        "lists, shows, checks, compares and writes settings and presets",
        takes_settings=True,
    ),
    Row(
        "dataset",
        "lib_dreambooth.cli.dataset",
        "says what a folder of pictures holds, what is wrong, and what each picture is trained on",
        takes_settings=True,
    ),
    Row(
        "class-pictures",
        "lib_dreambooth.cli.class_pictures",
        "draws the class pictures that a run would lack",
        takes_settings=True,
    ),
    Row("captions", "lib_dreambooth.cli.captions", "finds and edits over a folder's captions, with undo"),
    Row("tag", "lib_dreambooth.cli.tag", "writes captions with a tagger that you have"),
)
