"""What was measured about painting several pictures together: how many it pays to, on which card.

    {"NVIDIA H100": {"stabilityai/stable-diffusion-3.5-large 1024": {"1": 4.9, "2": 4.6}}}

are seconds a picture. Without a measurement nothing is painted together. No torch.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pipelines.catalog import ImagineModel

log = logging.getLogger(__name__)

SIZES = (1, 2, 4, 8)
PAYS = 0.9  # of the seconds a picture that a smaller batch takes
Seconds = Mapping[int, float]
"""The seconds a picture, by the number of pictures in a batch."""


def best_of(seconds: Seconds) -> int:
    """The batch that pays: each larger one has to take a tenth less time than the best before."""
    best = 1
    for size in sorted(seconds):
        if seconds[size] <= PAYS * seconds.get(best, 0.0):
            best = size
    return best


@dataclass(slots=True)
class Batches:
    """The table of a file."""

    file: Path
    _cards: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Self:
        """The table in `file`; an empty one where there is none, or none that can be read."""
        try:
            return cls(file, json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return cls(file)
        except (OSError, ValueError) as error:
            log.warning("%s cannot be read (%s); run `python -m bot measure` again", file, error)
            return cls(file)

    def best(self, card: str, model: ImagineModel) -> int:
        """How many pictures it pays to paint together."""
        found = self._cards.get(card, {}).get(_name(model), {})
        return best_of({int(size): seconds for size, seconds in found.items()})

    def add(self, card: str, model: ImagineModel, seconds: Seconds) -> None:
        """Remember a measurement, until `write` in memory alone."""
        of_card = self._cards.setdefault(card, {})
        of_card[_name(model)] = {str(size): round(each, 4) for size, each in seconds.items()}

    def write(self) -> None:
        """Write the table to its file. Raises OSError."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(self._cards, indent=2) + "\n", encoding="utf-8")


def _name(model: ImagineModel) -> str:
    return " ".join(filter(None, (model.source, str(model.size), model.preset)))
