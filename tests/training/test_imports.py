"""What is not imported for what: each of these takes longer than the rest of a start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lib_dreambooth.base.versions import first_two

ROOT = Path(__file__).resolve().parents[2]

ENGINE = ["torch", "numpy", "PIL"]
WEB = ["gradio", "fastapi", "uvicorn"]
LIBRARIES = ["diffusers", "transformers", "bitsandbytes", "accelerate", "lycoris", "pytorch_optimizer"]
COMPILER = ["torch._dynamo", "torch._inductor"]

# A model, an optimizer and the switches of a run.
STEP = """
import torch
from pathlib import Path
import lib_dreambooth.jobs.training, lib_dreambooth.jobs.plan, lib_dreambooth.training.trainer.trainer
from lib_dreambooth.training.optimizers.building import new_optimizer
from lib_dreambooth.training.precision.flags import switched
from lib_dreambooth.models.read import read_model
from tests.models.tiny import tiny_sd1
from tests.training.made_parts import give_gradients, made_parts, plan_of
from lib_dreambooth import settings
import tempfile
with tempfile.TemporaryDirectory() as folder:
    read_model(tiny_sd1(Path(folder))).unet
    run = settings.read({'optimizer': {'name': 'AdamW'}}).run
    with switched(tf32=False, deterministic=True):
        optimizer = new_optimizer(run, made_parts(), plan_of(4))
"""


def imported(action: str, names: list[str]) -> list[str]:
    """Which of these a fresh process has imported after an action."""
    code = f"{action}\nimport json, sys\nprint(json.dumps([name for name in {names} if name in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True
    )
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def command(*words: str) -> str:
    """Runs a command of the program and goes on, however it ends."""
    return (
        f"from lib_dreambooth.app import main\ntry:\n    main({list(words)!r})\nexcept SystemExit:\n    pass"
    )


@pytest.mark.parametrize(
    "words", [["--help"], ["train", "--help"], ["settings", "presets"], ["tell", "--help"]], ids=" ".join
)
def test_light_commands_bring_no_engine(words: list[str]) -> None:
    assert imported(command(*words), [*ENGINE, *WEB, *LIBRARIES]) == []


def test_looking_into_a_file_brings_no_libraries(tmp_path: Path) -> None:
    (tmp_path / "file.safetensors").write_bytes(b"nothing")
    action = command("inspect", str(tmp_path / "file.safetensors"))
    assert imported(action, [*WEB, *LIBRARIES, *COMPILER]) == []


@pytest.mark.slow
def test_a_run_brings_neither_libraries_nor_the_compiler() -> None:
    import torch

    # PyTorch 2.1 makes no optimizer without its compiler but the fused one, which it has for cards alone; its
    # compiler looks into transformers.
    is_old = first_two(torch.__version__) < (2, 2)
    never = [name for name in LIBRARIES if name != "transformers"] if is_old else [*LIBRARIES, *COMPILER]
    assert imported(STEP, [*WEB, *never]) == []
