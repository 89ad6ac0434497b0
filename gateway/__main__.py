"""The gateway process, as a list of its parts."""

from contextlib import AsyncExitStack

from gateway.application import build_application
from gateway.channels import open_channels
from gateway.guard import Guard
from gateway.segment.mapping import parse_segment_mapping
from gateway.segment.origins import Origins
from gateway.segment.service import SegmentIntake
from gateway.serving import open_doors, serve
from gateway.sse import EventStreams
from services.shared.clock import SystemClock
from services.shared.lifecycle import Process, run
from services.shared.settings import Settings


async def start(settings: Settings, stack: AsyncExitStack, process: Process) -> None:
    """Starts the parts of the gateway."""
    doors = open_doors(settings, stack)
    streams = EventStreams()
    channels = await open_channels(settings, stack)
    guard = Guard(anonymous=settings.anonymous)
    origins, mapping = Origins(settings.segment_origins), parse_segment_mapping(settings.segment_mapping)
    segment = SegmentIntake(channels["ingest"], guard, origins, mapping, SystemClock())
    application = build_application(channels, guard, streams, segment)
    serve(application, doors, streams, stack, process)


if __name__ == "__main__":
    run("gateway", start)
