"""The vocabulary of placement: a card, the groups of a pipeline's parts, and a model's plan. Pure.

A pipeline is two *groups* of parts that are needed one after the other: its text encoders, and the
painter, which is the denoiser and its autoencoder. A group is on the card for its turn, and stays
there as long as nothing else needs the room (`pipelines.residency`). So what has to fit at once is
the larger group with its working memory, not the whole pipeline.

All sizes are bytes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import inf

GIB = 2**30

TEXT, PAINTER = "text", "painter"
"""The names of the groups. A network that is no pipeline has only a painter."""

TILE = 512
"""The side, in pixels, of the tiles in which a picture is decoded if it cannot be as a whole."""

_WINDOW = 0.1  # of streamed weights that are on the card: two blocks of about forty, and the VAE
_PACKED = 1.015  # of weights in RAM: blocks of pinned memory are not filled to their last byte


def group_of(part: str) -> str:
    """The group that a part of a pipeline belongs to."""
    return TEXT if part.startswith("text_encoder") else PAINTER


def has_unified_memory(kind: str) -> bool:
    """Whether a device of this kind computes in RAM, so that weights are in one place: on a Mac."""
    return kind == "mps"


@dataclass(frozen=True, slots=True)
class Card:
    """What models run on. `kind` is torch's name for it: cuda, mps or cpu.

    `budget` is what models may take of its memory and `ram` what they may take of RAM; with unified
    memory both are the same bytes. `capability` is NVIDIA's compute capability. `multiplies_fp8`
    finds out whether the card, and torch on it, can multiply in fp8.
    """

    kind: str
    budget: float = inf
    ram: float = inf
    capability: tuple[int, int] | None = None
    multiplies_fp8: Callable[[], bool] = lambda: False

    @property
    def unified(self) -> bool:
        """Whether its memory is RAM."""
        return has_unified_memory(self.kind)


class Held(StrEnum):
    """Where the weights of a group are while it is used."""

    CARD = "on the card"
    STREAMED = "streamed"
    """In RAM: each layer visits the card when it is needed, while the one before it computes."""


class Precision(StrEnum):
    """The type in which the weights of a group's layers are kept."""

    FULL = "full"
    """The model's own type."""
    FP8 = "fp8"
    FP8_FAST = "fp8-fast"
    """As fp8, and the card also multiplies in fp8."""
    NF4 = "nf4"


_BYTES = {Precision.FP8: 1.0, Precision.FP8_FAST: 1.0, Precision.NF4: 1 / 2 + 4 / 64}
"""What one weight takes. In nf4, 64 of them share a scale of 32 bits."""


@dataclass(frozen=True, slots=True)
class Group:
    """Parts of a pipeline that are on the card at the same time.

    `weights` is what they take as they are read, before `precision`; `working`, what they compute
    with in their turn. Of the weights, `unstreamed` stay on the card if the others are streamed,
    and `layers` are what `precision` applies to: `layer_parameters` numbers.
    """

    weights: int
    working: int
    held: Held = Held.CARD
    precision: Precision = Precision.FULL
    unstreamed: int = 0
    layers: int = 0
    layer_parameters: int = 0

    @property
    def kept(self) -> int:
        """The size of its weights in their precision."""
        if self.precision is Precision.FULL:
            return self.weights
        return self.weights - self.layers + round(self.layer_parameters * _BYTES[self.precision])

    @property
    def size(self) -> int:
        """Those of its weights that are on the card as a whole, and may stay between its turns."""
        return self.kept if self.held is Held.CARD else self.unstreamed

    @property
    def passing(self) -> int:
        """The most of its streamed weights that are on the card at once, during its turn."""
        if self.held is Held.CARD:
            return 0
        return max(0, round(self.kept * _WINDOW) - self.unstreamed)

    @property
    def peak(self) -> int:
        """What it takes of the card during its turn."""
        return self.size + self.passing + self.working


@dataclass(frozen=True, slots=True)
class Plan:
    """How one model is held, and how its pipeline is told to save memory.

    `vae_cast` is the size of the copy of its autoencoder that is cast to float32 to decode, 0
    where none is. `tiled`, `decode_chunk` (frames), `tile` (the upscaler's, in pixels),
    `split_guidance` and `forward_chunk` (frames that feed-forward layers take at a time, a divisor
    of all) are what `pipelines.fitting` and the stories apply. `given_up` says the same in words;
    `cost` orders plans, in rough seconds a run.
    """

    groups: Mapping[str, Group]
    vae_cast: int = 0
    tiled: bool = False
    decode_chunk: int | None = None
    tile: int | None = None
    split_guidance: bool = False
    forward_chunk: int | None = None
    given_up: tuple[str, ...] = ()
    cost: float = 0.0
    fits: bool = True

    @property
    def peak(self) -> int:
        """The most that is on the card at any time."""
        return max(group.peak for group in self.groups.values())

    @property
    def in_ram(self) -> int:
        """What its copy in RAM takes, from which it is moved to the card or streamed."""
        return round(_PACKED * sum(group.kept for group in self.groups.values()))

    def working(self, batch: int = 1) -> int:
        """The largest working memory of any turn, when the painter has a batch of so many."""
        of_groups = {name: group.working for name, group in self.groups.items()}
        return max(*of_groups.values(), batch * of_groups[PAINTER])

    def takes(self, card: Card, batch: int = 1) -> int:
        """The most that it takes of a card. In unified memory its copy in RAM counts as well."""
        return self.in_ram + self.working(batch) if card.unified else self.peak

    def takes_of_ram(self, card: Card, batch: int = 1) -> int:
        """The most that it takes of RAM. In unified memory its working memory counts as well."""
        return self.takes(card, batch) if card.unified else self.in_ram

    @property
    def uncompiled(self) -> str | None:
        """Why its networks are not compiled even if that is configured; None where they are."""
        return None if self.groups[PAINTER].held is Held.CARD else "the model is streamed"

    def in_words(self, card: Card) -> str:
        """What it takes of the card, and what is given up for that."""
        takes = f"takes {self.takes(card) / GIB:.1f} GiB"
        if card.unified:
            takes += f" of {card.ram / GIB:.1f}, where the GPU's memory is RAM"
            if not self.fits:
                return f"{takes}; this computer's memory is too small for it"
        elif card.budget < inf:
            takes += f" of {card.budget / GIB:.1f}"
        if self.takes(card) > card.budget:
            return f"{takes} at the least; this card is too small for it"
        if not self.fits:
            ram = f"{self.in_ram / GIB:.1f} of {card.ram / GIB:.1f} GiB"
            return f"{takes}, and {ram} of RAM; this computer's memory is too small for it"
        return f"{takes}, with {'; '.join(self.given_up)}" if self.given_up else takes
