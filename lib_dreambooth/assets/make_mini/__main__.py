"""Makes the miniature, or goes on making it."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from lib_dreambooth.assets.make_mini.autoencoder import held_out_psnr, train_decoder, train_vae
from lib_dreambooth.assets.make_mini.denoiser import train_denoiser


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, required=True, help="folder for what is being made")
    parser.add_argument("--vae-steps", type=int, default=2000)
    parser.add_argument("--denoiser-steps", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--decoder-steps", type=int, default=1000)
    parser.add_argument("--until", choices=("vae", "denoiser", "decoder", "file"), default="file")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.to.mkdir(parents=True, exist_ok=True)
    vae = train_vae(args.to, args.vae_steps).eval().requires_grad_(False)
    print(f"vae: held-out PSNR {held_out_psnr(vae):.2f} dB", flush=True)
    if args.until == "vae":
        return
    train_denoiser(args.to, vae, args.denoiser_steps)
    if args.until == "denoiser":
        return
    train_decoder(args.to, vae, args.decoder_steps)
    print(f"vae with its decoder trained on: held-out PSNR {held_out_psnr(vae):.2f} dB", flush=True)


if __name__ == "__main__":
    main()
