"""The whole suite as its user starts it: events from a file, through the command line and through an upload."""

import csv
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.shop import TYPES, Row, expected_of, shop_rows

STOP_DEADLINE_S = 60.0
COLUMNS = {"lead_id": "user_id", "type": "event_type", "occurred_at": "ts"}


def as_csv(rows: list[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["user_id", "event_type", "event_id", "ts"])
    writer.writerows(astuple(row) for row in rows)
    return text.getvalue().encode()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    doors = {f"LEADSCORE_{name}_PORT": "0" for name in ("GATEWAY", "INGEST", "SCORER", "QUERY")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LEADSCORE_")}
    return {**kept, **doors, "LEADSCORE_DATA_DIR": str(tmp_path / "data"), "COLUMNS": "200"}


@pytest.fixture
def suite(environment: dict[str, str]) -> Iterator[httpx.Client]:
    """The suite, and a client of its gateway."""
    command = [sys.executable, "-m", "cli", "up"]
    up = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert up.stdout is not None
    try:
        said = []
        for line in iter(up.stdout.readline, ""):
            said.append(line)
            if address := re.search(r"dashboard +(http://\S+)/", line):
                break
        else:
            pytest.fail("the suite did not start: " + "".join(said))
        with httpx.Client(base_url=address[1], timeout=30) as client:
            yield client
    finally:
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=STOP_DEADLINE_S)
    assert up.returncode == 0


def leadscore(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def load(environment: dict[str, str], file: Path) -> dict[str, Any]:
    columns = ",".join(f"{ours}={theirs}" for ours, theirs in COLUMNS.items())
    types = [part for theirs, ours in TYPES.items() for part in ("--type", f"{theirs}={ours}")]
    shown: dict[str, Any] = json.loads(leadscore(environment, "load", str(file), "--map", columns, *types, "--json"))
    return shown


def upload(client: httpx.Client, content: bytes) -> dict[str, Any]:
    mapping = json.dumps({"columns": COLUMNS, "types": TYPES, "timezone": "UTC"})
    form: dict[str, Any] = {"mapping": (None, mapping), "file": ("events.csv", content)}
    answer = client.post("/v1/events:upload", files=form)
    assert answer.status_code == 202, answer.text
    token = answer.json()["consistencyToken"]
    found: dict[str, Any] = client.get(answer.headers["location"], params={"consistencyToken": token}).json()
    return found


def scores(client: httpx.Client) -> dict[str, int]:
    found: dict[str, int] = {}
    page = ""
    while True:
        answer = client.get("/v1/leaderboard", params={"pageSize": 100, "pageToken": page}).json()
        found |= {entry["leadId"]: entry["score"] for entry in answer["entries"]}
        page = answer["nextPageToken"]
        if not page:
            return found


def quarantined(client: httpx.Client) -> set[tuple[str, str]]:
    items = client.get("/v1/quarantine", params={"pageSize": 1000}).json()["items"]
    assert {item["reason"] for item in items} <= {"CONFLICT"}
    return {(item["eventId"], item["leadId"]) for item in items}


def test_a_file_gives_the_scores_computed_from_its_rows_however_it_is_loaded_and_however_often(
    suite: httpx.Client, environment: dict[str, str], tmp_path: Path
) -> None:
    rows = shop_rows()
    expected = expected_of(rows)
    file = tmp_path / "events.csv"
    file.write_bytes(as_csv(rows))
    counts = load(environment, file)
    names = ("rows_read", "accepted", "duplicates", "conflicts", "rejected")
    wanted = (len(rows), expected.accepted, expected.duplicates, len(expected.conflicts), 0)
    assert tuple(counts[name] for name in names) == wanted
    assert scores(suite) == expected.scores
    assert quarantined(suite) == expected.conflicts
    again = upload(suite, as_csv(random.Random(5).sample(rows, len(rows))))
    assert (again["state"], again["accepted"], again["conflicts"], again["rejected"]) == ("DONE", 0, 0, 0)
    assert again["duplicates"] == len(rows)
    assert load(environment, file)["duplicates"] == len(rows)
    assert scores(suite) == expected.scores
    assert quarantined(suite) == expected.conflicts
    best = min(expected.scores, key=lambda lead: (-expected.scores[lead], lead.encode()))
    assert best in leadscore(environment, "explain", best)
    assert "nothing waits" in leadscore(environment, "doctor")
    assert len(json.loads(leadscore(environment, "top", "-n", "5", "--json"))["entries"]) == 5


def test_an_upload_alone_gives_the_scores_computed_from_its_rows(suite: httpx.Client) -> None:
    rows = shop_rows()[::-1]
    expected = expected_of(rows)
    found = upload(suite, as_csv(rows))
    assert (found["state"], found["rowsRead"], found["accepted"]) == ("DONE", len(rows), expected.accepted)
    assert (found["duplicates"], found["conflicts"]) == (expected.duplicates, len(expected.conflicts))
    assert scores(suite) == expected.scores
    assert quarantined(suite) == expected.conflicts


def test_a_change_is_at_a_watcher_as_it_happens(suite: httpx.Client) -> None:
    with suite.stream("GET", "/v1/scores:watch") as watching:
        lines = watching.iter_lines()
        next(lines)
        event = {"eventId": "e1", "leadId": "a/b+c=ä @%", "type": "Demo Request"}
        assert suite.post("/v1/events", json=event).json()["outcome"] == "ACCEPTED"
        data = next(line for line in lines if line.startswith("data: "))
    update = json.loads(data.removeprefix("data: "))
    assert (update["leadId"], update["previousScore"], update["score"]) == ("a/b+c=ä @%", 0, 50)
    found = suite.get("/v1/leads/a%2Fb%2Bc%3D%C3%A4%20%40%25").json()
    assert (found["leadId"], found["score"], found["rank"]) == ("a/b+c=ä @%", 50, 1)
