"""diffusers' training scripts as the peer: their own programs, with a folder and captions as they want them.

They encode pictures and captions anew in every step, but for whole weights of SDXL, and their LoRA is beside
the projections of attention alone, with a weight of one.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

PLACE = Path("examples") / "text_to_image"
SCRIPTS = {
    ("sd1", "lora"): "train_text_to_image_lora.py",
    ("sd1", "whole"): "train_text_to_image.py",
    ("sdxl", "lora"): "train_text_to_image_lora_sdxl.py",
    ("sdxl", "whole"): "train_text_to_image_sdxl.py",
}
NEVER = 1_000_000_000


def same_layers(case: dict[str, Any]) -> dict[str, Any]:
    """Our settings for what they train: their LoRA is beside q, k, v and the way out of attention."""
    if case["kind"] == "whole":
        return {}
    return {"network": {"targets": "attention", "alpha": float(case["rank"])}}


def make_model(checkpoint: Path, folder: Path) -> None:
    """The checkpoint as the folder that they read."""
    from lib_dreambooth.tools.convert import convert

    convert(checkpoint, folder)


def make_folder(pictures: Path, folder: Path) -> None:
    """The pictures, and their captions in the one file that they know."""
    folder.mkdir(parents=True)
    lines = []
    for file in sorted(pictures.glob("*.png")):
        os.link(file, folder / file.name)
        caption = file.with_suffix(".txt").read_text(encoding="utf-8").strip()
        lines.append(json.dumps({"file_name": file.name, "text": caption}) + "\n")
    (folder / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")


def arguments(case: dict[str, Any], files: dict[str, str]) -> list[str]:
    """Their command for a case."""
    found = [
        SCRIPTS[case["family"], case["kind"]],
        f"--pretrained_model_name_or_path={files['model']}",
        f"--train_data_dir={files['captioned']}",
        f"--cache_dir={files['cache']}",
        f"--output_dir={files['output']}",
        f"--resolution={case['side']}",
        "--center_crop",
        f"--train_batch_size={case['batch']}",
        f"--max_train_steps={case['steps']}",
        f"--mixed_precision={case['mixed']}",
        f"--learning_rate={case['rate']}",
        "--lr_scheduler=constant",
        "--adam_weight_decay=0.01",
        "--max_grad_norm=1.0",
        f"--checkpointing_steps={NEVER}",
        "--seed=1",
    ]
    if case["kind"] == "lora":
        found.append(f"--rank={case['rank']}")
    return found + (["--gradient_checkpointing"] if case["checkpointing"] else [])


def train(folder: Path, command: list[str]) -> None:
    """Runs one of the scripts in this process."""
    script, *rest = command
    [cache] = [word.partition("=")[2] for word in rest if word.startswith("--cache_dir=")]
    # What they would leave in the user's own folder of such files.
    os.environ["HF_HOME"] = cache
    os.chdir(Path(cache).parent)
    # Behind everything else: files beside this one have names of their own.
    sys.path.append(str(folder / PLACE))
    sys.argv = [script, *rest]
    runpy.run_path(str(folder / PLACE / script), run_name="__main__")
