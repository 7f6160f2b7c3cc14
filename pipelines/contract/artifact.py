"""What a run makes: pictures and videos, encoded when somebody asks for their bytes."""

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
        ending = self.partition("/")[2]
        return ".jpg" if self is MediaType.JPEG else f".{ending}"

    @property
    def is_video(self) -> bool:
        """Whether a player rather than a picture frame shows it."""
        return self is MediaType.MP4


Fact = str | int | float
Facts = Mapping[str, Fact]
"""How something was made, in the words a member may read."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Artifact:
    """One picture or video. `width` and `height` are pixels.

    `encode` makes the file, with these facts inside. It is called when `data` is first read, on
    whichever thread that is, so that the GPU's need not wait for it.

    `facts` say how it was made, in the words a member may read: `prompt`, `seed`, and where they
    apply `caption`, `negative`, `style`, `lora`, `preset`, `precision`, `strength`, `motion`,
    `variations`, `steps`, `computed`, `model`, `scale`, `upscaler`. They are written into the file
    only if `facts_in_file`. `sensitive` is what the classifier says.
    """

    encode: Callable[[Facts], bytes] = field(repr=False)
    media_type: MediaType
    name: str
    width: int
    height: int
    facts: dict[str, Fact] = field(default_factory=dict)
    sensitive: bool = False
    facts_in_file: bool = True

    @cached_property
    def data(self) -> bytes:
        """The file's bytes. Raises CardLost, and RenderFailed for what is no picture."""
        return self.encode(self.facts if self.facts_in_file else {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Artifact) and self._contents() == other._contents()

    def __hash__(self) -> int:
        return hash(self.name)

    def _contents(self) -> tuple[object, ...]:
        return self.data, self.media_type, self.name, self.width, self.height, self.facts
