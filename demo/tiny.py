"""Small models of the real classes: random weights, made on this machine in seconds.

What they paint is colourful noise; that they are loaded, moved, run, stepped and cancelled by the
same code as the real ones is the point. Pictures are 256 × 256 out of latents of 16 × 16.
`python -m demo.tiny FOLDER` builds them.
"""

import hashlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from demo import tokenizers
from demo.tokenizers import bert_tokenizer, clip_tokenizer, t5_tokenizer

_VOCABULARY = """
a an and the of on in with at by to from under over near behind beside between into
red orange yellow green blue purple pink brown black white grey gold silver dark bright pale
small large tiny big round square long tall wide old new young happy sad quiet wild soft
circle triangle star heart line dot shape spiral cross ring arrow moon sun cloud rain snow
cat dog bird fish horse rabbit fox bear mouse owl dragon robot person child woman man face hand
house tree flower leaf mountain hill river sea lake forest garden street city castle tower bridge
boat ship car train bicycle balloon kite lamp lighthouse window door table chair cup apple
drawing sketch painting picture photo paper background standing sitting flying running swimming
sleeping looking watercolour oil ink pencil light shadow morning evening night summer winter
"""
WORDS = _VOCABULARY.split()
LATENT_STAGES = 5  # the VAEs halve a picture four times: one latent pixel is 16 picture pixels


def build(folder: Path) -> None:
    """Write every model into `folder`, a sub-folder each. The same bytes every time."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    for name, write in _MODELS.items():
        with _seeded(name):
            write(folder / name)


def ensure(folder: Path) -> Path:
    """Build into `folder` unless what is there is already right. Returns `folder`.

    Whoever looks sees all models or none, also when two processes build at once.
    """
    stamp = _stamp()
    if _stamp_of(folder) == stamp:
        return folder
    if not _stamp_of(folder) and folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} holds something else; name a folder for the models.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}-", dir=folder.parent) as made:
        new = Path(made) / "new"
        new.mkdir()
        build(new)
        (new / "stamp").write_text(stamp)
        _put_in_place(new, folder, old=Path(made) / "old")
    return folder


def _put_in_place(new: Path, folder: Path, old: Path) -> None:
    """Make `new` the folder; what was there becomes `old`."""
    with suppress(FileNotFoundError):
        folder.replace(old)
    try:
        new.replace(folder)
    except OSError:
        if _stamp_of(folder) != _stamp_of(new):  # else another process was quicker
            raise


def _stamp() -> str:
    """What the models depend on: their source and the libraries that write them."""
    import diffusers
    import transformers

    files = (Path(__file__), Path(tokenizers.__file__))
    source = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    return f"{source} diffusers {diffusers.__version__} transformers {transformers.__version__}"


def _stamp_of(folder: Path) -> str:
    stamp = folder / "stamp"
    return stamp.read_text() if stamp.is_file() else ""


@contextmanager
def _seeded(name: str) -> Iterator[None]:
    """A seed of its own for each model, and the caller's random state as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]))
        yield


# --- parts --------------------------------------------------------------------------------------


def _clip_text_config(tokenizer: Any, projection: int = 32) -> Any:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        projection_dim=projection,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _vae(**kwargs: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * LATENT_STAGES,
        up_block_types=("UpDecoderBlock2D",) * LATENT_STAGES,
        block_out_channels=(16, 16, 32, 32, 32),
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=256,
        **kwargs,
    )


def _sdxl_unet() -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16,
        layers_per_block=1,
        block_out_channels=(32, 64, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4, 4),
        transformer_layers_per_block=(1, 1, 1),
        use_linear_projection=True,
        cross_attention_dim=64,  # both text encoders side by side
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 32,
        norm_num_groups=16,
    )


# --- models -------------------------------------------------------------------------------------


def _write_blip(folder: Path) -> None:
    import torch
    from transformers import (
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    tokenizer = bert_tokenizer(WORDS)
    ids = tokenizer.convert_tokens_to_ids
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "encoder_hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "bos_token_id": ids("[DEC]"),
        "eos_token_id": ids("[SEP]"),
        "sep_token_id": ids("[SEP]"),
        "pad_token_id": ids("[PAD]"),
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 16,
    }
    model = BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision))
    bias = model.text_decoder.cls.predictions.bias
    torch.nn.init.constant_(bias, -100.0)
    bias.data[ids(WORDS)] = 0.0  # it says words only, and goes on until it is stopped
    model.save_pretrained(folder)
    size = {"height": vision["image_size"], "width": vision["image_size"]}
    BlipProcessor(BlipImageProcessor(size=size), tokenizer).save_pretrained(folder)


