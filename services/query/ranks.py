"""Ranks: exact, and at the same cost for the first lead and the last, from the counts of leads by score."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, ColumnElement, Integer, Select, bindparam, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.query.analytics.sums import whole
from services.shared.schema import SCORE_COUNTS


@dataclass(frozen=True)
class Standing:
    """Where a score stands among a tenant's leads."""

    above: int
    """Leads with a higher score."""
    level: int
    """Leads with this score."""
    total: int
    """All leads."""

    @property
    def rank(self) -> int:
        """1 for the highest score. Equal scores share a rank: 1, 1, 3."""
        return 1 + self.above


def standing_by(score: ColumnElement[int]) -> Select[int, int, int]:
    """The standing of a score, for the tenant in the parameter `tenant_id`."""
    leads, scores = SCORE_COUNTS.c.leads, SCORE_COUNTS.c.score
    above, level = func.sum(leads).filter(scores > score), func.sum(leads).filter(scores == score)
    sums = whole(above).label("above"), whole(level).label("level"), whole(func.sum(leads)).label("total")
    return select(*sums).where(SCORE_COUNTS.c.tenant_id == bindparam("tenant_id"))


STANDING = standing_by(bindparam("score", type_=Integer))


async def standing_of(connection: AsyncConnection, tenant_id: str, score: int) -> Standing:
    """The standing of a score; no lead needs to have it."""
    row = (await connection.execute(STANDING, {"tenant_id": tenant_id, "score": score})).one()
    return Standing(above=row.above, level=row.level, total=row.total)


async def ranks_of(connection: AsyncConnection, tenant_id: str, scores: Collection[int]) -> dict[int, int]:
    """The rank of each of some scores that leads have."""
    score, leads = SCORE_COUNTS.c.score, func.sum(SCORE_COUNTS.c.leads)
    above = func.sum(leads).over(order_by=score.desc()) - leads
    counts = select(score, cast(above, BigInteger).label("above")).where(SCORE_COUNTS.c.tenant_id == tenant_id)
    ranked = counts.group_by(score).subquery()
    rows = await connection.execute(select(ranked).where(ranked.c.score.in_(set(scores))))
    return {row.score: 1 + row.above for row in rows}


def ranks_of_page(scores: Sequence[int], first: Standing) -> list[int]:
    """The ranks of a page's scores, highest first, from the standing of the first of them.

    Leads on pages before may share the first one's score; all that share a later one begin on this page.
    """
    ranks: list[int] = []
    below_first = first.above + first.level - scores.count(scores[0]) if scores else 0
    for index, score in enumerate(scores):
        if score == scores[0]:
            ranks.append(first.rank)
        elif score == scores[index - 1]:
            ranks.append(ranks[-1])
        else:
            ranks.append(1 + below_first + index)
    return ranks
