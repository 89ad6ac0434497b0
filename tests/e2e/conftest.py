"""Suites that are stopped whatever becomes of their test."""

from collections.abc import Iterator

import pytest

from tests.e2e.up import Up


@pytest.fixture
def started() -> Iterator[list[Up]]:
    """The suites of a test, to be stopped at its end however it goes."""
    ups: list[Up] = []
    yield ups
    for up in ups:
        up.close()
