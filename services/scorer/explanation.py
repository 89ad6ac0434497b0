"""Why a score is what it is: as it is stored with the score, and as it is answered."""

from datetime import date
from typing import Any

from leadscore.score.v1 import score_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as contract
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.scorer.models import load_model
from services.scorer.scoring.fold import Folding
from services.scorer.scoring.model import Model
from services.scorer.wire import to_timestamp
from services.shared.clock import US_PER_S
from services.shared.errors import NotFound
from services.shared.schema import LEADS, MODELS

DAY_US = 86_400 * US_PER_S
EPOCH = date(1970, 1, 1)


def explanation_of(folding: Folding) -> dict[str, Any]:
    """The explanation of a lead's score: every line of the evaluation, with the count behind it."""
    counts = folding.lead.counts
    return {"lines": [[name, counts.get(name, 0), points] for name, points in folding.evaluation.lines.items()]}


async def explain(engine: AsyncEngine, tenant_id: str, lead_id: str) -> contract.ExplainScoreResponse:
    """The explanation that was stored with a lead's score. Raises NotFound."""
    query = (
        select(LEADS, MODELS.c.definition)
        .join(MODELS, (MODELS.c.tenant_id == LEADS.c.tenant_id) & (MODELS.c.version == LEADS.c.model_version))
        .where(LEADS.c.tenant_id == tenant_id, LEADS.c.lead_id == lead_id)
    )
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFound(f"nothing is known of lead {lead_id!r}")
    lines = row.explanation["lines"]
    return contract.ExplainScoreResponse(
        lead_id=row.lead_id,
        score=row.score,
        engagement=row.engagement,
        fit=row.fit,
        grade=row.grade,
        version=row.version,
        model_version=row.model_version,
        contributions=[score_pb2.Contribution(rule=name, count=count, points=points) for name, count, points in lines],
        rules=_rules(lines, load_model(row.model_version, row.definition)),
        evaluated_on=to_timestamp((row.evaluated_on - EPOCH).days * DAY_US),
    )


def _rules(lines: list[tuple[str, int, float]], model: Model) -> list[contract.RuleExplanation]:
    """How each rule came to its points: a published model never changes, so its version says all that is not stored."""
    return [
        contract.RuleExplanation(
            rule=name,
            group=rule.group,
            count=count,
            weight=count,
            points_each=rule.points,
            raw=rule.points * count,
            points=points,
        )
        for name, count, points in lines
        if (rule := model.rules_by_name.get(name))
    ]
