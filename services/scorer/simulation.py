"""What a version of the model would make of all leads: worked out on their real histories, with nothing changed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from leadscore.scorer.v1 import scorer_service_pb2 as contract

from services.scorer.conditions.expression import compile_model
from services.scorer.scoring.fold import Change
from services.scorer.scoring.lead import Lead
from services.scorer.scoring.replay import rescore
from services.scorer.store import Store
from services.scorer.versions import Versions
from services.scorer.wire import to_contributions
from services.shared.clock import Clock

LEADS_MAX = 200
"""Leads of a slice; live events are scored between two of them."""
MOVERS_DEFAULT = 10
BUCKET_DEFAULT = 50
LEADS_OF_A_MOVE_MAX = 20
"""Enough to look at some, few enough to be sent."""

Mover = tuple[int, str, Change]


Key = TypeVar("Key", bound=int | str)


@dataclass
class Distribution(Generic[Key]):
    """Leads as they are and as they would be."""

    before: Counter[Key] = field(default_factory=Counter)
    after: Counter[Key] = field(default_factory=Counter)

    def rows(self) -> list[tuple[Key, int, int]]:
        """Each key with its leads before and after."""
        return [(key, self.before[key], self.after[key]) for key in sorted({*self.before, *self.after}, key=_natural)]


class Report:
    """Sums up what would change, lead by lead."""

    def __init__(self, version: int, movers_max: int, bucket_points: int) -> None:
        self._version = version
        self._movers_max = movers_max
        self._bucket = bucket_points
        self._scores: Distribution[int] = Distribution()
        self._grades: Distribution[str] = Distribution()
        self._moves: dict[tuple[str, str], list[str]] = {}
        self._moved: Counter[tuple[str, str]] = Counter()
        self._sums = [0, 0]
        self._directions: Counter[bool] = Counter()
        self._risers: list[Mover] = []
        self._fallers: list[Mover] = []
        self.leads = 0

    def add(self, before: Lead, change: Change | None, after: Lead) -> None:
        """Takes in a lead; `change` is what would be in its ledger."""
        self.leads += 1
        self._scores.before[before.score // self._bucket] += 1
        self._scores.after[after.score // self._bucket] += 1
        self._grades.before[before.grade] += 1
        self._grades.after[after.grade] += 1
        self._sums[0] += before.score
        self._sums[1] += after.score
        if before.grade != after.grade:
            move = before.grade, after.grade
            self._moved[move] += 1
            some = self._moves.setdefault(move, [])
            if len(some) < LEADS_OF_A_MOVE_MAX:
                some.append(before.lead_id)
        delta = after.score - before.score
        if change is not None and delta:
            self._directions[delta > 0] += 1
            self._keep(self._risers if delta > 0 else self._fallers, (abs(delta), before.lead_id, change))

    def _keep(self, movers: list[Mover], mover: Mover) -> None:
        """Keeps the largest; of equal ones those whose ids come first."""
        movers.append(mover)
        if len(movers) >= 2 * self._movers_max:
            self._prune(movers)

    def _prune(self, movers: list[Mover]) -> list[Mover]:
        movers.sort(key=_largest_first)
        del movers[self._movers_max :]
        return movers

    def answer(self) -> contract.SimulationReport:
        """The report."""
        return contract.SimulationReport(
            version=self._version,
            leads=self.leads,
            up=self._directions[True],
            down=self._directions[False],
            scores=[
                contract.ScoreBucket(from_score=bucket * self._bucket, before=before, after=after)
                for bucket, before, after in self._scores.rows()
            ],
            grades=[self._grade(*row) for row in self._grades.rows()],
            moves=[
                contract.GradeMove(before=move[0], after=move[1], leads=number, lead_ids=self._moves[move])
                for move, number in self._moved.most_common()
            ],
            risers=map(_mover, self._prune(self._risers)),
            fallers=map(_mover, self._prune(self._fallers)),
            average_before=self._sums[0] / self.leads if self.leads else 0,
            average_after=self._sums[1] / self.leads if self.leads else 0,
        )

    def _grade(self, grade: str, before: int, after: int) -> contract.GradeCount:
        entering = sum(number for move, number in self._moved.items() if move[1] == grade)
        leaving = sum(number for move, number in self._moved.items() if move[0] == grade)
        return contract.GradeCount(grade=grade, before=before, after=after, entering=entering, leaving=leaving)


async def simulate(
    store: Store, versions: Versions, clock: Clock, tenant_id: str, request: contract.SimulateRequest
) -> AsyncIterator[contract.SimulateResponse]:
    """Tries a version on all leads: progress while it works, the report at the end. Raises NotFound."""
    model = compile_model(await versions.load(tenant_id, request.version))
    report = Report(request.version, request.movers or MOVERS_DEFAULT, request.bucket_points or BUCKET_DEFAULT)
    now_us, after = clock.now_us(), ""
    async with store.snapshot() as transaction:
        total = await transaction.count_leads(tenant_id)
        partitions = await transaction.partitions()
        while leads := await transaction.load_leads_after(tenant_id, after, partitions, LEADS_MAX):
            after = leads[-1][1].lead_id
            ids = [lead.lead_id for _, lead in leads]
            histories = await transaction.load_histories(tenant_id, ids, model)
            for _, lead in leads:
                folding, change = rescore(model, lead, histories[lead.lead_id], now_us)
                report.add(lead, change, folding.lead)
            yield contract.SimulateResponse(leads_done=report.leads, leads_total=max(total, report.leads))
            await asyncio.sleep(0)
    yield contract.SimulateResponse(leads_done=report.leads, leads_total=report.leads, report=report.answer())


def _natural(key: int | str) -> tuple[int, str]:
    return (key, "") if isinstance(key, int) else (0, key)


def _largest_first(mover: Mover) -> tuple[int, str]:
    return -mover[0], mover[1]


def _mover(mover: Mover) -> contract.Mover:
    change = mover[2]
    return contract.Mover(
        lead_id=change.lead_id,
        score_before=change.score_before,
        score_after=change.after.score,
        grade_before=change.grade_before,
        grade_after=change.after.grade,
        contributions=to_contributions((each.rule, each.count, each.points) for each in change.contributions),
    )
