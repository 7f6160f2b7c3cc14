"""What a run leaves: encoded bytes, never a tensor."""

from dataclasses import dataclass, field
from enum import StrEnum


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One encoded picture or video.

    `width` and `height` are pixels. `facts` say how it was made, in the words a member may read:
    `prompt`, `seed`, and where they apply `caption`, `negative`, `style`, `strength`, `motion`,
    `steps`, `model`.
    """

    data: bytes = field(repr=False)
    media_type: MediaType
    name: str
    width: int
    height: int
    facts: dict[str, str | int | float] = field(default_factory=dict)
