"""What becomes of a lead if nothing happens, as it is answered."""

from leadscore.score.v1 import score_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as contract

from services.scorer.scoring.forecast import Step, forecast
from services.scorer.scoring.lead import DAY_US
from services.scorer.store import Store
from services.scorer.wire import to_crossings, to_timestamp
from services.shared.clock import Clock
from services.shared.errors import NotFound

DAYS_DEFAULT = 90


async def forecast_score(
    store: Store, clock: Clock, tenant_id: str, lead_id: str, days: int
) -> contract.ForecastScoreResponse:
    """Every change that time alone will make of a lead. Raises NotFound."""
    async with store.snapshot() as transaction:
        lead = await transaction.load_lead(tenant_id, lead_id)
        if lead is None:
            raise NotFound(f"nothing is known of lead {lead_id!r}")
        model = await transaction.model(tenant_id, lead.model_version)
    until_us = clock.now_us() + (days or DAYS_DEFAULT) * DAY_US
    steps = forecast(model, lead, lead.evaluated_us, until_us)
    return contract.ForecastScoreResponse(
        lead_id=lead_id, score=lead.score, grade=lead.grade, steps=[_step(each) for each in steps]
    )


def _step(step: Step) -> contract.ForecastStep:
    after = step.change.after
    return contract.ForecastStep(
        at=to_timestamp(step.at_us),
        score=after.score,
        engagement=after.engagement,
        fit=after.fit,
        grade=after.grade,
        cause=score_pb2.Cause.ValueType(step.change.cause),
        crossings=to_crossings(step.change.crossings),
    )
