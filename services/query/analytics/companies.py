"""The first companies, without a look at all others: by the steps that the tables keep of their sums.

A company's sum is one over shards, which are the rows that each scorer adds to. Companies that stand high in a shard
give a bound: as many as are asked for have at least so much. Each shard is given a part of it, such that all parts add
up to no more than the bound: so who has that much is above its part in one shard at least. Those are looked up, and the
first are among them (Fagin's threshold algorithm, each list read as deep as its weight says). In the rows of one scorer
they are few more than are asked for. Several scorers each have a like share of every company: where too many are above
a part, all are read.
"""

from typing import Any, NamedTuple

from leadscore.query.v1 import analytics_pb2 as contract
from sqlalchemy import (
    CTE,
    ColumnElement,
    Double,
    Integer,
    Numeric,
    Select,
    bindparam,
    cast,
    desc,
    func,
    literal,
    select,
    true,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.analytics.sums import COUNT, OF_TENANT, TOTAL, Kind, average, by_name, of_kind, whole
from services.query.reading import read
from services.query.statements import Statement
from services.shared.clock import EPOCH
from services.shared.schema import ROLLUPS

COMPANIES = 50
"""For a size of 0."""
LOOKED_UP_MAX = 3_000
"""To look one up takes seven times as long as to read one of all: beyond, all are read, however many there are."""

SIZE = bindparam("size", type_=Integer, literal_execute=True)
ONE = literal(1, literal_execute=True)


class Order(NamedTuple):
    """What is compared."""

    name: str
    sum: ColumnElement[int]
    step: ColumnElement[float]


LEADS = Order("leads", ROLLUPS.c.count, ROLLUPS.c.count_step)
SCORES = Order("total", ROLLUPS.c.total, ROLLUPS.c.total_step)


def _companies(by: Order) -> Statement:
    shards = _shards(by)
    found = _found(by, shards, _bound(by, shards))
    are_few = select(func.count() <= LOOKED_UP_MAX).select_from(found).scalar_subquery()
    few = _sums(select(found.c.name).distinct().where(are_few).cte("few"))
    either = union_all(few, by_name(Kind.COMPANIES).where(~are_few)).subquery()
    return Statement(select(either).order_by(desc(by.name), either.c.name).limit(SIZE))


def _shards(by: Order) -> CTE:
    """The partitions that have rows, one after the other, each with its highest step, and a sum of that step, which is
    its weight.
    """
    columns = ROLLUPS.c.partition, by.step.label("highest"), func.greatest(by.sum, 1).label("weight")
    rows = _from_above(by, *columns).limit(ONE)
    shards = rows.cte("shards", recursive=True)
    next_one = rows.where(ROLLUPS.c.partition > shards.c.partition).lateral()
    return shards.union_all(select(next_one).select_from(shards).join(next_one, true()))


def _bound(by: Order, shards: CTE) -> CTE:
    """What as many companies as are asked for have at least, and what the weights of the shards add up to."""
    high = _from_above(by, ROLLUPS.c.name).where(ROLLUPS.c.partition == shards.c.partition).limit(SIZE).lateral()
    sums = _sums(select(high.c.name).distinct().select_from(shards).join(high, true()).cte("high")).subquery()
    last = select(sums.c[by.name]).order_by(desc(by.name)).offset(SIZE - ONE).limit(ONE).scalar_subquery()
    columns = cast(func.greatest(last, 0), Numeric).label("least"), func.sum(shards.c.weight).label("weights")
    return select(*columns).cte("bound").prefix_with("MATERIALIZED")


def _found(by: Order, shards: CTE, bound: CTE) -> CTE:
    """The companies that are above a shard's part of the bound: a whole number, and its step, rounded like theirs."""
    part = cast(func.div(bound.c.least * shards.c.weight, bound.c.weights), Double)
    one_more = literal(LOOKED_UP_MAX + 1, literal_execute=True)
    # With both ends of the range PostgreSQL expects few rows, and takes the index.
    enough = by.step.between(func.floor(func.sqrt(part)), shards.c.highest)
    of_shard = ROLLUPS.c.partition == shards.c.partition, enough
    above = _rows(by, ROLLUPS.c.name).where(*of_shard).limit(one_more).lateral()
    found = select(above.c.name).select_from(shards).join(bound, true()).join(above, true()).limit(one_more)
    return found.cte("found").prefix_with("MATERIALIZED")


def _rows(by: Order, *columns: ColumnElement[Any]) -> Select[Any]:
    """The rows of companies."""
    return select(*columns).where(OF_TENANT, by.step.is_not(None))


def _from_above(by: Order, *columns: ColumnElement[Any]) -> Select[Any]:
    """The same shard by shard, the highest steps first."""
    return _rows(by, *columns).order_by(ROLLUPS.c.partition, by.step.desc())


def _sums(names: CTE) -> Select[tuple[str, int, int]]:
    """The sums of companies over all shards."""
    sums = select(whole(COUNT).label("leads"), whole(TOTAL).label("total")).where(
        OF_TENANT, of_kind(Kind.COMPANIES), ROLLUPS.c.at == EPOCH, ROLLUPS.c.name == names.c.name
    )
    of_name = sums.lateral()
    return select(names.c.name, of_name.c.leads, of_name.c.total).join_from(names, of_name, of_name.c.leads != 0)


BY_LEADS, BY_SCORES = _companies(LEADS), _companies(SCORES)


async def get_companies(
    engine: AsyncEngine, tenant_id: str, size: int, order: contract.CompanyOrder.ValueType
) -> contract.GetCompaniesResponse:
    """The first companies in an order; equal ones by name."""
    in_order = BY_LEADS if order == contract.COMPANY_ORDER_LEADS else BY_SCORES
    rows = await read(engine, in_order, tenant_id=tenant_id, size=size or COMPANIES)
    return contract.GetCompaniesResponse(
        companies=[
            contract.CompanyShare(
                company=row.name, leads=row.leads, total_score=row.total, average_score=average(row.total, row.leads)
            )
            for row in rows
        ]
    )
