"""Scoring models between the core's values and the database's JSON."""

from typing import Any

import msgspec

from services.scorer.scoring.model import Model


def dump_model(model: Model) -> dict[str, Any]:
    """A model as it is stored; its version is the row's."""
    dumped: dict[str, Any] = msgspec.to_builtins(model)
    del dumped["version"]
    return dumped


def load_model(version: int, stored: dict[str, Any]) -> Model:
    """A model as the core takes it."""
    return msgspec.convert({**stored, "version": version}, Model)
