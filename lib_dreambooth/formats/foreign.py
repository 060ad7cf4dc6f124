"""Models of other families, known by name so that they can be refused by name."""

from __future__ import annotations

from collections.abc import Iterable

# Title and pieces of keys; every piece has to be in some key. The more particular ones come first.
SIGNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Stable Diffusion 3", ("joint_blocks.0.",)),
    ("Stable Diffusion 3", ("transformer_blocks.0.ff_context.", "pos_embed.proj")),
    ("Chroma", ("distilled_guidance_layer.",)),
    ("Hunyuan Video", ("double_blocks.0.", "txt_in.individual_token_refiner")),
    ("Flux", ("double_blocks.0.img_",)),
    ("Flux", ("single_transformer_blocks.0.",)),
    ("Qwen-Image", ("transformer_blocks.0.img_mlp.",)),
    ("AuraFlow", ("double_layers.0.attn.",)),
    ("PixArt", ("adaln_single.", "caption_projection.")),
    ("PixArt", ("t_block.1.weight", "y_embedder.")),
    ("Hunyuan-DiT", ("mlp_t5.0.",)),
    ("Stable Cascade", ("clip_txt_mapper.",)),
    ("Stable Cascade", ("down_blocks.0.0.channelwise.",)),
    ("Stable Cascade", ("clip_txt_pooled_mapper.",)),
    ("Lumina or Z-Image", ("noise_refiner.0.", "cap_embedder.")),
    ("Wan Video", ("blocks.0.cross_attn.", "patch_embedding.")),
    ("LTX Video", ("patchify_proj.",)),
    ("Cosmos or Anima", ("blocks.0.adaln_modulation",)),
    ("HiDream", ("double_stream_blocks.0.",)),
    ("Stable Video Diffusion", (".time_stack.",)),
    ("Kandinsky", ("add_embedding.image_norm.",)),
    ("DeepFloyd IF", ("encoder_hid_proj.", "add_embedding.pool.")),
    ("AltDiffusion", ("cond_stage_model.roberta.",)),
    ("AnimateDiff (a motion module)", (".motion_modules.",)),
    ("ControlNet", ("input_hint_block.",)),
    ("ControlNet", ("control_model.",)),
    ("ControlNet", ("controlnet_cond_embedding.",)),
    ("ControlNet (ControlLLLite)", (".cond_emb.", "lllite")),
    ("T2I-Adapter", ("adapter.body.0.",)),
    ("IP-Adapter", ("ip_adapter.",)),
    ("IP-Adapter", (".to_k_ip.",)),
    ("GLIGEN", ("position_net.",)),
    ("a CLIP model with pictures", ("vision_model.encoder.layers.0.",)),
    ("T5, a text encoder of other families", ("block.0.layer.0.SelfAttention.",)),
    ("an upscaler (ESRGAN)", ("RDB1.conv1.",)),
    ("a segmentation or detection model", ("image_encoder.blocks.0.", "mask_decoder.")),
    ("a hypernetwork of the WebUI", (".0.linear.0.weight", "768.")),
)
# Pieces of module names in LoRA files of other families.
ADAPTER_SIGNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Stable Diffusion 3", ("joint_blocks",)),
    ("Hunyuan Video", ("individual_token_refiner",)),
    ("Flux", ("double_blocks",)),
    ("Flux", ("single_blocks",)),
    ("Flux", ("single_transformer_blocks",)),
    ("Qwen-Image", ("img_mlp",)),
    ("Stable Diffusion 3", ("ff_context",)),
    ("Stable Cascade", ("lora_prior_",)),
    ("Wan Video", ("blocks.0.cross_attn",)),
    ("Wan Video", ("blocks_0_cross_attn",)),
    ("Lumina or Z-Image", ("noise_refiner",)),
    ("AuraFlow", ("double_layers",)),
    ("a Transformer model that is not Stable Diffusion", ("lora_transformer_",)),
)


def foreign_family(keys: Iterable[str], *, is_adapter: bool) -> str:
    """The name of another family, or nothing."""
    joined = "\n".join(keys)
    signs = ADAPTER_SIGNS if is_adapter else SIGNS
    return next((title for title, pieces in signs if all(piece in joined for piece in pieces)), "")
