"""What a safetensors file says of itself, read without its tensors. No torch.

It begins with the length of its header in eight bytes, little-endian; the header is JSON, and says
of each tensor its shape and where its bytes begin and end after the header.
https://github.com/huggingface/safetensors#format
"""

import json
from pathlib import Path

Shapes = dict[str, tuple[int, ...]]
_LONGEST = 100_000_000  # bytes, as in the library


class NotWhole(Exception):
    """A file is cut short, damaged, or of another format."""


def read_shapes(file: Path) -> Shapes:
    """The shape of each tensor by its name.

    Raises NotWhole, also for a file without tensors, and PermissionError.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if not 0 < length <= min(size - 8, _LONGEST):
                raise NotWhole
            tensors = json.loads(opened.read(length))
        tensors.pop("__metadata__", None)
        if size != 8 + length + max(tensor["data_offsets"][1] for tensor in tensors.values()):
            raise NotWhole
        return {name: tuple(map(int, tensor["shape"])) for name, tensor in tensors.items()}
    except PermissionError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise NotWhole from error
