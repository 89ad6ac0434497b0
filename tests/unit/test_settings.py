"""Settings: read from the environment, and refused with the variable's name."""

from pathlib import Path

import pytest

from services.shared.errors import SettingError
from services.shared.settings import Settings, read_settings


def test_without_anything_set_the_defaults_hold() -> None:
    assert read_settings({}) == Settings()


def test_values_are_taken_from_the_environment() -> None:
    settings = read_settings(
        {"LEADSCORE_GATEWAY_PORT": "0", "LEADSCORE_DATA_DIR": "/var/lib/x", "LEADSCORE_ANONYMOUS": "1"}
    )
    assert (settings.gateway_port, settings.data_dir, settings.anonymous) == (0, Path("/var/lib/x"), True)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LEADSCORE_GATEWAY_PORT", "80 80"),
        ("LEADSCORE_INGEST_PORT", "65536"),
        ("LEADSCORE_QUERY_PROCESSES", "0"),
        ("LEADSCORE_SCORER_PROCESSES", "17"),
        ("LEADSCORE_PARTITIONS", "0"),
        ("LEADSCORE_PARTITIONS", "257"),
        ("LEADSCORE_ANONYMOUS", "yes"),
        ("LEADSCORE_LOG_LEVEL", "loud"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingError, match=variable):
        read_settings({variable: value})


def test_services_are_found_on_this_machine_unless_an_address_is_given() -> None:
    assert Settings(ingest_port=7).target("ingest") == "127.0.0.1:7"
    assert Settings(ingest_address="ingest:50051").target("ingest") == "ingest:50051"
