"""kohya's sd-scripts as the peer: its own program, started as its users do, with files made on the spot."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any

from benchmarks.race.checkpoints import BIG_CLIP_WIDTHS, CLIP_WIDTHS, NUM_SIZE_IDS, VAE_WIDTHS, WIDTHS

SCRIPTS = {"sd1": "train_network.py", "sdxl": "sdxl_train_network.py"}
WHOLE_SCRIPTS = {"sd1": "train_db.py", "sdxl": "sdxl_train.py"}
# Where its tokenizers are looked for under --tokenizer_cache_dir, and their padding.
TOKENIZERS = {
    "openai_clip-vit-large-patch14": "<|endoftext|>",
    "laion_CLIP-ViT-bigG-14-laion2B-39B-b160k": "!",
}


def make_tokenizers(folder: Path) -> None:
    """Its tokenizers, which it would else download."""
    from lib_dreambooth.models.tokenizer_files import tokenizer_files

    for name, padding in TOKENIZERS.items():
        place = folder / name
        place.mkdir(parents=True)
        for file, content in tokenizer_files(padding).items():
            (place / file).write_bytes(content)


def make_folder(pictures: Path, folder: Path, repeats: int) -> None:
    """The pictures in the folder that says how often each is seen."""
    place = folder / f"{repeats}_sks"
    place.mkdir(parents=True)
    for file in sorted(pictures.iterdir()):
        os.link(file, place / file.name)


def arguments(case: dict[str, Any], files: dict[str, str]) -> list[str]:
    """Its command for a case: everything that makes it faster and does not change what is learned is on."""
    family, is_whole = case["family"], case["kind"] == "whole"
    found = [
        (WHOLE_SCRIPTS if is_whole else SCRIPTS)[family],
        f"--pretrained_model_name_or_path={files['checkpoint']}",
        f"--train_data_dir={files['kohya_pictures']}",
        f"--output_dir={files['kohya_output']}",
        "--output_name=peer",
        f"--tokenizer_cache_dir={files['tokenizers']}",
        f"--resolution={case['side']}",
        f"--train_batch_size={case['batch']}",
        f"--max_train_steps={case['steps']}",
        f"--mixed_precision={case['mixed']}",
        f"--learning_rate={case['rate']}",
        "--lr_scheduler=constant",
        "--optimizer_type=AdamW",
        "--caption_extension=.txt",
        "--cache_latents_to_disk" if case["keeps_latents"] else "--cache_latents",
        "--sdpa",
        "--max_data_loader_n_workers=0",
        "--seed=1",
    ]
    if family == "sdxl":
        found += ["--cache_text_encoder_outputs", "--no_half_vae"]
    if is_whole:
        found += ["--stop_text_encoder_training=-1"] if family == "sd1" else []
    else:
        found += ["--network_module=networks.lora", "--network_train_unet_only"]
        found += [f"--network_dim={case['rank']}", f"--network_alpha={case['rank'] / 2}"]
    return found + (["--gradient_checkpointing"] if case["checkpointing"] else [])


def train(folder: Path, size: str, command: list[str]) -> None:
    """Runs one of its scripts in this process."""
    script, *rest = command
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.argv = [script, *rest]
    if size == "small":
        make_small()
    runpy.run_path(str(folder / script), run_name="__main__")


def make_small() -> None:
    """Its networks at a tenth of the width: it has widths as constants where we read them off the file."""
    import transformers
    from library import model_util, original_unet, sdxl_original_unet

    width, text, wide = WIDTHS["small"], CLIP_WIDTHS["small"], BIG_CLIP_WIDTHS["small"]
    model_util.UNET_PARAMS_MODEL_CHANNELS = width
    model_util.UNET_PARAMS_CONTEXT_DIM = text
    model_util.VAE_PARAMS_CH = VAE_WIDTHS["small"]
    original_unet.BLOCK_OUT_CHANNELS = (width, 2 * width, 4 * width, 4 * width)
    original_unet.TIMESTEP_INPUT_DIM = width
    original_unet.TIME_EMBED_DIM = 4 * width
    sdxl_original_unet.MODEL_CHANNELS = width
    sdxl_original_unet.TIME_EMBED_DIM = 4 * width
    sdxl_original_unet.CONTEXT_DIM = text + wide
    sdxl_original_unet.ADM_IN_CHANNELS = wide + NUM_SIZE_IDS
    narrow_context(sdxl_original_unet, text + wide)
    plain = transformers.CLIPTextConfig.__init__

    def small(self: Any, *args: Any, **kwargs: Any) -> None:
        if "hidden_size" in kwargs:
            width = wide if kwargs["hidden_size"] == BIG_CLIP_WIDTHS["real"] else text
            sizes = {"hidden_size": width, "intermediate_size": 4 * width, "projection_dim": width}
            kwargs |= {**sizes, "num_attention_heads": max(width // 64, 1)}
        plain(self, *args, **kwargs)

    transformers.CLIPTextConfig.__init__ = small


def narrow_context(module: Any, width: int) -> None:
    """Its larger UNet says 2,048 where it makes its transformers."""
    plain = module.Transformer2DModel.__init__

    def narrow(self: Any, *args: Any, **kwargs: Any) -> None:
        plain(self, *args, **{**kwargs, "cross_attention_dim": width})

    module.Transformer2DModel.__init__ = narrow
