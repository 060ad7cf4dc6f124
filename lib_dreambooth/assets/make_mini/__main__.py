"""Makes the miniature, or goes on making it."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from lib_dreambooth.assets.make_mini.autoencoder import held_out_psnr, train_vae


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, required=True, help="folder for what is being made")
    parser.add_argument("--vae-steps", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.to.mkdir(parents=True, exist_ok=True)
    vae = train_vae(args.to, args.vae_steps)
    print(f"vae: held-out PSNR {held_out_psnr(vae):.2f} dB", flush=True)


if __name__ == "__main__":
    main()