def _write_sdxl(folder: Path) -> None:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    tokenizer, tokenizer_2 = clip_tokenizer(WORDS), clip_tokenizer(WORDS, pad="!")
    StableDiffusionXLPipeline(
        vae=_vae(scaling_factor=0.13025),
        text_encoder=CLIPTextModel(_clip_text_config(tokenizer)),
        text_encoder_2=CLIPTextModelWithProjection(_clip_text_config(tokenizer_2)),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        unet=_sdxl_unet(),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            timestep_spacing="leading",
            steps_offset=1,
        ),
        add_watermarker=False,
    ).save_pretrained(folder)


def _write_sdxl_vae(folder: Path) -> None:
    _vae(scaling_factor=0.13025, force_upcast=False).save_pretrained(folder)


def _write_adapter(folder: Path) -> None:
    from diffusers import T2IAdapter

    T2IAdapter(
        in_channels=1,
        channels=[32, 64, 64, 64],
        num_res_blocks=1,
        downscale_factor=2 ** (LATENT_STAGES - 1) * 2,  # SDXL's first block halves the latents
        adapter_type="full_adapter_xl",
    ).save_pretrained(folder)


def _write_controlnet(folder: Path) -> None:
    import torch
    from diffusers import ControlNetModel

    model = ControlNetModel.from_unet(
        _sdxl_unet(), conditioning_embedding_out_channels=(8, 8, 16, 16, 16)
    )
    for name, parameter in model.named_parameters():
        if "controlnet_" in name:  # zero at birth, so that training begins at no effect
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)


def _write_sd3(folder: Path) -> None:
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        SD3Transformer2DModel,
        StableDiffusion3Pipeline,
    )
    from transformers import CLIPTextModelWithProjection, T5Config, T5EncoderModel

    tokenizer, tokenizer_2 = clip_tokenizer(WORDS), clip_tokenizer(WORDS, pad="!")
    tokenizer_3 = t5_tokenizer(WORDS)
    t5 = T5Config(
        vocab_size=len(tokenizer_3),
        d_model=64,
        d_kv=16,
        d_ff=128,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    )
    StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=16,
            patch_size=1,
            in_channels=16,
            num_layers=3,
            attention_head_dim=16,
            num_attention_heads=4,
            joint_attention_dim=64,
            caption_projection_dim=64,
            pooled_projection_dim=64,
            out_channels=16,
            pos_embed_max_size=32,
            qk_norm="rms_norm",
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(
            latent_channels=16,
            scaling_factor=1.5305,
            shift_factor=0.0609,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        text_encoder=CLIPTextModelWithProjection(_clip_text_config(tokenizer)),
        text_encoder_2=CLIPTextModelWithProjection(_clip_text_config(tokenizer_2)),
        text_encoder_3=T5EncoderModel(t5),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        tokenizer_3=tokenizer_3,
    ).save_pretrained(folder)


def _write_svd(folder: Path) -> None:
    from diffusers import (
        AutoencoderKLTemporalDecoder,
        EulerDiscreteScheduler,
        StableVideoDiffusionPipeline,
        UNetSpatioTemporalConditionModel,
    )
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
    )

    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        projection_dim=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=224,  # the pipeline's own choice
        patch_size=32,
    )
    StableVideoDiffusionPipeline(
        vae=AutoencoderKLTemporalDecoder(
            down_block_types=("DownEncoderBlock2D",) * LATENT_STAGES,
            block_out_channels=(32,) * LATENT_STAGES,  # it needs multiples of 32
            layers_per_block=1,
            sample_size=256,
        ),
        image_encoder=CLIPVisionModelWithProjection(vision),
        unet=UNetSpatioTemporalConditionModel(
            sample_size=16,
            down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
            up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
            block_out_channels=(32, 64),
            layers_per_block=1,
            cross_attention_dim=32,
            num_attention_heads=(2, 4),
            addition_time_embed_dim=16,
            projection_class_embeddings_input_dim=3 * 16,
            num_frames=14,
        ),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            timestep_type="continuous",
            timestep_spacing="leading",
            steps_offset=1,
            use_karras_sigmas=True,
            sigma_min=0.002,
            sigma_max=700.0,
        ),
        feature_extractor=CLIPImageProcessor(),
    ).save_pretrained(folder)


_MODELS: dict[str, Callable[[Path], None]] = {
    "blip": _write_blip,
    "sdxl": _write_sdxl,
    "sdxl-vae": _write_sdxl_vae,
    "sdxl-adapter": _write_adapter,
    "sdxl-controlnet": _write_controlnet,
    "sd3": _write_sd3,
    "svd": _write_svd,
}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python -m demo.tiny FOLDER")
    print(f"The models are in {ensure(Path(sys.argv[1]))}")
