"""Real servers for the tests that need them: one PostgreSQL for a run, a database and a nats-server for each test."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql

from embedded.nats import NatsServer
from embedded.postgres import Postgres
from services.scorer import core
from services.scorer.prepare import prepare
from services.shared.errors import SettingError
from services.shared.settings import Settings

# The first value that is drawn in a fresh checkout waits for tables of characters, and machines are slow now and then.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")

TEMPLATE = "leadscore_template"
ADMIN_KEY = "a-key-for-tests"


def pytest_configure() -> None:
    """Refuses to try compiled code that is not what the sources say."""
    try:
        core.check()
    except SettingError as error:
        pytest.exit(str(error), returncode=2)


def pytest_report_header() -> str:
    """Says what is tried."""
    return f"the scorer's core: {'compiled' if core.is_compiled() else 'plain Python'}"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL for the whole run, with a prepared database to copy. What is committed survives a kill of it."""
    server = Postgres(tmp_path_factory.mktemp("postgres"), fsync=False)
    with asyncio.Runner() as runner:
        runner.run(server.start())
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        prepare(Settings(database_url=server.url_of(TEMPLATE)))
        yield server
        runner.run(server.stop())


@contextmanager
def own_database(postgres: Postgres) -> Iterator[str]:
    """A database of somebody's own: prepared, with the tenant `demo` and its default model."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(copy.format(sql.Identifier(name), sql.Identifier(TEMPLATE)))
        yield postgres.url_of(name)
        # Not WITH (FORCE): that fails when autovacuum is at work there, which a plain DROP sends away by itself.
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = current_user"
        connection.execute(end, [name])
        connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


def own_settings(database_url: str, nats_url: str) -> Settings:
    """Settings for processes and parts of somebody's own, on free ports."""
    return replace(
        Settings(),
        database_url=database_url,
        nats_url=nats_url,
        anonymous=True,
        ingest_port=0,
        scorer_port=0,
        query_port=0,
        gateway_port=0,
    )


@pytest.fixture
def database_url(postgres: Postgres) -> Iterator[str]:
    """A database of the test's own."""
    with own_database(postgres) as url:
        yield url


@pytest.fixture
async def nats_server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A nats-server of the test's own, without any stream."""
    server = NatsServer(tmp_path / "nats")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def settings(database_url: str, nats_server: NatsServer) -> Settings:
    """Settings of the test's own."""
    return own_settings(database_url, nats_server.url)
