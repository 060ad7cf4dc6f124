"""A settings file for short runs of the miniature, in a folder with an awkward name."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.assets.shapes import subject
from lib_dreambooth.cli import program
from lib_dreambooth.cli.output import Out
from lib_dreambooth.cli.table import ROWS

NAME = "my 猫"
TEXT = """\
[model]
base = {base}
[[concepts]]
folder = {pictures}
[pictures]
resolution = "64"
[network]
rank = 4
alpha = 4.0
[rates]
learning_rate = 1e-4
schedule = "cosine"
[length]
train_for = "2 steps"
batch_size = 2
[draws]
seed = 1
[saving]
every = "1 steps"
[previews]
every = "never"
at_start = false
at_end = false
[logging]
every = 1
"""


class Shelf:
    """Pictures, settings and a folder of models below one root."""

    def __init__(self, root: Path) -> None:
        self.root = root / "写真 and models"
        self.pictures = self.root / "pictures"
        for number, path in enumerate(subject.write_subject(self.pictures)):
            if number >= 4:
                path.unlink()
                path.with_suffix(".txt").unlink()
        self.settings = self.root / "set tings.toml"
        base, pictures = json.dumps(str(MINI_CHECKPOINT)), json.dumps(str(self.pictures))
        self.settings.write_text(TEXT.format(base=base, pictures=pictures), encoding="utf-8")
        self.models = self.root / "モデル"

    @property
    def loras(self) -> list[str]:
        """The LoRA files by their paths below the folder of LoRAs."""
        place = self.models / "Lora"
        return sorted(path.relative_to(place).as_posix() for path in place.rglob("*.safetensors"))

    def folder(self, name: str = NAME) -> Path:
        return self.models / "dreambooth" / name

    def words(self, command: str, *words: str) -> list[str]:
        first = [str(self.settings)] if command in ("train", "class-pictures", "forecast") else []
        return [command, *first, *words, "--models", str(self.models)]

    def call(self, command: str, *words: str) -> tuple[int, str, str]:
        """Exit code, answer and remarks, as people get them."""
        out = Out(io.StringIO(), io.StringIO())
        code = program.main(self.words(command, *words), ROWS, out)
        assert isinstance(out.stdout, io.StringIO) and isinstance(out.stderr, io.StringIO)
        return code, out.stdout.getvalue(), out.stderr.getvalue()

    def stream(self, command: str, *words: str) -> tuple[int, list[Any]]:
        """Exit code and every line, as programs get them."""
        out = Out(io.StringIO(), io.StringIO(), as_json=True)
        code = program.main(self.words(command, *words), ROWS, out)
        assert isinstance(out.stdout, io.StringIO) and isinstance(out.stderr, io.StringIO)
        assert out.stderr.getvalue() == ""
        text = out.stdout.getvalue()
        try:
            return code, [json.loads(text)]
        except ValueError:
            return code, [json.loads(line) for line in text.splitlines()]
