"""Scoring models between the core's values, the database's JSON and the contract's messages."""

from typing import Any

import msgspec
from leadscore.model.v1 import model_pb2 as contract

from services.scorer.scoring.model import (
    DEFAULT_FIT_GROUP,
    DEFAULT_GROUP,
    Band,
    Criterion,
    Decay,
    Frequency,
    Grades,
    Group,
    Measured,
    Model,
    Rule,
    Threshold,
    Weight,
)

DECAYS = {
    "half_life_days": Decay.HALF_LIFE,
    "lifespan_days": Decay.LINEAR,
    "expires_after_days": Decay.FRAME,
}
"""The contract's names of the ways to lose weight."""
DECAY_FIELDS = {decay: name for name, decay in DECAYS.items()}


def dump_model(model: Model) -> dict[str, Any]:
    """A model as it is stored; its version is the row's."""
    dumped: dict[str, Any] = msgspec.to_builtins(model)
    del dumped["version"]
    return dumped


def load_model(version: int, stored: dict[str, Any]) -> Model:
    """A model as the core takes it."""
    known = {
        **stored,
        "version": version,
        "rules": tuple(map(_load_rule, stored["rules"])),
        "criteria": tuple(map(_load_criterion, stored["criteria"])),
        "groups": tuple(Group(**each) for each in stored["groups"]),
        "fit_groups": tuple(Group(**each) for each in stored["fit_groups"]),
        "grades": _load_grades(stored["grades"]),
        "thresholds": tuple(Threshold(**{**each, "of": Measured(each["of"])}) for each in stored["thresholds"]),
    }
    return Model(**known)


def _load_rule(stored: dict[str, Any]) -> Rule:
    frequency, weight = stored["frequency"], stored["weight"]
    return Rule(
        **{
            **stored,
            "frequency": Frequency(**frequency) if frequency else None,
            "weight": Weight(Decay(weight["decay"]), weight["days"]) if weight else None,
        }
    )


def _load_criterion(stored: dict[str, Any]) -> Criterion:
    return Criterion(**{**stored, "bands": tuple(Band(**each) for each in stored["bands"])})


def _load_grades(stored: dict[str, Any]) -> Grades:
    levels = {key: tuple((name, at_least) for name, at_least in stored[key]) for key in ("letters", "digits")}
    return Grades(**{**stored, **levels})


def read_definition(definition: contract.ModelDefinition, version: int = 0) -> Model:
    """A model as somebody wrote it, with the defaults filled in."""
    unset = Model(version)
    return Model(
        version=version,
        rules=tuple(map(read_rule, definition.rules)),
        criteria=tuple(map(read_criterion, definition.criteria)),
        groups=tuple(map(_read_group, definition.groups)),
        fit_groups=tuple(map(_read_group, definition.fit_groups)),
        aliases=dict(definition.aliases),
        engagement_max=_optional(definition, "engagement_max", unset.engagement_max),
        fit_max=_optional(definition, "fit_max", unset.fit_max),
        score_max=_optional(definition, "score_max", unset.score_max),
        grades=_read_grades(definition.grades) if definition.HasField("grades") else unset.grades,
        thresholds=tuple(
            Threshold(each.name, each.at, each.hysteresis, Measured(each.of or Measured.SCORE))
            for each in definition.thresholds
        ),
    )


def read_rule(rule: contract.Rule) -> Rule:
    """A rule as somebody wrote it."""
    frequency = weight = None
    if rule.HasField("frequency"):
        in_all, per_day = (_optional(rule.frequency, name, None) for name in ("count_max", "count_max_per_day"))
        frequency = Frequency(in_all, per_day, rule.frequency.per)
    if rule.HasField("weight") and (field := rule.weight.WhichOneof("decay")):
        weight = Weight(DECAYS[field], getattr(rule.weight, field))
    return Rule(
        rule.name, rule.event_type, rule.points, rule.group or DEFAULT_GROUP, _optional(rule, "minimum", None),
        _optional(rule, "maximum", None), rule.condition, frequency, weight,
    )  # fmt: skip


def read_criterion(criterion: contract.Criterion) -> Criterion:
    """A criterion as somebody wrote it."""
    return Criterion(
        name=criterion.name,
        key=criterion.key,
        bands=tuple(Band(each.at_least, each.points, each.exclusive) for each in criterion.bands),
        words=dict(criterion.words),
        otherwise=criterion.otherwise,
        condition=criterion.condition,
        points=criterion.points,
        group=criterion.group or DEFAULT_FIT_GROUP,
    )


def write_definition(model: Model) -> contract.ModelDefinition:
    """A model as it is answered: everything that matters is written out, what is at its default is left out."""
    definition = contract.ModelDefinition(
        rules=map(_write_rule, model.rules),
        criteria=map(_write_criterion, model.criteria),
        groups=map(_write_group, model.groups),
        fit_groups=map(_write_group, model.fit_groups),
        aliases=model.aliases,
        engagement_max=model.engagement_max,
        fit_max=model.fit_max,
        score_max=model.score_max,
        grades=contract.Grades(
            letters=[contract.Level(name=name, at_least=at) for name, at in model.grades.letters],
            last_letter=model.grades.last_letter,
            digits=[contract.Level(name=name, at_least=at) for name, at in model.grades.digits],
            last_digit=model.grades.last_digit,
            hysteresis=model.grades.hysteresis,
        ),
    )
    for each in model.thresholds:
        definition.thresholds.add(name=each.name, at=each.at, hysteresis=each.hysteresis, of=each.of.value)
    return definition


def _write_rule(rule: Rule) -> contract.Rule:
    written = contract.Rule(
        name=rule.name,
        event_type=rule.event_type,
        condition=rule.condition,
        points=rule.points,
        group="" if rule.group == DEFAULT_GROUP else rule.group,
        minimum=rule.minimum,
        maximum=rule.maximum,
    )
    if rule.frequency is not None:
        limits = contract.Frequency(
            count_max=rule.frequency.count_max,
            count_max_per_day=rule.frequency.count_max_per_day,
            per=rule.frequency.per,
        )
        written.frequency.CopyFrom(limits)
    if rule.weight is not None:
        setattr(written.weight, DECAY_FIELDS[rule.weight.decay], rule.weight.days)
    return written


def _write_criterion(criterion: Criterion) -> contract.Criterion:
    return contract.Criterion(
        name=criterion.name,
        key=criterion.key,
        bands=[
            contract.Band(at_least=each.at_least, points=each.points, exclusive=each.exclusive)
            for each in criterion.bands
        ],
        words=criterion.words,
        otherwise=criterion.otherwise,
        condition=criterion.condition,
        points=criterion.points,
        group="" if criterion.group == DEFAULT_FIT_GROUP else criterion.group,
    )


def _write_group(group: Group) -> contract.Group:
    return contract.Group(name=group.name, minimum=group.minimum, maximum=group.maximum)


def _read_group(group: contract.Group) -> Group:
    return Group(group.name, _optional(group, "minimum", None), _optional(group, "maximum", None))


def _read_grades(grades: contract.Grades) -> Grades:
    unset = Grades()
    return Grades(
        letters=tuple((each.name, each.at_least) for each in grades.letters) or unset.letters,
        last_letter=grades.last_letter or unset.last_letter,
        digits=tuple((each.name, each.at_least) for each in grades.digits) or unset.digits,
        last_digit=grades.last_digit or unset.last_digit,
        hysteresis=grades.hysteresis,
    )


def _optional(message: Any, field: str, default: Any) -> Any:
    return getattr(message, field) if message.HasField(field) else default
