"""A reader of the stream notices that the other end has fallen silent, however short its callers' patience is."""

import asyncio
from typing import Any

import pytest
from nats.aio.msg import Msg

from services.shared.bus import Reader
from services.shared.bus import reader as reading
from services.shared.errors import StreamInterrupted


class SilentClient:
    """A connection that takes everything and answers nothing."""

    def new_inbox(self) -> str:
        return "_INBOX.test"

    async def publish(self, subject: str, payload: bytes, reply: str) -> None:
        pass


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    monkeypatch.setattr(reading, "HEARTBEAT_S", 0.02)
    client: Any = SilentClient()
    stream: Any = None
    return Reader(client, stream, "SCORES", ["leadscore.scores.*"], 0, 512)


async def test_silence_is_noticed_over_several_short_reads(reader: Reader) -> None:
    async with asyncio.timeout(10):
        with pytest.raises(StreamInterrupted, match="silent"):
            while True:
                assert await reader.read(0.005) == []


async def test_a_heartbeat_is_no_silence(reader: Reader) -> None:
    heartbeat: Any = Msg(None, headers={"Status": "100"})  # type: ignore[arg-type]
    started = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() < started + 0.2:
        assert await reader.read(0.005) == []
        await reader._receive(heartbeat)


async def test_a_reader_that_asks_for_nothing_expects_no_sign_of_life(reader: Reader) -> None:
    assert await reader.read(0.001) == []
    expired: Any = Msg(None, headers={"Status": "408", "Nats-Pending-Messages": "512"})  # type: ignore[arg-type]
    await reader._receive(expired)
    reader._sign_of_life -= 60
    assert await reader.read(0.001) == []
