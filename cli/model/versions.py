"""Reads versions of the model from the suite."""

import click
from leadscore.model.v1 import model_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as scorer
from leadscore.scorer.v1 import scorer_service_pb2_grpc

from cli.client import CALL_DEADLINE_S, Suite

PUBLISHED = 0
"""Stands for the version that is published."""
VERSION = click.IntRange(1)


def read_version(suite: Suite, version: int) -> model_pb2.Model:
    """A version with its rules."""
    with suite.call("scorer") as channel:
        stub = scorer_service_pb2_grpc.ScorerServiceStub(channel)
        request = scorer.GetModelRequest(version=version)
        return stub.GetModel(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata)


def state_of(model: model_pb2.Model) -> str:
    """Draft, published or retired."""
    return model_pb2.ModelState.Name(model.state).removeprefix("MODEL_STATE_").lower()
