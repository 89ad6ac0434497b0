"""Compiles conditions, and asks them of events and profiles."""

import re
from collections.abc import Mapping
from typing import Any

from cel_expr_python import cel

from services.scorer.conditions.limits import LENGTH_MAX, faults_of_tree
from services.scorer.conditions.tree import Node, TooDeep, fields_of, read_tree, unequal_to
from services.scorer.scoring.compiled import CompiledModel
from services.scorer.scoring.lead import Fact
from services.scorer.scoring.model import ANY, Model, Rule
from services.scorer.scoring.validation import Fault

EVENT = "event"
PROFILE = "profile"
EVENT_FIELDS = ("type", "source", "properties")
TYPES: Mapping[str, type | tuple[type, ...]] = {
    "bool": bool, "string": str, "int": (int, float), "uint": (int, float), "double": (int, float),
}  # fmt: skip

_COMPILE_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_PATTERN_ERROR = re.compile(r"invalid regular expression: (.*?)(?: \[|$)")

_ENVIRONMENTS = {name: cel.NewEnv(variables={name: cel.Type.DYN}) for name in (EVENT, PROFILE)}


class BadCondition(Exception):
    """A condition that cannot be used; the message says why, and where."""


class Expression:
    """A condition over one variable. Asking it never raises."""

    def __init__(self, source: str, variable: str) -> None:
        """Raises BadCondition."""
        self._variable = variable
        self._compiled, tree = _compile(source, variable)
        self.fields = fields_of(tree, variable)
        """The fields of the variable that it looks at."""
        self._unequal = unequal_to(tree, variable)

    def ask(self, value: Mapping[str, Any]) -> bool:
        """Whether a value fulfils it; what it cannot be asked of does not."""
        return self.answer(value)[0]

    def answer(self, value: Mapping[str, Any]) -> tuple[bool, str]:
        """Whether a value fulfils it, and why it could not be asked; empty if it could."""
        for path, kind in self._unequal.items():
            value = _without_other_types(value, path, kind)
        result = self._compiled.eval(data={self._variable: value})
        if result.type() == cel.Type.BOOL:
            return bool(result.value()), ""
        if result.type() == cel.Type.ERROR:
            return False, _sentence(str(result.value()))
        return False, "it gives no true or false"


def compile_model(model: Model) -> CompiledModel:
    """A model that was found good, ready to be applied."""
    return CompiledModel(
        model,
        {rule.name: _EventCondition(rule.condition) for rule in model.rules if rule.condition},
        {each.name: _ProfileCondition(each.condition) for each in model.criteria if each.condition},
    )


def faults_of_conditions(model: Model) -> list[Fault]:
    """All that is wrong with the conditions of a model, by rule and criterion."""
    faults = []
    for index, rule in enumerate(model.rules):
        if rule.condition and (why := _fault_of_rule(rule)):
            faults.append(Fault(f"rules[{index}].condition", f"the condition of rule {rule.name!r}: {why}"))
    for index, criterion in enumerate(model.criteria):
        if criterion.condition:
            try:
                Expression(criterion.condition, PROFILE)
            except BadCondition as error:
                described = f"the condition of criterion {criterion.name!r}: {error}"
                faults.append(Fault(f"criteria[{index}].condition", described))
    return faults


def _fault_of_rule(rule: Rule) -> str:
    try:
        expression = Expression(rule.condition, EVENT)
    except BadCondition as error:
        return str(error)
    if unknown := sorted(expression.fields - set(EVENT_FIELDS)):
        return f"an event has no {', '.join(map(repr, unknown))}; what came with it is in event.properties"
    if expression.fields == {"type"} and not rule.event_type.endswith(ANY):
        seen = {"type": rule.event_type, "source": "", "properties": {}}
        if not expression.ask(seen):
            return f"it can never match: the rule sees only events of type {rule.event_type!r}"
    return ""


def event_value(fact: Fact) -> dict[str, Any]:
    """What a condition sees of an event. All numbers are doubles, as in JSON: whether a shop writes 12 or 12.0 must not
    matter.
    """
    properties = {} if fact.properties is None else _doubles(fact.properties)
    return {"type": fact.type, "source": fact.source, "properties": properties}


def profile_value(profile: Mapping[str, Any]) -> Any:
    """What a condition sees of a profile."""
    return _doubles(profile)


class _EventCondition:
    def __init__(self, source: str) -> None:
        self._expression = Expression(source, EVENT)

    def __call__(self, fact: Fact) -> bool:
        return self._expression.ask(event_value(fact))


class _ProfileCondition:
    def __init__(self, source: str) -> None:
        self._expression = Expression(source, PROFILE)

    def __call__(self, profile: Mapping[str, Any]) -> bool:
        return self._expression.ask(profile_value(profile))


def _compile(source: str, variable: str) -> tuple[Any, Node]:
    if len(source) > LENGTH_MAX:
        raise BadCondition(f"it has {len(source)} characters; at most {LENGTH_MAX} are possible")
    if not all(each.isprintable() or each.isspace() for each in source):
        raise BadCondition("it must not contain control characters")
    try:
        compiled = _ENVIRONMENTS[variable].compile(source)
    except RuntimeError as error:
        raise BadCondition(_compile_sentence(str(error))) from None
    try:
        tree = read_tree(compiled.serialize())
    except (TooDeep, RecursionError):
        raise BadCondition("it is nested too deeply") from None
    if faults := list(faults_of_tree(tree, variable)):
        raise BadCondition("; ".join(faults))
    if compiled.return_type() not in (cel.Type.BOOL, cel.Type.DYN):
        raise BadCondition("it must give true or false")
    _try_patterns(tree)
    return compiled, tree


def _try_patterns(tree: Node) -> None:
    """A pattern is compiled only when it is used: use each once."""
    for call in (part for part in tree.walk() if part.kind == "call" and part.name == "matches"):
        probe = _ENVIRONMENTS[EVENT].compile("event.text.matches(event.pattern)")
        result = probe.eval(data={EVENT: {"text": "", "pattern": call.children[-1].text}})
        if result.type() == cel.Type.ERROR:
            why = _PATTERN_ERROR.search(str(result.value()))
            raise BadCondition(f"the pattern {call.children[-1].text!r} is none: {why[1] if why else 'not RE2'}")


def _compile_sentence(error: str) -> str:
    if "recursion limit" in error:
        return "it is nested too deeply"
    found = _COMPILE_ERROR.search(error)
    if found is None:
        return "it does not compile"
    what = found[3].replace(" (in container '')", "")
    return f"line {found[1]}, column {found[2]}: {what}"


def _without_other_types(value: Mapping[str, Any], path: tuple[str, ...], kind: str) -> Mapping[str, Any]:
    """A value without the field at `path`, if that is null or of another type than a constant of `kind`. In CEL
    anything is unequal to what is of another type; here such a field counts as missing, as for every other operator.
    """
    name, *rest = path
    if name not in value:
        return value
    field = value[name]
    if rest:
        if not isinstance(field, Mapping):
            return value
        inner = _without_other_types(field, tuple(rest), kind)
        return value if inner is field else {**value, name: inner}
    if isinstance(field, TYPES[kind]) and isinstance(field, bool) == (kind == "bool"):
        return value
    return {key: item for key, item in value.items() if key != name}


def _sentence(error: str) -> str:
    return error.split(" [")[0].partition(": ")[2] or error


def _doubles(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return float(value)
    if isinstance(value, Mapping):
        return {key: _doubles(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_doubles(item) for item in value]
    return value
