"""What a run leaves: a file to be, never a tensor."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property


class MediaType(StrEnum):
    """The formats that leave the pipelines or the delivery."""

    PNG = "image/png"
    WEBP = "image/webp"
    JPEG = "image/jpeg"
    MP4 = "video/mp4"

    @property
    def suffix(self) -> str:
        """The file name's ending, with its dot."""
        return {"image/png": ".png", "image/webp": ".webp", "image/jpeg": ".jpg"}.get(self, ".mp4")

    @property
    def is_video(self) -> bool:
        """Whether a player rather than a picture frame shows it."""
        return self is MediaType.MP4


Fact = str | int | float
Facts = Mapping[str, Fact]
"""How something was made, in the words a member may read."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Artifact:
    """One picture or video, encoded when its bytes are first asked for.

    So the GPU's thread need not wait for it: `data` may be read on any one thread, and takes a
    moment. `width` and `height` are pixels. `facts` say how it was made, in the words a member may
    read: `prompt`, `seed`, and where they apply `caption`, `negative`, `style`, `lora`, `preset`,
    `precision`, `strength`, `motion`, `variations`, `steps`, `computed`, `model`, `scale`,
    `upscaler`. They are written into the file too, unless it is not `telling`. `sensitive` is what
    the classifier says.
    """

    encode: Callable[[Facts], bytes] = field(repr=False)
    media_type: MediaType
    name: str
    width: int
    height: int
    facts: dict[str, Fact] = field(default_factory=dict)
    sensitive: bool = False
    telling: bool = True

    @cached_property
    def data(self) -> bytes:
        """The file."""
        return self.encode(self.facts if self.telling else {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Artifact) and self._contents() == other._contents()

    def __hash__(self) -> int:
        return hash(self.name)

    def _contents(self) -> tuple[object, ...]:
        return self.data, self.media_type, self.name, self.width, self.height, self.facts
