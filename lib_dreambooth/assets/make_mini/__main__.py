"""Makes the miniature, or goes on making it."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.assets.make_mini.autoencoder import held_out_psnr, train_vae
from lib_dreambooth.assets.make_mini.denoiser import VARIANTS, train_denoiser
from lib_dreambooth.assets.make_mini.pack import pack
from lib_dreambooth.assets.make_mini.score import score
from lib_dreambooth.assets.shapes.drawing import NUM_HELD_OUT, held_out_scenes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, required=True, help="folder for what is being made, to go on from")
    parser.add_argument(
        "--file", type=Path, help=f"the finished file (default: in the folder; ours: {MINI_CHECKPOINT.name})"
    )
    parser.add_argument("--vae-steps", type=int, default=1600)
    parser.add_argument("--denoiser-steps", type=int, default=7600)
    parser.add_argument(
        "--scenes", type=int, help="how many are learned (default: all that are not held out)"
    )
    parser.add_argument("--variants", type=int, default=VARIANTS, help="drawings of each scene")
    parser.add_argument(
        "--score-scenes", type=int, default=NUM_HELD_OUT, help="held-out scenes it is judged on"
    )
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.to.mkdir(parents=True, exist_ok=True)
    vae = train_vae(args.to, args.vae_steps).eval().requires_grad_(False)
    scenes = held_out_scenes()[: args.score_scenes]
    print(f"vae: held-out PSNR {held_out_psnr(vae, scenes):.2f} dB", flush=True)
    denoiser, spread = train_denoiser(args.to, vae, args.denoiser_steps, args.variants, args.scenes)
    share = score(denoiser, vae, spread, scenes)
    print(f"denoiser: {share:.0%} of {len(scenes)} held-out scenes are right", flush=True)
    path = args.file or args.to / MINI_CHECKPOINT.name
    pack(path, vae, denoiser, spread)
    print(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
