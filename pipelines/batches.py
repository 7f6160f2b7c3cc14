"""How many pictures it pays to paint together on which card, as `python -m bot measure` found.

    {"NVIDIA H100": {"stabilityai/stable-diffusion-3.5-large 1024": {"1": 4.9, "2": 4.6}}}

are seconds a picture. Without a measurement nothing is painted together. No torch.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter

from pipelines.catalog import ImagineModel

log = logging.getLogger(__name__)

SIZES = (1, 2, 4, 8)
PAYS = 0.9  # a batch pays if a picture takes at most so much of what it does in a smaller one
Seconds = Mapping[int, float]
"""The seconds a picture, by the number of pictures in a batch."""


def best_of(seconds: Seconds) -> int:
    """The largest batch that pays, compared with the best smaller one."""
    best = 1
    for size in sorted(seconds):
        if seconds[size] <= PAYS * seconds.get(best, 0.0):
            best = size
    return best


_Table = dict[str, dict[str, dict[int, float]]]
"""The seconds a picture by card, by model and by the number of pictures in a batch."""


@dataclass(slots=True)
class Batches:
    """The table of a file."""

    file: Path
    _table: _Table = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Self:
        """The table in `file`; an empty one where there is none, or none that can be read."""
        try:
            return cls(file, TypeAdapter(_Table).validate_json(file.read_bytes()))
        except FileNotFoundError:
            return cls(file)
        except (OSError, ValueError) as error:
            why = error if isinstance(error, OSError) else "it is damaged"
            log.warning("%s cannot be read (%s); run `python -m bot measure` again", file, why)
            return cls(file)

    def best(self, card: str, model: ImagineModel) -> int:
        """How many pictures it pays to paint together."""
        return best_of(self._table.get(card, {}).get(_name(model), {}))

    def add(self, card: str, model: ImagineModel, seconds: Seconds) -> None:
        """Add a measurement; `write` keeps it."""
        of_card = self._table.setdefault(card, {})
        of_card[_name(model)] = {size: round(each, 4) for size, each in seconds.items()}

    def write(self) -> None:
        """Write the table to its file. Raises OSError."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(self._table, indent=2) + "\n", encoding="utf-8")


def _name(model: ImagineModel) -> str:
    return " ".join(filter(None, (model.source, str(model.size), model.preset)))
