"""The migrations end at the tables that the code uses."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from services.scorer.prepare import prepare
from services.shared.database import driver_url
from services.shared.schema import METADATA
from services.shared.settings import Settings


def test_the_migrations_end_at_the_schema(database_url: str) -> None:
    engine = create_engine(driver_url(database_url))
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": True}
            )
            differences = compare_metadata(context, METADATA)
    finally:
        engine.dispose()
    assert [each for each in differences if "alembic_version" not in str(each)] == []


def test_preparing_twice_is_as_good_as_once(database_url: str) -> None:
    prepare(Settings(database_url=database_url))
