"""The one door to the GPU, as its callers see it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from pipelines.contract.artifact import Artifact
from pipelines.contract.context import RunContext
from pipelines.contract.requests import Kind, Request

Artifacts = tuple[Artifact, ...]


class RunnerLike(Protocol):
    """Used from one thread only, from its construction to its end."""

    def run(self, requests: Sequence[Request], context: RunContext) -> tuple[Artifacts, ...]:
        """Render requests of one kind that may share a batch; one tuple of artifacts for each.

        Raises an AtelierError: Cancelled, BadInput, ModelUnavailable, OutOfMemory, RenderFailed; or
        CardLost, after which it is of no more use.
        """
        ...

    def preload(self) -> bool:
        """Load one more model, so that its first job need not wait. Returns whether to go on.

        One at a time, so that a job which comes meanwhile waits for one model and not for all.
        """
        ...

    def resident(self) -> frozenset[str]:
        """Keys of the models that are on the GPU, and can be used without another leaving it."""
        ...

    def batches(self) -> Mapping[Kind, int]:
        """How many pictures of a kind it pays to make together on this card; one, unless named."""
        ...

    def close(self) -> None:
        """Free everything."""
        ...
