"""The containers run what there is, with settings that there are."""

import importlib.util
import re
from pathlib import Path

from services.shared.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_every_command_is_a_module_and_every_process_is_there() -> None:
    modules = re.findall(r'\["python", "-m", "([\w.]+)"\]', COMPOSE)
    assert {"services.scorer.prepare", "services.ingest", "services.scorer", "services.query", "gateway"} == set(
        modules
    )
    assert all(importlib.util.find_spec(module) for module in modules)


def test_every_setting_is_one() -> None:
    known = {each.metadata["variable"] for each in SETTINGS}
    assert set(re.findall(r"LEADSCORE_\w+", COMPOSE + DOCKERFILE)) <= known


def test_every_secret_must_be_given() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    for secret in ("LEADSCORE_ADMIN_KEY", "POSTGRES_PASSWORD", "NATS_PASSWORD"):
        assert f"${{{secret}:?" in COMPOSE
        assert f"\n{secret}=\n" in example


def test_everything_that_is_copied_into_the_image_is_there_and_let_through() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored, source
