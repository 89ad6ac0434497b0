"""What becomes of the partitions of a scorer that sleeps: nobody waits for it, and it knows when it wakes up."""

import asyncio

import psycopg
import pytest
from sqlalchemy import text

from services.scorer.ownership import Ownership, application_name
from services.shared import database
from services.shared.settings import Settings

COPY = "COPY partitions (partition) FROM STDIN"
SLEEPS = "INSERT INTO scorers (scorer_id, alive_until) VALUES ('sleeper', now() - interval '1 second')"
OWNS = "UPDATE partitions SET owner = 'sleeper'"


def wait_for_the_end_of(backend: int, settings: Settings) -> None:
    """A session that is told to end takes a moment."""
    with psycopg.connect(settings.database_url, autocommit=True) as looking:
        while looking.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [backend]).fetchone():
            pass


@pytest.mark.parametrize("sleeper", ["sleeper", "another"])
async def test_what_a_dead_scorer_has_locked_is_freed_and_what_others_have_is_not(
    settings: Settings, sleeper: str
) -> None:
    async with database.connect(settings, name="test", connections_max=2) as engine:
        ownership = Ownership(engine, "awake", 4)
        await ownership.create()
        with psycopg.connect(settings.database_url, application_name=application_name(sleeper)) as sleeping:
            sleeping.execute(SLEEPS)
            sleeping.execute(OWNS)
            sleeping.commit()
            sleeping.execute("SELECT FROM partitions FOR UPDATE")
            ends = pytest.raises(psycopg.OperationalError) if sleeper == "sleeper" else sleeping.transaction()
            with ends, sleeping.cursor().copy(COPY) as copy:
                copy.write_row([99])
                await ownership.renew()
                if sleeper == "sleeper":
                    wait_for_the_end_of(sleeping.info.backend_pid, settings)
                await ownership.renew()
            assert sleeping.closed == (sleeper == "sleeper")
        assert len(ownership.held) == (4 if sleeper == "sleeper" else 0)


async def test_a_scorer_that_wakes_up_while_its_partitions_are_taken_sees_that_they_are_gone(
    settings: Settings,
) -> None:
    async with database.connect(settings, name="test", connections_max=3) as engine:
        sleeper, other = Ownership(engine, "sleeper", 4), Ownership(engine, "other", 4)
        await sleeper.create()
        await sleeper.renew()
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE scorers SET alive_until = now() - interval '1 second'"))

        async with engine.begin() as connection:
            taken = await other._round(connection)
            waking = asyncio.create_task(sleeper.renew())
            async with await psycopg.AsyncConnection.connect(settings.database_url, autocommit=True) as looking:
                waits = "SELECT FROM pg_locks WHERE NOT granted"
                while await (await looking.execute(waits)).fetchone() is None:
                    pass

        assert await waking and (len(taken), sleeper.held) == (4, {})


async def test_what_a_scorer_holds_that_just_shows_life_again_is_not_taken(settings: Settings) -> None:
    async with database.connect(settings, name="test", connections_max=3) as engine:
        sleeper, other = Ownership(engine, "sleeper", 4), Ownership(engine, "other", 4)
        await sleeper.create()
        await sleeper.renew()
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE scorers SET alive_until = now() - interval '1 second'"))

        async with engine.begin() as connection:
            held = await sleeper._round(connection)
            await other.renew()

        assert (len(held), other.held) == (4, {})
