"""How many GPU-seconds a request will take: a guess at first, then what was seen. Pure."""

from pipelines.catalog import Catalog, ModelKey
from pipelines.contract.requests import Request, pictures

_GUESSES = {
    ModelKey.CAPTION: 1.0,
    ModelKey.SKETCH: 8.0,
    ModelKey.IMAGINE: 20.0,
    ModelKey.ANIMATE: 45.0,
    ModelKey.UPSCALE: 6.0,
}
"""Seconds for one run of each model on a card of the class that they are made for."""

_WEIGHT_OF_NEWEST = 0.2
_LEAST = 0.01  # seconds: nothing is free, or it would never move its owner's turn


class Costs:
    """A running mean of the GPU-seconds per picture, for each set of models that requests use."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._means: dict[tuple[ModelKey, ...], float] = {}

    def estimate(self, request: Request) -> float:
        """GPU-seconds that `request` will take, loading aside."""
        models = self._catalog.needs(request)
        mean = self._means.get(models)
        if mean is None:
            mean = sum(_GUESSES[key] for key in models)
        return mean * pictures(request)

    def expect(self, request: Request) -> float | None:
        """GPU-seconds that requests like `request` took, None where there were none yet."""
        known = self._catalog.needs(request) in self._means
        return self.estimate(request) if known else None

    def learn(self, request: Request, gpu_seconds: float) -> None:
        """Take into account that `request` took `gpu_seconds`."""
        models = self._catalog.needs(request)
        seen = max(gpu_seconds / pictures(request), _LEAST)
        mean = self._means.setdefault(models, seen)
        self._means[models] = mean + _WEIGHT_OF_NEWEST * (seen - mean)
