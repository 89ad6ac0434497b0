"""A scorer that sleeps in the middle of a COPY holds nobody up."""

import psycopg
import pytest

from services.scorer.ownership import Ownership, application_name
from services.shared import database
from services.shared.settings import Settings

COPY = "COPY partitions (partition) FROM STDIN"
SLEEPS = "INSERT INTO scorers (scorer_id, alive_until) VALUES ('sleeper', now() - interval '1 second')"
OWNS = "UPDATE partitions SET owner = 'sleeper', lease_until = now() - interval '1 second'"


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
                await ownership.renew()
            assert sleeping.closed == (sleeper == "sleeper")
        assert len(ownership.held) == (4 if sleeper == "sleeper" else 0)
