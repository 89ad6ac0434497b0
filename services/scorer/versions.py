"""The versions of a tenant's model: drafts that are edited, the one that is published, those that were.

A version is checked as a whole before it is saved, so whatever is stored can be published.
"""

from typing import Any

from leadscore.model.v1 import model_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as contract
from sqlalchemy import ColumnElement, Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.scorer import audit, operations
from services.scorer.conditions.expression import faults_of_conditions
from services.scorer.models import dump_model, load_model, read_definition, write_definition
from services.scorer.scoring.model import Model
from services.scorer.scoring.validation import Fault, faults_of
from services.scorer.wire import to_timestamp
from services.shared.clock import Clock, to_datetime, to_us
from services.shared.credentials import Caller
from services.shared.errors import (
    EditedMeanwhile,
    FailedPrecondition,
    FieldViolation,
    InvalidRequest,
    NotFound,
    TooMany,
)
from services.shared.paging import Filling
from services.shared.schema import MODELS, TENANTS
from services.shared.tokens import decode_page, encode_page

PAGE_SIZE_DEFAULT = 50
VERSIONS_MAX = 10_000
"""Of one tenant: more drafts than anybody reads, and few enough to list."""
HEAD = [column for column in MODELS.c if column.name != "definition"]

Stored = Row[Any]


def faults(model: Model) -> list[Fault]:
    """All that is wrong with a model."""
    return [*faults_of(model), *faults_of_conditions(model)]


class Versions:
    """The versions of the models of all tenants. The tenant of a call is there already."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def list(self, tenant_id: str, page_size: int, page_token: str) -> contract.ListModelsResponse:
        """A page of versions, newest first."""
        query = select(*HEAD).where(MODELS.c.tenant_id == tenant_id)
        if (below := decode_page(page_token, int)) is not None:
            query = query.where(MODELS.c.version < below)
        async with self._engine.connect() as connection:
            published = await _published(connection, tenant_id)
            page = Filling(page_size or PAGE_SIZE_DEFAULT, lambda row: _head(row, published))
            await page.take(connection, query.order_by(MODELS.c.version.desc()))
        more = encode_page(page.items[-1].version) if page.is_full else ""
        return contract.ListModelsResponse(models=page.items, next_page_token=more, published_version=published)

    async def get(self, tenant_id: str, version: int) -> model_pb2.Model:
        """One version, with its definition; 0 is the published one. Raises NotFound."""
        async with self._engine.connect() as connection:
            published = await _published(connection, tenant_id)
            row = await _find(connection, tenant_id, version or published)
        return _whole(row, published)

    async def load(self, tenant_id: str, version: int) -> Model:
        """One version, for the core; 0 is the published one. Raises NotFound."""
        async with self._engine.connect() as connection:
            row = await _find(connection, tenant_id, version or await _published(connection, tenant_id))
        return load_model(row.version, row.definition)

    async def create(self, caller: Caller, request: contract.CreateDraftRequest) -> model_pb2.Model:
        """Makes a draft. Raises InvalidRequest, NotFound, TooMany."""
        if request.HasField("definition"):
            if request.from_version:
                raise InvalidRequest([FieldViolation("from_version", "is only for a draft without a definition")])
            definition = dump_model(_checked(request.definition))
        else:
            definition = dump_model(await self.load(caller.tenant_id, request.from_version))
        now_us = self._clock.now_us()
        async with self._engine.begin() as connection:
            published = await _published(connection, caller.tenant_id, lock=True)
            newest = select(func.max(MODELS.c.version)).where(MODELS.c.tenant_id == caller.tenant_id)
            version = (await connection.execute(newest)).scalar_one() + 1
            if version > VERSIONS_MAX:
                raise TooMany(f"a model has at most {VERSIONS_MAX} versions")
            values = {
                "tenant_id": caller.tenant_id, "version": version, "definition": definition,
                "comment": request.comment, "created_at": to_datetime(now_us), "created_by": caller.actor,
                "updated_at": to_datetime(now_us), "updated_by": caller.actor,
            }  # fmt: skip
            row = (await connection.execute(insert(MODELS).values(values).returning(MODELS))).one()
            await _record(connection, caller, now_us, "model.create", version, comment=request.comment)
        return _whole(row, published)

    async def update(self, caller: Caller, request: contract.UpdateDraftRequest) -> model_pb2.Model:
        """Edits a draft. Raises InvalidRequest, NotFound, FailedPrecondition, EditedMeanwhile."""
        definition, now_us = dump_model(_checked(request.definition)), self._clock.now_us()
        async with self._engine.begin() as connection:
            published = await _published(connection, caller.tenant_id, lock=True)
            draft = await _find_draft(connection, caller.tenant_id, request.version)
            _check_revision(draft, request.revision)
            values = {
                "definition": definition, "comment": request.comment or draft.comment, "revision": draft.revision + 1,
                "updated_at": to_datetime(now_us), "updated_by": caller.actor,
            }  # fmt: skip
            edit = update(MODELS).where(*_key(caller.tenant_id, request.version)).values(values).returning(MODELS)
            row = (await connection.execute(edit)).one()
            await _record(connection, caller, now_us, "model.update", request.version, revision=row.revision)
        return _whole(row, published)

    async def delete(self, caller: Caller, version: int) -> None:
        """Throws a draft away. Raises NotFound, FailedPrecondition."""
        async with self._engine.begin() as connection:
            await _published(connection, caller.tenant_id, lock=True)
            await _find_draft(connection, caller.tenant_id, version)
            await connection.execute(delete(MODELS).where(*_key(caller.tenant_id, version)))
            await _record(connection, caller, self._clock.now_us(), "model.delete", version)

    async def publish(self, caller: Caller, request: contract.PublishModelRequest) -> contract.PublishModelResponse:
        """Makes a version the one by which leads are scored. Raises NotFound, EditedMeanwhile."""
        now_us, version = self._clock.now_us(), request.version
        response = contract.PublishModelResponse()
        async with self._engine.begin() as connection:
            before = await _published(connection, caller.tenant_id, lock=True)
            row = await _find(connection, caller.tenant_id, version)
            _check_revision(row, request.revision)
            if version != before:
                row = await _publish(connection, caller, version, now_us)
                await operations.end_running(connection, caller.tenant_id, now_us)
                await _record(
                    connection, caller, now_us, "model.publish", version, before=before, rescore=request.rescore
                )
            if request.rescore:
                begun = await operations.begin(connection, caller, version, now_us)
                response.operation.CopyFrom(begun)
        response.model.CopyFrom(_whole(row, version))
        return response


def _checked(definition: model_pb2.ModelDefinition) -> Model:
    model = read_definition(definition)
    if found := faults(model):
        raise InvalidRequest([FieldViolation(f"definition.{each.path}", each.description) for each in found])
    return model


def _key(tenant_id: str, version: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return MODELS.c.tenant_id == tenant_id, MODELS.c.version == version


async def _published(connection: AsyncConnection, tenant_id: str, *, lock: bool = False) -> int:
    """The published version. With `lock`, one change of a tenant's versions waits for the other."""
    query = select(TENANTS.c.model_version).where(TENANTS.c.tenant_id == tenant_id)
    return int((await connection.execute(query.with_for_update() if lock else query)).scalar_one())


