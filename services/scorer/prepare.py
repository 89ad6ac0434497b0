"""Makes the database ready, once, before the services start: today's tables, and the tenant with its default rules.

Safe to repeat: tables that are there are left alone, and so is a model that somebody has edited.
"""

import sys

from psycopg.types.json import Jsonb
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from services.scorer.models import dump_model
from services.scorer.scoring.default_model import default_model
from services.scorer.statements import CREATE_MODEL, CREATE_TENANT
from services.shared.database import CONNECT_TIMEOUT_S, driver_url
from services.shared.errors import LeadscoreError, SettingError
from services.shared.lifecycle import wait_until_released
from services.shared.migrations.migrate import migrate
from services.shared.settings import Settings, read_settings


def prepare(settings: Settings) -> None:
    """Migrates the database and seeds the tenant. Raises SettingError if no database answers."""
    engine = create_engine(driver_url(settings.database_url), connect_args={"connect_timeout": CONNECT_TIMEOUT_S})
    try:
        with engine.begin() as connection:
            migrate(connection)
            model = default_model()
            cursor = connection.connection.cursor()
            cursor.execute(CREATE_TENANT, [settings.tenant, model.version])
            cursor.execute(CREATE_MODEL, [settings.tenant, model.version, Jsonb(dump_model(model))])
    except OperationalError as error:
        raise SettingError(f"no database answers at LEADSCORE_DATABASE_URL: {error.orig}") from error
    finally:
        engine.dispose()


def main() -> None:
    """The process."""
    wait_until_released()
    try:
        prepare(read_settings())
    except LeadscoreError as error:
        print(f"prepare: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
