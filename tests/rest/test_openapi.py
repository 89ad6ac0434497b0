"""The gateway is tried with all that its OpenAPI document allows and forbids, and answers as the document says.

A short time of it here, always with the same requests; `make fuzz` takes longer, and tries the edges of every schema.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

import pytest
import requests
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from embedded.postgres import Postgres
from gateway.application import api_document
from tests.conftest import ADMIN_KEY
from tests.rest.whole import DEADLINE_S, Whole, running

EXAMPLES_SETTING = "LEADSCORE_TEST_OPENAPI_EXAMPLES"
"""How many requests of each operation are tried beside the edges of its schema; if not given, a few and no edges."""
EXAMPLES_SHORT = 4
SEED = 7
STREAM_EVENTS = 2
"""Of a stream without an end, so many are looked at; tests/rest/test_same_answers.py compares them to gRPC's."""
STREAM_S = 0.5
"""A watch in which nothing happens is left after this."""
VERBS = ("get", "put", "post", "delete", "patch")
CONFIG = {
    "seed": SEED,
    "max-stream-events": STREAM_EVENTS,
    "request-timeout": DEADLINE_S,
    "operations": [{"include-operation-id": ["WatchScores", "WatchLeaderboard"], "request-timeout": STREAM_S}],
    "generation": {
        "max-examples": int(os.environ.get(EXAMPLES_SETTING, EXAMPLES_SHORT)),
        "deterministic": True,
        "database": "none",
    },
    "phases": {"coverage": {"enabled": EXAMPLES_SETTING in os.environ, "unexpected-methods": VERBS}},
}
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
"""Not that all else is refused: a null is no value, a number may be a text, names may be in snake case."""
DOCUMENT = api_document()
schema = schemathesis.openapi.from_dict(DOCUMENT, config=schemathesis.Config.from_dict(CONFIG))


@schemathesis.serializer("application/x-ndjson")
def _lines(context: schemathesis.SerializationContext, value: Any) -> Any:
    return value if isinstance(value, str | bytes) else json.dumps(value).encode()


@contextmanager
def in_a_thread(context: AbstractAsyncContextManager[Whole]) -> Iterator[Whole]:
    """Runs an asynchronous context on a loop of its own, beside what calls it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(DEADLINE_S)
        asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(DEADLINE_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def whole(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with in_a_thread(running(postgres, tmp_path_factory.mktemp("nats"))) as whole:
        yield whole


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers["authorization"] = f"Bearer {ADMIN_KEY}"
        yield session


@schema.parametrize()
def test_what_is_asked_is_answered_as_documented(
    case: schemathesis.Case[Any], whole: Whole, session: requests.Session
) -> None:
    case.call_and_validate(base_url=f"http://{whole.gateway}", session=session, checks=CHECKS)


def test_the_document_is_what_the_gateway_serves(whole: Whole, session: requests.Session) -> None:
    assert session.get(f"http://{whole.gateway}/openapi.json", timeout=DEADLINE_S).json() == DOCUMENT


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_a_path_takes_the_methods_of_the_document_alone(whole: Whole, session: requests.Session, path: str) -> None:
    known = set(DOCUMENT["paths"][path])
    address = f"http://{whole.gateway}{path.replace('{', '').replace('}', '')}"
    for verb in set(VERBS) - known:
        answer = session.request(verb, address, timeout=DEADLINE_S)
        assert answer.status_code == 405, (verb, answer.text)
        allowed = {each.strip().lower() for each in answer.headers["allow"].split(",")}
        assert known <= allowed <= {*known, "head"}