async def _find(connection: AsyncConnection, tenant_id: str, version: int) -> Stored:
    row = (await connection.execute(select(MODELS).where(*_key(tenant_id, version)))).one_or_none()
    if row is None:
        raise NotFound(f"the model has no version {version}")
    return row


async def _find_draft(connection: AsyncConnection, tenant_id: str, version: int) -> Stored:
    row = await _find(connection, tenant_id, version)
    if row.published_at is not None:
        raise FailedPrecondition(f"version {version} was published and never changes again; make a draft of it")
    return row


def _check_revision(row: Stored, revision: int) -> None:
    if revision and revision != row.revision:
        raise EditedMeanwhile(f"version {row.version} is at revision {row.revision}, not {revision}; read it again")


async def _publish(connection: AsyncConnection, caller: Caller, version: int, now_us: int) -> Stored:
    values = {"published_at": to_datetime(now_us), "published_by": caller.actor}
    key = _key(caller.tenant_id, version)
    published = update(MODELS).where(*key).values(values).returning(MODELS)
    row: Stored = (await connection.execute(published)).one()
    of_tenant = TENANTS.c.tenant_id == caller.tenant_id
    await connection.execute(update(TENANTS).where(of_tenant).values(model_version=version))
    return row


async def _record(
    connection: AsyncConnection, caller: Caller, now_us: int, action: str, version: int, **details: object
) -> None:
    await audit.record(connection, caller, now_us, action, f"model/{version}", **details)


def _whole(row: Stored, published: int) -> model_pb2.Model:
    model = _head(row, published)
    model.definition.CopyFrom(write_definition(load_model(row.version, row.definition)))
    return model


def _head(row: Stored, published: int) -> model_pb2.Model:
    state = model_pb2.MODEL_STATE_RETIRED
    if row.published_at is None:
        state = model_pb2.MODEL_STATE_DRAFT
    elif row.version == published:
        state = model_pb2.MODEL_STATE_PUBLISHED
    return model_pb2.Model(
        version=row.version,
        state=state,
        comment=row.comment,
        revision=row.revision,
        created_at=to_timestamp(to_us(row.created_at)),
        created_by=row.created_by,
        updated_at=to_timestamp(to_us(row.updated_at)),
        updated_by=row.updated_by,
        published_at=to_timestamp(to_us(row.published_at)) if row.published_at else None,
        published_by=row.published_by,
    )
