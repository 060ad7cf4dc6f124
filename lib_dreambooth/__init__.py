"""LoRA and Dreambooth training for the Stable Diffusion WebUI, and without one."""

__version__ = "0.1.0"
