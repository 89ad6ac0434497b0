"""Who may import whom. The rules keep the core pure, the services apart, and each engine behind one door."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("services", "gateway", "cli", "intake", "embedded")
FILES = sorted(path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py"))
SERVICES = ("ingest", "scorer", "query")

SQLALCHEMY_ROOMS = ("services/query/", "services/shared/migrations/")
SQLALCHEMY_FILES = {
    "services/shared/database.py",
    "services/shared/schema.py",
    "services/shared/caught_up.py",
    "services/shared/paging.py",
    "services/scorer/admin.py",
    "services/scorer/announcer.py",
    "services/scorer/audit.py",
    "services/scorer/consumer.py",
    "services/scorer/operations.py",
    "services/scorer/overrides.py",
    "services/scorer/ownership.py",
    "services/scorer/prepare.py",
    "services/scorer/progress.py",
    "services/scorer/quarantine.py",
    "services/scorer/store.py",
    "services/scorer/versions.py",
}
IO_CALLS = {"open", "print", "connect", "run", "Popen", "read_text", "read_bytes", "write_text", "getenv"}


def imports(path: Path) -> Iterator[str]:
    """The full names of all that a file imports, wherever in it."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported(path: Path, *names: str) -> list[str]:
    return [each for each in imports(path) if any(each == name or each.startswith(f"{name}.") for name in names)]


@pytest.mark.parametrize("path", [path for path in FILES if path.is_relative_to("services/shared")], ids=str)
def test_what_is_shared_knows_no_service(path: Path) -> None:
    assert imported(path, *(f"services.{name}" for name in SERVICES), "gateway", "cli", "intake", "embedded") == []


@pytest.mark.parametrize("service", SERVICES)
def test_services_do_not_know_each_other(service: str) -> None:
    others = [f"services.{name}" for name in SERVICES if name != service]
    for path in FILES:
        if path.is_relative_to(f"services/{service}"):
            assert imported(path, *others, "gateway", "cli", "intake", "embedded") == [], path


def test_only_the_bus_imports_nats() -> None:
    users = [path for path in FILES if imported(path, "nats")]
    assert users
    assert all(path.is_relative_to("services/shared/bus") for path in users), users


def test_only_the_rooms_of_the_database_import_sqlalchemy() -> None:
    for path in FILES:
        if str(path) not in SQLALCHEMY_FILES and not str(path).startswith(SQLALCHEMY_ROOMS):
            assert imported(path, "sqlalchemy") == [], path
    assert {name for name in SQLALCHEMY_FILES if not imported(Path(name), "sqlalchemy")} == set()


@pytest.mark.parametrize("path", [path for path in FILES if "scoring" in path.parts], ids=str)
def test_scoring_imports_only_the_standard_library_and_itself(path: Path) -> None:
    for name in imports(path):
        top = name.partition(".")[0]
        assert top in sys.stdlib_module_names or name.startswith("services.scorer.scoring."), name
    assert imported(path, "asyncio", "time", "os", "pathlib", "socket", "logging", "random", "io") == []


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[0] in ("gateway", "intake")], ids=str)
def test_the_gateway_reaches_services_by_grpc_alone(path: Path) -> None:
    assert imported(path, *(f"services.{name}" for name in SERVICES), "embedded", "sqlalchemy", "psycopg") == []


@pytest.mark.parametrize("path", FILES, ids=str)
def test_nothing_does_io_on_import(path: Path) -> None:
    for statement in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.If):
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                assert name not in IO_CALLS, f"{path}:{node.lineno} calls {name} when it is imported"
