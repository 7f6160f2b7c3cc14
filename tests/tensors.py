"""Small safetensors files, whole in every byte."""

import json
from collections.abc import Mapping

SDXL_LAYER = "unet.down_blocks.1.attentions.0.to_q"
SD3_LAYER = "transformer.transformer_blocks.0.attn.to_q"


def of_bytes(data: bytes) -> bytes:
    """A file whose only tensor is `data`."""
    return _file({"weight": {"dtype": "U8", "shape": [len(data)]}}, data)


def of_names(*names: str, width: int = 2) -> bytes:
    """A file with a row of numbers for each name."""
    tensors = {name: {"dtype": "U8", "shape": [1, width]} for name in names}
    return _file(tensors, bytes(width * len(names)))


def lora(layer: str = SDXL_LAYER, width: int = 2) -> bytes:
    """A LoRA of one layer."""
    return of_names(f"{layer}.lora_A.weight", f"{layer}.lora_B.weight", width=width)


def _file(tensors: Mapping[str, Mapping[str, object]], data: bytes) -> bytes:
    """`data` divided evenly among the tensors."""
    each = len(data) // len(tensors)
    header = {
        name: {**tensor, "data_offsets": [number * each, (number + 1) * each]}
        for number, (name, tensor) in enumerate(tensors.items())
    }
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + data
