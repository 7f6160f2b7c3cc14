"""Whether pictures show what a server may not want: an image classifier says so of each.

Everything that is uploaded is looked at before it is used, and everything that is made before it
leaves. What is to become of it depends on the channel, and is not decided here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from pipelines.catalog import ModelKey, SafetyModel
from pipelines.contract.context import RunContext
from pipelines.contract.errors import Withheld
from pipelines.layout import require_labels
from pipelines.loading import Loader
from pipelines.media import on_white
from pipelines.models import Models
from pipelines.pixels import PendingPicture

FRAMES = 5  # of a video, evenly apart, the first and the last among them


@dataclass(frozen=True, slots=True)
class Classifier:
    """A ViT and its processor, and the numbers of the labels that stand for what is unwanted."""

    model: Any
    processor: Any
    unwanted: list[int]


def load(model: SafetyModel, loader: Loader) -> Classifier:
    """The classifier of a catalogue entry, in RAM. Raises ModelUnavailable."""
    from transformers import ViTForImageClassification, ViTImageProcessor

    vit = loader.load(ViTForImageClassification, ModelKey.SAFETY, model, model.dtype)
    processor = loader.load_processor(ViTImageProcessor, ModelKey.SAFETY, model)
    # label2id says the same, but in many files with its numbers as texts, which nothing corrects
    labels = {str(label).casefold(): number for number, label in vit.config.id2label.items()}
    require_labels(model, labels)
    unwanted = [labels[label.casefold()] for label in model.labels]
    return Classifier(vit.eval(), processor, unwanted)


def are_sensitive(
    models: Models, context: RunContext, pictures: Sequence[Image.Image | PendingPicture]
) -> list[bool]:
    """Whether each picture shows what is not wanted; without a classifier, none does.

    Pictures that are still pending are waited for only if there is one. Raises ModelUnavailable,
    and as `PendingPicture.image`.
    """
    settings = models.safety
    if settings is None:
        return [False] * len(pictures)
    with models.use(ModelKey.SAFETY, context) as classifier, torch.inference_mode():
        inputs = classifier.processor(
            images=[on_white(_waited_for(picture)) for picture in pictures], return_tensors="pt"
        )
        pixels = inputs["pixel_values"].to(classifier.model.device, classifier.model.dtype)
        shares = classifier.model(pixels).logits.float().softmax(dim=-1)
    harmless = shares[:, classifier.unwanted].sum(dim=-1) < settings.threshold
    found: list[bool] = (~harmless).tolist()  # so NaN counts as sensitive
    return found


def _waited_for(picture: Image.Image | PendingPicture) -> Image.Image:
    return picture.image() if isinstance(picture, PendingPicture) else picture


def is_sensitive_video(models: Models, context: RunContext, frames: Sequence[Image.Image]) -> bool:
    """Whether any of FRAMES frames of a video is."""
    last = len(frames) - 1
    some = [frames[round(last * i / (FRAMES - 1))] for i in range(FRAMES)]
    return any(are_sensitive(models, context, some))


def vet_upload(models: Models, context: RunContext, picture: Image.Image) -> None:
    """Raise Withheld for an upload that shows what is not wanted."""
    if any(are_sensitive(models, context, [picture])):
        raise Withheld(
            "This picture looks like something that is not allowed here, so nothing was made of it."
        )
