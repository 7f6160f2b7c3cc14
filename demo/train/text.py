"""Text encoders as the pipelines call them.

They learn to read before anything is painted: from what an encoder says of a prompt, a small
reader has to tell every shape, colour and place that is seen. What the painters then get is easy to
understand; encoders that learn together with a painter leave it guessing for long.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from demo.shapes.geometry import Shape
from demo.shapes.scene import Colour, Figure, Look, Pattern, Scene, Size, random_scene
from demo.shapes.words import prompt, vocabulary
from demo.tokenizers import CLIP_TOKENS, clip_tokenizer, t5_tokenizer
from demo.train.loop import Recipe, fit
from demo.train.room import Room
from demo.train.vae import Bucket

WIDTH = 64  # of each CLIP text model
PROMPTS = 128  # a step
SCENES = 20_000
RECIPE = Recipe(steps=3000, rate=1.5e-3, average=0.998)


def build_clip(tokenizer: Any) -> Any:
    """A small CLIPTextModelWithProjection."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=3 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=CLIP_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_clip_tokenizers() -> tuple[Any, Any]:
    """The two of SDXL and SD3.5, which differ in what they pad with."""
    words = vocabulary()
    return clip_tokenizer(words), clip_tokenizer(words, pad="!")


def build_t5() -> tuple[Any, Any]:
    """A small T5EncoderModel, as wide as both CLIP text models together, and its tokenizer."""
    from transformers import T5Config, T5EncoderModel

    tokenizer = t5_tokenizer(vocabulary())
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=2 * WIDTH,
        d_kv=32,
        d_ff=4 * WIDTH,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    )
    return T5EncoderModel(config), tokenizer


class Clips(nn.Module):
    """Both CLIP text encoders of a pipeline, and their tokenizers."""

    @classmethod
    def of(cls, pipeline: Any) -> Self:
        """Those of an SDXL or SD3.5 pipeline."""
        encoders = (pipeline.text_encoder, pipeline.text_encoder_2)
        return cls(encoders, (pipeline.tokenizer, pipeline.tokenizer_2))

    def __init__(self, encoders: Sequence[Any], tokenizers: Sequence[Any]) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.tokenizers = tokenizers

    def forward(
        self, prompts: list[str], padding: str = "max_length"
    ) -> tuple[Tensor, list[Tensor]]:
        """The last but one hidden states side by side (n × tokens × 2·WIDTH); what is pooled."""
        hidden, pooled = [], []
        for encoder, tokenizer in zip(self.encoders, self.tokenizers, strict=True):
            ids = tokenizer(
                prompts,
                padding=padding,
                max_length=CLIP_TOKENS,
                truncation=True,
                return_tensors="pt",
            ).input_ids
            said = encoder(ids.to(next(encoder.parameters()).device), output_hidden_states=True)
            hidden.append(said.hidden_states[-2])
            pooled.append(said[0])
        return torch.cat(hidden, dim=-1), pooled


# --- reading ------------------------------------------------------------------------------------


def train_clips(clips: Clips, room: Room) -> None:
    """Train the encoders of `clips` in place: both hidden states and what is pooled can be read."""
    of_pooled = (nn.Linear(WIDTH, sum(QUESTIONS)) for _ in clips.encoders)
    readers = nn.ModuleList([Reader(2 * WIDTH), *of_pooled])

    def loss(step: int) -> Tensor:
        prompts, true = _lesson(step, room)
        hidden, pooled = clips(prompts, padding="longest")
        told = [reader(said) for reader, said in zip(readers, (hidden, *pooled), strict=True)]
        return sum((_wrong(one, true) for one in told), start=torch.zeros(()))

    fit("clip", nn.ModuleList([clips, readers]), loss, RECIPE, room)


def train_t5(encoder: Any, tokenizer: Any, room: Room) -> None:
    """Train a T5 encoder in place, so that its hidden states can be read."""
    reader = Reader(2 * WIDTH)

    def loss(step: int) -> Tensor:
        prompts, true = _lesson(step, room)
        ids = tokenizer(prompts, padding="longest", return_tensors="pt").input_ids
        return _wrong(reader(encoder(ids.to(room.device))[0]), true)

    fit("t5", nn.ModuleList([encoder, reader]), loss, RECIPE, room)


def _lesson(step: int, room: Room) -> tuple[list[str], Tensor]:
    """Prompts, and what is true of their scenes: n × questions."""
    rng = random.Random(f"{room.seed} lesson {step}")
    scenes = [random_scene(rng.randrange(SCENES)) for _ in range(PROMPTS)]
    prompts = [prompt(scene, rng) for scene in scenes]
    true = torch.tensor([list(_answers(scene)) for scene in scenes], device=room.device)
    return prompts, true


