"""How many GPU-seconds a request will take: a guess at first, then what was seen. Pure."""

from collections import deque
from statistics import median

from pipelines.catalog import Catalog, ModelKey
from pipelines.contract.requests import ImagineRequest, Request, UpscaleRequest, picture_count

_GUESSES = {
    ModelKey.CAPTION: 1.0,
    ModelKey.SKETCH: 8.0,
    ModelKey.IMAGINE: 20.0,
    ModelKey.ANIMATE: 45.0,
    ModelKey.UPSCALE: 6.0,
}
"""Seconds for one run of each model on a card of the class that they are made for."""

_LATEST = 9  # measurements of which the median is taken: half of them can be odd
_LEAST = 0.01  # seconds: nothing is free, or it would never move its owner's turn

_Models = tuple[ModelKey, ...]
_Alike = tuple[_Models, object]
"""The models that requests use, and the size of what they make as far as members choose it."""


class Costs:
    """The median of the latest GPU-seconds per picture, for requests that are alike."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._seen: dict[_Alike, deque[float]] = {}
        self._medians: dict[_Alike, float] = {}
        self._any_size: dict[_Models, float] = {}

    def estimate(self, request: Request) -> float:
        """GPU-seconds that `request` will take, loading aside."""
        seen = self.expect(request)
        if seen is not None:
            return seen
        return sum(_GUESSES[key] for key in self._catalog.needs(request)) * picture_count(request)

    def expect(self, request: Request) -> float | None:
        """GPU-seconds that requests like `request` took, None where there were none yet.

        Of another size, where there were none of this one.
        """
        alike = self._alike(request)
        each = self._medians.get(alike, self._any_size.get(alike[0]))
        return None if each is None else each * picture_count(request)

    def learn(self, request: Request, gpu_seconds: float, steps: object = None) -> None:
        """Learn that `request` took `gpu_seconds`, with the `steps` that the result's facts name.

        Where they are not those configured now, it says nothing of later jobs. Those of an upscaled
        picture do not matter: it was painted in them, not made larger.
        """
        configured = self._steps(request)
        if configured is not None and steps not in (None, configured):
            return
        alike = self._alike(request)
        seen = self._seen.setdefault(alike, deque(maxlen=_LATEST))
        seen.append(max(gpu_seconds / picture_count(request), _LEAST))
        self._medians[alike] = self._any_size[alike[0]] = median(seen)

    def _alike(self, request: Request) -> _Alike:
        size: object = None
        if isinstance(request, ImagineRequest):
            size = request.aspect
        elif isinstance(request, UpscaleRequest):
            size = request.scale
        return self._catalog.needs(request), size

    def _steps(self, request: Request) -> object:
        return getattr(getattr(self._catalog, request.kind, None), "steps", None)
