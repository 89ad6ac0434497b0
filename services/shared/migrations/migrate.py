"""Brings the database to today's tables."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

ADVISORY_LOCK = 0x6C656164
"""Two processes that migrate at once take turns."""


def migrate(connection: Connection) -> None:
    """Runs the steps that have not run yet. Safe to repeat, and for several processes at once."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
