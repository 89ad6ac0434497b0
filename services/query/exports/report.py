"""What a report shows, from the database."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.query.analytics.sums import Kind, by_name, whole
from services.query.ranks import ranks
from services.shared.schema import LEADS, SCORE_COUNTS

LEADS_SHOWN = 20
BARS_MAX = 20
"""As many as can be read on half a page."""
SHOWN = (
    LEADS.c.lead_id,
    LEADS.c.score,
    LEADS.c.grade,
    LEADS.c.status,
    LEADS.c.profile["name"].label("name"),
    LEADS.c.profile["company"].label("company"),
)
GRADES = by_name(Kind.GRADES)
WIDTHS = (1, 2, 5)
"""Of the steps of scores, times a power of ten: numbers that people read with ease."""


@dataclass(frozen=True)
class Place:
    """A line of the leaderboard."""

    rank: int
    lead_id: str
    name: str
    company: str
    score: int
    grade: str
    status: str


@dataclass(frozen=True)
class Bar:
    """A bar of a chart."""

    label: str
    leads: int


@dataclass(frozen=True)
class Contents:
    """What a report shows."""

    tenant_id: str
    at: datetime
    total: int
    places: list[Place]
    scores: list[Bar]
    grades: list[Bar]


@dataclass(frozen=True)
class Report:
    """A report that is written."""

    pdf: bytes
    rows: int


async def write_report(connection: AsyncConnection, tenant_id: str) -> Report:
    """The report about a tenant's leads."""
    contents = await _read(connection, tenant_id)
    pdf = await asyncio.to_thread(_draw, contents)
    return Report(pdf, len(contents.places))


def _draw(contents: Contents) -> bytes:
    # Imported when it is needed, in the thread that needs it: it takes half a second.
    from services.query.exports.page import draw

    return draw(contents)


async def _read(connection: AsyncConnection, tenant_id: str) -> Contents:
    at = (await connection.execute(select(func.now()))).scalar_one()
    best_first = LEADS.c.score.desc(), LEADS.c.lead_id
    top = select(*SHOWN).where(LEADS.c.tenant_id == tenant_id).order_by(*best_first).limit(LEADS_SHOWN).subquery()
    known = ranks()
    ranked = select(top, known.c.rank).join(known, known.c.score == top.c.score)
    ordered = ranked.order_by(top.c.score.desc(), top.c.lead_id)
    rows = (await connection.execute(ordered, {"tenant_id": tenant_id})).all()
    counted = select(SCORE_COUNTS.c.score, whole(func.sum(SCORE_COUNTS.c.leads)).label("leads"))
    scores = counted.where(SCORE_COUNTS.c.tenant_id == tenant_id).group_by(SCORE_COUNTS.c.score)
    counts = {row.score: row.leads for row in await connection.execute(scores) if row.leads}
    grades = [Bar(row.name, row.leads) for row in await connection.execute(GRADES, {"tenant_id": tenant_id})]
    places = [
        Place(row.rank, row.lead_id, _text(row.name), _text(row.company), row.score, row.grade, row.status)
        for row in rows
    ]
    in_order = sorted(grades, key=lambda bar: bar.label)
    return Contents(tenant_id, at, sum(counts.values()), places, steps(counts), in_order)


def steps(counts: dict[int, int]) -> list[Bar]:
    """The numbers of leads by score in at most BARS_MAX equal steps, from the lowest score to the highest."""
    if not counts:
        return []
    lowest, highest = min(counts), max(counts)
    width = next(
        width
        for power in range(10)
        for width in (each * 10**power for each in WIDTHS)
        if highest // width - lowest // width < BARS_MAX
    )
    found = dict.fromkeys(range(lowest // width, highest // width + 1), 0)
    for score, leads in counts.items():
        found[score // width] += leads
    return [Bar(_span(step * width, width), leads) for step, leads in found.items()]


def _span(start: int, width: int) -> str:
    return str(start) if width == 1 else f"{start} to {start + width - 1}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
