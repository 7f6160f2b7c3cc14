"""The demo's checkpoints in the layouts in which the large ones are published.

Those were written years ago, by older versions of the libraries: other names of weights, other
files of tokenizers, shards, a variant, settings of classes that have other names now.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

Weights = dict[str, Tensor]

OF_OLD: Mapping[str, Any] = {
    "add_cross_attention": False,
    "bad_words_ids": None,
    "do_sample": False,
    "is_encoder_decoder": False,
    "length_penalty": 1.0,
    "max_length": 20,
    "num_beams": 1,
    "output_attentions": False,
    "pruned_heads": {},
    "return_dict": True,
    "task_specific_params": None,
    "tie_word_embeddings": True,
    "torch_dtype": None,
    "torchscript": False,
    "transformers_version": "4.26.0.dev0",
    "use_bfloat16": False,
}
"""What transformers 4 wrote into every configuration."""
AS_ADDED = {
    "__type": "AddedToken",
    "lstrip": False,
    "normalized": True,
    "rstrip": False,
    "single_word": False,
}


def sdxl(demo: Path, folder: Path) -> Path:
    """As stabilityai/stable-diffusion-xl-base-1.0, variant fp16."""
    shutil.copytree(demo, folder)
    for part in ("text_encoder", "text_encoder_2"):
        _weights(folder / part / "model.safetensors", _clip_text, variant="fp16")
        _settings(folder / part / "config.json", ["dtype"], **OF_OLD)
    for part in ("tokenizer", "tokenizer_2"):
        _clip_tokenizer(folder / part)
    _weights(folder / "unet" / "diffusion_pytorch_model.safetensors", variant="fp16")
    _weights(folder / "vae" / "diffusion_pytorch_model.safetensors", variant="fp16")
    _settings(folder / "vae" / "config.json", force_upcast=True)
    return folder


def vae(demo: Path, folder: Path) -> Path:
    """As the autoencoders of the first Stable Diffusions, which some finetunes still bring."""
    shutil.copytree(demo, folder)
    _weights(folder / "diffusion_pytorch_model.safetensors", _attention)
    return folder


def sd3(demo: Path, folder: Path) -> Path:
    """As stabilityai/stable-diffusion-3.5-large."""
    shutil.copytree(demo, folder)
    for part in ("text_encoder", "text_encoder_2"):
        _weights(folder / part / "model.safetensors", _clip_text)
    for part in ("text_encoder", "text_encoder_2", "text_encoder_3"):
        _settings(folder / part / "config.json", ["dtype"], **OF_OLD)
    for part in ("tokenizer", "tokenizer_2"):
        _clip_tokenizer(folder / part)
    _sharded(folder / "text_encoder_3" / "model.safetensors", _embedded_twice)
    _sharded(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    _settings(folder / "model_index.json", tokenizer_3=["transformers", "T5TokenizerFast"])
    _t5_tokenizer(folder / "tokenizer_3")
    return folder


def svd(demo: Path, folder: Path) -> Path:
    """As stabilityai/stable-video-diffusion-img2vid-xt-1-1, variant fp16."""
    shutil.copytree(demo, folder)
    _weights(folder / "image_encoder" / "model.safetensors", _clip_vision, variant="fp16")
    _settings(folder / "image_encoder" / "config.json", ["dtype"], **OF_OLD)
    for part in ("unet", "vae"):
        _weights(folder / part / "diffusion_pytorch_model.safetensors", variant="fp16")
    _settings(
        folder / "feature_extractor" / "preprocessor_config.json",
        ["image_processor_type"],
        feature_extractor_type="CLIPImageProcessor",
    )
    return folder


def blip(demo: Path, folder: Path) -> Path:
    """As Salesforce/blip-image-captioning-large."""
    shutil.copytree(demo, folder)
    _weights(folder / "model.safetensors", _untied)
    config = json.loads((folder / "config.json").read_text())
    parts = {part: {**OF_OLD, **config[part]} for part in ("text_config", "vision_config")}
    _settings(folder / "config.json", ["dtype"], torch_dtype="float32", **parts)
    processor = json.loads((folder / "processor_config.json").read_text())["image_processor"]
    (folder / "processor_config.json").unlink()
    (folder / "generation_config.json").unlink()
    processor |= {"processor_class": "BlipProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    lines = sorted(vocabulary, key=vocabulary.__getitem__)
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n")
    return folder


def classifier(demo: Path, folder: Path) -> Path:
    """As Falconsai/nsfw_image_detection."""
    shutil.copytree(demo, folder)
    _settings(folder / "config.json", ["dtype"], **OF_OLD)
    _settings(folder / "preprocessor_config.json", image_processor_type="ViTFeatureExtractor")
    return folder


# --- weights ------------------------------------------------------------------------------------


def _same(weights: Weights) -> Weights:
    return weights


def _clip_text(weights: Weights) -> Weights:
    """Of CLIP: its parts in a part, and the numbers of its places among them."""
    named = {
        name if name.startswith("text_") else f"text_model.{name}": weight
        for name, weight in weights.items()
    }
    places = named["text_model.embeddings.position_embedding.weight"].shape[0]
    return {**named, "text_model.embeddings.position_ids": torch.arange(places)[None]}


def _clip_vision(weights: Weights) -> Weights:
    places = weights["vision_model.embeddings.position_embedding.weight"].shape[0]
    return {**weights, "vision_model.embeddings.position_ids": torch.arange(places)[None]}


def _embedded_twice(weights: Weights) -> Weights:
    return {**weights, "encoder.embed_tokens.weight": weights["shared.weight"].clone()}


def _untied(weights: Weights) -> Weights:
    """Of BLIP: what is the same is there twice."""
    bert, head = "text_decoder.bert.embeddings", "text_decoder.cls.predictions"
    places = weights[f"{bert}.position_embeddings.weight"].shape[0]
    return {
        **weights,
        f"{head}.decoder.weight": weights[f"{bert}.word_embeddings.weight"].clone(),
        f"{head}.decoder.bias": weights[f"{head}.bias"].clone(),
        f"{bert}.position_ids": torch.arange(places)[None],
    }


def _attention(weights: Weights) -> Weights:
    """Of an autoencoder: its attention as diffusers named it at first."""
    old = {"to_q.": "query.", "to_k.": "key.", "to_v.": "value.", "to_out.0.": "proj_attn."}

    def renamed(name: str) -> str:
        block, _, layer = name.partition(".attentions.0.")
        now = next((now for now in old if layer.startswith(now)), None)
        return name if now is None else f"{block}.attentions.0.{layer.replace(now, old[now])}"

    return {renamed(name): weight for name, weight in weights.items()}


def _weights(file: Path, change: Callable[[Weights], Weights] = _same, variant: str = "") -> None:
    """Write a file of weights anew."""
    weights = change(load_file(file))
    file.unlink()
    save_file(weights, file.with_suffix(f".{variant}.safetensors" if variant else ".safetensors"))


def _sharded(file: Path, change: Callable[[Weights], Weights] = _same) -> None:
    """Write a file of weights as two, and which has what."""
    weights = change(load_file(file))
    file.unlink()
    names = sorted(weights)
    shards = {
        f"{file.stem}-0000{number}-of-00002.safetensors": names[number - 1 :: 2]
        for number in (1, 2)
    }
    for shard, held in shards.items():
        save_file({name: weights[name] for name in held}, file.parent / shard, {"format": "pt"})
    size = sum(weight.nbytes for weight in weights.values())
    where = {name: shard for shard, held in shards.items() for name in held}
    index = {"metadata": {"total_size": size}, "weight_map": where}
    (file.parent / f"{file.name}.index.json").write_text(json.dumps(index))


# --- what is beside them ------------------------------------------------------------------------


def _settings(file: Path, without: Sequence[str] = (), **changes: object) -> None:
    """Write a file of settings anew, with changes."""
    settings = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({n: value for n, value in settings.items() if n not in without}))


def _clip_tokenizer(folder: Path) -> None:
    """A vocabulary and merges, as before there was a tokenizer.json."""
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = (each if isinstance(each, str) else " ".join(each) for each in model["merges"])
    (folder / "merges.txt").write_text("\n".join(("#version: 0.2", *merges)) + "\n")
    told = json.loads((folder / "tokenizer_config.json").read_text())
    special = {name: told[name] for name in ("bos_token", "eos_token", "unk_token")}
    added = {name: {**AS_ADDED, "content": token} for name, token in special.items()}
    config: Mapping[str, Any] = {
        "add_prefix_space": False,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": told["model_max_length"],
        "pad_token": told["pad_token"],
        "tokenizer_class": "CLIPTokenizer",
        **added,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "special_tokens_map.json").write_text(
        json.dumps({**special, "pad_token": told["pad_token"]})
    )


def _t5_tokenizer(folder: Path) -> None:
    """Beside tokenizer.json the model of sentencepiece, which is not needed."""
    (folder / "spiece.model").write_bytes(b"\n")
    _settings(
        folder / "tokenizer_config.json",
        ["backend"],
        tokenizer_class="T5Tokenizer",
        clean_up_tokenization_spaces=True,
    )
