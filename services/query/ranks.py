"""Ranks: exact, and at the same cost for the first lead and the last, from the counts of leads by score."""

from sqlalchemy import ColumnElement, Select, Subquery, bindparam, func, select

from services.query.analytics.sums import whole
from services.query.statements import Statement
from services.shared.schema import SCORE_COUNTS


def standing_by(score: ColumnElement[int]) -> Select[int, int]:
    """The rank of a score, 1 for the highest one, and the number of all leads; no lead needs to have the score. Equal
    scores share a rank: 1, 1, 3. For the tenant in the parameter `tenant_id`.
    """
    leads = SCORE_COUNTS.c.leads
    above = whole(func.sum(leads).filter(SCORE_COUNTS.c.score > score))
    sums = (above + 1).label("rank"), whole(func.sum(leads)).label("total")
    return select(*sums).where(SCORE_COUNTS.c.tenant_id == bindparam("tenant_id"))


LEADS_OF_ALL_SCORES = select(whole(func.sum(SCORE_COUNTS.c.leads)).label("total"))
TOTAL = Statement(LEADS_OF_ALL_SCORES.where(SCORE_COUNTS.c.tenant_id == bindparam("tenant_id")))
"""The number of all leads."""


def ranks() -> Subquery:
    """The rank of each score that leads have, and the number of all leads, for the tenant in a parameter as above."""
    score, leads = SCORE_COUNTS.c.score, func.sum(SCORE_COUNTS.c.leads)
    above = func.sum(leads).over(order_by=score.desc()) - leads
    columns = score, (whole(above) + 1).label("rank"), whole(func.sum(leads).over()).label("total")
    return select(*columns).where(SCORE_COUNTS.c.tenant_id == bindparam("tenant_id")).group_by(score).subquery("ranks")
