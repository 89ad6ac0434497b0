"""The compiled core is that of the sources, or it is refused."""

from pathlib import Path

import pytest

from services.scorer import core
from services.shared.errors import SettingError


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only module of a core."""
    path = tmp_path / "fold.py"
    path.write_text("RULES = 1")
    monkeypatch.setattr(core, "MODULES", (path,))
    monkeypatch.setattr(core, "MARK", tmp_path / "core.digest")
    return path


def compiled(module: Path) -> None:
    module.with_suffix(core.SUFFIX).write_bytes(b"")
    core.MARK.write_text(core.digest())


def test_a_core_that_is_not_compiled_is_plain_python(module: Path) -> None:
    core.check()
    assert not core.is_compiled()


def test_a_core_that_is_compiled_from_its_sources_is_taken(module: Path) -> None:
    compiled(module)
    core.check()
    assert core.is_compiled()


def test_a_core_whose_sources_have_changed_since_is_refused(module: Path) -> None:
    compiled(module)
    module.write_text("RULES = 2")
    with pytest.raises(SettingError, match="make core"):
        core.check()


def test_a_core_of_which_a_part_is_missing_is_refused(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(module)
    monkeypatch.setattr(core, "MODULES", (module, module.with_name("tally.py")))
    module.with_name("tally.py").write_text("")
    with pytest.raises(SettingError, match="make core"):
        core.check()


def test_a_core_without_a_mark_is_refused(module: Path) -> None:
    compiled(module)
    core.MARK.unlink()
    with pytest.raises(SettingError, match="make core"):
        core.check()


def test_every_module_of_the_core_is_there() -> None:
    assert all(path.exists() for path in core.MODULES)
    assert len(core.MODULES) > len(core.AROUND)