def _answers(scene: Scene) -> Iterator[int]:
    """What is to be told of a scene, as numbers: a class for each of QUESTIONS."""
    for figure in (*_in_order(scene), None)[:2]:
        if figure is None:
            yield from (len(Shape), 0, 0, 0)
        else:
            column, row = figure.place
            yield list(Shape).index(figure.shape)
            yield list(Colour).index(figure.colour)
            yield list(Size).index(figure.size)
            yield 3 * row + column
    ground = scene.ground
    yield list(Pattern).index(ground.pattern)
    yield len(Colour) if ground.colour is None else list(Colour).index(ground.colour)
    yield list(Look).index(scene.look)


_FIGURE = (len(Shape) + 1, len(Colour), len(Size), 9)
QUESTIONS = (*_FIGURE, *_FIGURE, len(Pattern), len(Colour) + 1, len(Look))


def _in_order(scene: Scene) -> tuple[Figure, ...]:
    """The figures, what is above or left of the other first."""
    if len(scene.figures) == 1:
        return scene.figures
    one, other = scene.figures
    dx, dy = one.x - other.x, one.y - other.y
    return (one, other) if (dx if abs(dx) > abs(dy) else dy) < 0 else (other, one)


def _wrong(told: Tensor, true: Tensor) -> Tensor:
    """The mean cross entropy of the answers (n × all classes), over the questions."""
    each = [
        nn.functional.cross_entropy(part.float(), true[:, number])
        for number, part in enumerate(torch.split(told, list(QUESTIONS), dim=1))
    ]
    return torch.stack(each).mean()


class Reader(nn.Module):
    """Answers from a prompt's hidden states, by looking there once, as a painter does."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.questions = nn.Parameter(torch.randn(len(QUESTIONS), width) / width**0.5)
        self.looking = nn.MultiheadAttention(width, 2, batch_first=True)
        self.answers = nn.ModuleList([nn.Linear(width, classes) for classes in QUESTIONS])

    def forward(self, hidden: Tensor) -> Tensor:
        """n × tokens × width to n × all classes."""
        asked = self.questions.expand(len(hidden), -1, -1)
        found = self.looking(asked, hidden, hidden, need_weights=False)[0]
        parts = [answer(found[:, number]) for number, answer in enumerate(self.answers)]
        return torch.cat(parts, dim=1)


# --- what the painters see ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Batch:
    """Some pictures of one bucket, by their places in it, and a prompt for each."""

    bucket: Bucket
    places: list[int]
    prompts: list[str]

    @property
    def latents(self) -> Tensor:
        """Of the pictures, scaled."""
        return self.bucket.latents[self.places]


class Batches:
    """Which pictures a step sees, and what is said of them: other words every time."""

    def __init__(
        self, buckets: list[Bucket], size: int, room: Room, paired: float | None = None
    ) -> None:
        """Take `size` pictures a step, of which the share `paired` has two figures, if given."""
        self._buckets = buckets
        self._size = size
        self._seed = room.seed
        self._paired = paired
        self._places = [_by_figures(bucket) for bucket in buckets]

    def draw(self, step: int) -> Batch:
        """The batch of a step. Each bucket comes as often as it has pictures."""
        rng = random.Random(f"{self._seed} batch {step}")
        sizes = [len(bucket.scenes) for bucket in self._buckets]
        number = rng.choices(range(len(sizes)), weights=sizes)[0]
        places = [self._place(number, rng) for _ in range(self._size)]
        bucket = self._buckets[number]
        prompts = [prompt(bucket.scenes[place], rng) for place in places]
        return Batch(bucket, places, prompts)

    def _place(self, number: int, rng: random.Random) -> int:
        if self._paired is None:
            return rng.randrange(len(self._buckets[number].scenes))
        return rng.choice(self._places[number][rng.random() < self._paired])


def _by_figures(bucket: Bucket) -> tuple[list[int], list[int]]:
    """The places of a bucket's pictures of one figure, and of those of two."""
    ones, twos = (
        [place for place, scene in enumerate(bucket.scenes) if len(scene.figures) == figures]
        for figures in (1, 2)
    )
    return ones, twos


def kept(size: int, share: float, room: Room) -> Tensor:
    """1 for what is kept and 0 for what is dropped, so that guidance has something to compare."""
    return (torch.rand(size, device=room.device) >= share).float()
