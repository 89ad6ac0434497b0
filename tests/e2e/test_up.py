"""`leadscore up` as a process: it starts, keeps running, says what happens, stops, and leaves nothing behind."""

import os
import signal
import socket
from pathlib import Path

from cli.up.folder import is_taken
from tests.e2e.up import PARTS, Up, all_gone, post_event, refusal, score_of


def test_a_suite_starts_scores_stops_and_has_its_data_the_next_time(tmp_path: Path, started: list[Up]) -> None:
    first = Up(tmp_path / "data").ready()
    started.append(first)
    key = next(line.strip() for line in first.said if line.strip().startswith("lsk_"))
    with first.client() as client:
        token = post_event(client, "ada")
        assert score_of(client, "ada", token) == 50
        with_key = client.get("/v1/leads/ada", headers={"authorization": f"Bearer {key}"})
        assert with_key.status_code == 200
        assert client.get("/v1/leads/ada", headers={"authorization": "Bearer guess"}).status_code == 401
    parts = first.watch_parts()
    assert first.stop(signal.SIGTERM) == 0
    assert all_gone(parts)
    assert not (tmp_path / "data" / "doors.json").exists()
    again = Up(tmp_path / "data").ready()
    started.append(again)
    assert not [line for line in again.said if "lsk_" in line], "the key is shown once"
    with again.client() as client:
        assert score_of(client, "ada") == 50
        assert client.get("/v1/leads/ada", headers={"authorization": f"Bearer {key}"}).status_code == 200
        erased = client.delete("/v1/leads/ada").json()
        asked = {"consistencyToken": erased["consistencyToken"]}
        assert client.get("/v1/leads/ada", params=asked).status_code == 404
    assert again.stop() == 0


def test_whatever_is_killed_or_hangs_comes_back_and_the_terminal_says_so(tmp_path: Path, started: list[Up]) -> None:
    up = Up(tmp_path / "data").ready()
    started.append(up)
    names = ("nats-server", "postgres", "ingest", "scorer", "query", "gateway")
    running = {name: up.pid_of(part) for part, name in zip(PARTS, names, strict=True)}
    for name, before in running.items():
        os.kill(before, signal.SIGKILL)
        up.until(name, "has ended (killed by SIGKILL)")
        running[name] = int(up.until(name, "runs again").rpartition("pid ")[2].strip(")"))
        assert running[name] != before
    os.kill(running["query"], signal.SIGSTOP)
    up.until("query does not answer")
    up.until("query runs again")
    assert refusal(tmp_path / "data").startswith(f"Error: another suite runs in the data folder {tmp_path / 'data'}")
    assert up.stop() == 0


def test_no_part_outlives_a_supervisor_that_was_killed_and_nothing_is_lost(tmp_path: Path, started: list[Up]) -> None:
    up = Up(tmp_path / "data", LEADSCORE_ADMIN_KEY="sesame-open").ready()
    started.append(up)
    with up.client() as client:
        assert client.get("/v1/leaderboard").status_code == 401, "a key that is set is needed"
        client.headers["authorization"] = "Bearer sesame-open"
        post_event(client, "ada")
    for part in PARTS:
        assert b"sesame-open" not in Path(f"/proc/{up.pid_of(part)}/environ").read_bytes()
    parts = up.watch_parts()
    up.stop(signal.SIGKILL)
    assert all_gone(parts)
    again = Up(tmp_path / "data").ready()
    started.append(again)
    with again.client() as client:
        assert score_of(client, "ada", post_event(client, "ada")) == 100
    assert again.stop() == 0


def test_what_is_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = refusal(tmp_path / "other", LEADSCORE_GATEWAY_PORT=port)
        assert (
            said
            == f"Error: port {port} on 127.0.0.1 is taken by another program; set LEADSCORE_GATEWAY_PORT to another"
        )
    (tmp_path / "file").touch()
    said = refusal(tmp_path / "file")
    assert said.startswith(f"Error: the data folder {tmp_path / 'file'} cannot be written")
    said = refusal(tmp_path / "third", LEADSCORE_INGEST_PORT="many")
    assert said == "Error: LEADSCORE_INGEST_PORT must be a whole number, not 'many'"
    said = refusal(tmp_path / "fourth", LEADSCORE_DATABASE_URL="postgresql://a:b@127.0.0.1:1/c")
    assert said.startswith("Error: the database could not be prepared: ")


def test_ctrl_c_while_it_starts_leaves_nothing_behind(tmp_path: Path, started: list[Up]) -> None:
    up = Up(tmp_path / "data")
    started.append(up)
    up.until("starting")
    assert up.stop() == 0
    assert not is_taken(tmp_path / "data")
    inside = [link for link in Path("/proc").glob("[0-9]*/cwd") if str(tmp_path) in where(link)]
    assert not inside


def where(link: Path) -> str:
    """Where a process works; nowhere if it has just ended."""
    try:
        return str(link.readlink())
    except OSError:
        return ""
