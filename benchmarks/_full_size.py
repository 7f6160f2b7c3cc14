"""SDXL, SD3.5 Large and Stable Video Diffusion XT at full size with random weights, from their
published configurations: speed and memory do not depend on the values. No network, no disk."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from demo.tokenizers import clip_tokenizer, t5_tokenizer
from pipelines.catalog import ModelKey

_VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "sample_size": 1024,
}
_PICTURE_VAE = _VAE | {"up_block_types": ("UpDecoderBlock2D",) * 4}
_CLIP_L = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
    "hidden_act": "quick_gelu",
}
_CLIP_G = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}
_SDXL = {
    "sample_size": 128,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (320, 640, 1280),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "use_linear_projection": True,
}
_SD3 = {
    "sample_size": 128,
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "num_layers": 38,
    "attention_head_dim": 64,
    "num_attention_heads": 38,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 2432,
    "pooled_projection_dim": 2048,
    "pos_embed_max_size": 192,
    "qk_norm": "rms_norm",
}
_T5 = {
    "vocab_size": 32128,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
    "is_gated_act": True,
    "dense_act_fn": "gelu_new",
}
_CLIP_H_VISION = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "projection_dim": 1024,
    "image_size": 224,
    "patch_size": 14,
}
WORDS = ["a", "red", "star", "on", "blue", "background"]


def build(key: ModelKey, device: torch.device, dtype: torch.dtype) -> Any:
    """The stock pipeline of a model, its weights random and on `device`."""
    maker: Callable[[Any], Any] = {
        ModelKey.SKETCH: _sdxl,
        ModelKey.IMAGINE: _sd3,
        ModelKey.ANIMATE: _svd,
    }[key]
    scheduler = _SCHEDULERS[key]()
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with device:
            pipeline = maker(scheduler)
    finally:
        torch.set_default_dtype(before)
    for part in pipeline.components.values():
        if isinstance(part, nn.Module):
            part.to(device).eval().requires_grad_(False)  # some weights do not ask where to be
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _euler(**settings: Any) -> Any:
    from diffusers import EulerDiscreteScheduler

    return EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", **settings
    )


def _flow() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(shift=3.0)


_SCHEDULERS: dict[ModelKey, Callable[[], Any]] = {
    ModelKey.SKETCH: _euler,
    ModelKey.IMAGINE: _flow,
    ModelKey.ANIMATE: lambda: _euler(
        prediction_type="v_prediction",
        timestep_type="continuous",
        use_karras_sigmas=True,
        sigma_min=0.002,
        sigma_max=700.0,
    ),
}


def _clip(config: dict[str, Any], cls: Any) -> Any:
    from transformers import CLIPTextConfig

    return cls(CLIPTextConfig(vocab_size=49408, max_position_embeddings=77, **config))


def _sdxl(scheduler: Any) -> Any:
    import diffusers
    import transformers

    return diffusers.StableDiffusionXLPipeline(
        vae=diffusers.AutoencoderKL(
            **_PICTURE_VAE,
            scaling_factor=0.13025,
            force_upcast=False,  # as the checkpoint that config.example.toml names
        ),
        text_encoder=_clip(_CLIP_L, transformers.CLIPTextModel),
        text_encoder_2=_clip(_CLIP_G, transformers.CLIPTextModelWithProjection),
        tokenizer=clip_tokenizer(WORDS),
        tokenizer_2=clip_tokenizer(WORDS),
        unet=diffusers.UNet2DConditionModel(**_SDXL),
        scheduler=scheduler,
        add_watermarker=False,
    )


def _sd3(scheduler: Any) -> Any:
    import diffusers
    import transformers

    return diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(**_SD3),
        scheduler=scheduler,
        vae=diffusers.AutoencoderKL(
            **_PICTURE_VAE,
            latent_channels=16,
            scaling_factor=1.5305,
            shift_factor=0.0609,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        text_encoder=_clip(_CLIP_L, transformers.CLIPTextModelWithProjection),
        text_encoder_2=_clip(_CLIP_G, transformers.CLIPTextModelWithProjection),
        text_encoder_3=transformers.T5EncoderModel(transformers.T5Config(**_T5)),
        tokenizer=clip_tokenizer(WORDS),
        tokenizer_2=clip_tokenizer(WORDS),
        tokenizer_3=t5_tokenizer(WORDS),
    )


def _svd(scheduler: Any) -> Any:
    import diffusers
    import transformers

    return diffusers.StableVideoDiffusionPipeline(
        vae=diffusers.AutoencoderKLTemporalDecoder(**_VAE),
        image_encoder=transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(**_CLIP_H_VISION)
        ),
        unet=diffusers.UNetSpatioTemporalConditionModel(
            num_attention_heads=(5, 10, 20, 20), num_frames=25
        ),
        scheduler=scheduler,
        feature_extractor=transformers.CLIPImageProcessor(),
    )
