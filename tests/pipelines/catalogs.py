"""Catalogues that differ a little from another."""

from collections.abc import Mapping
from typing import Any

from pipelines.catalog import Catalog


def changed(catalog: Catalog, **settings: Mapping[str, Any]) -> Catalog:
    """The catalogue with other settings of its models, by their keys."""
    return catalog.model_copy(
        update={key: getattr(catalog, key).model_copy(update=s) for key, s in settings.items()}
    )
