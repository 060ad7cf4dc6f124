"""The script that made the miniature still runs, stops and goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# In one environment: whoever makes the miniature anew does so with current packages.
pytestmark = [pytest.mark.slow, pytest.mark.needs("torch>=2.4")]


def make(folder: Path, vae_steps: int, denoiser_steps: int) -> list[str]:
    command = [sys.executable, "-m", "lib_dreambooth.assets.make_mini", "--to", str(folder), "--threads", "1"]
    command += ["--vae-steps", str(vae_steps), "--denoiser-steps", str(denoiser_steps), "--variants", "1"]
    command += ["--scenes", "8", "--score-scenes", "1"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def test_the_script_makes_a_checkpoint_and_goes_on_from_what_is_there(tmp_path: Path) -> None:
    from lib_dreambooth.formats.checkpoint import identify

    make(tmp_path, 2, 2)
    learned = (tmp_path / "vae.safetensors").read_bytes()
    lines = make(tmp_path, 2, 3)
    assert not any(line.startswith("vae step") for line in lines), "the VAE was finished already"
    assert (tmp_path / "vae.safetensors").read_bytes() == learned
    assert json.loads((tmp_path / "denoiser.json").read_text(encoding="utf-8")) == {"step": 3}
    assert any("1 held-out scenes" in line for line in lines)
    kind = identify(tmp_path / "mini.safetensors")
    assert (kind.family, kind.role, kind.missing_parts, kind.damaged_parts) == ("sd1", "checkpoint", (), ())
