"""What facts hold beside their fields, from a Struct to JSON."""

import math
from typing import Any

import msgspec
import pytest
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import given
from hypothesis import strategies as st

from services.shared.errors import InvalidRequest
from services.shared.facts.properties import DEPTH_MAX, INTEGER_MAX, Unfit, faults, read, to_dict, to_json

TEXTS = st.text(st.characters(codec="utf-8"), max_size=3)
LEAVES = st.none() | st.booleans() | TEXTS | st.integers(-INTEGER_MAX, INTEGER_MAX) | st.floats()


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    inside = st.recursive(leaves, lambda part: st.lists(part, max_size=3) | st.dictionaries(TEXTS, part, max_size=3))
    return st.dictionaries(TEXTS, inside, max_size=4)


def struct(values: dict[str, Any]) -> Struct:
    made = Struct()
    made.update(values)
    return made


@given(nested(LEAVES))
def test_what_has_no_fault_is_taken_and_what_has_one_is_not(values: dict[str, Any]) -> None:
    made = struct(values)
    if found := faults(made, "properties"):
        with pytest.raises(Unfit):
            to_dict(made)
        with pytest.raises(InvalidRequest) as refused:
            read(made, "properties")
        assert refused.value.violations == found
    else:
        assert read(made, "properties") == to_dict(made) == values
        assert msgspec.json.decode(to_json(made)) == values


@given(nested(st.floats(allow_nan=False, allow_infinity=False)))
def test_every_number_comes_through_as_it_was(values: dict[str, Any]) -> None:
    made = struct(values)
    if not faults(made, "properties"):
        assert msgspec.json.decode(to_json(made)) == values


@pytest.mark.parametrize(("sent", "kept"), [(5.0, 5), (-0.0, 0), (2.0**53, 2**53), (2.0**54, 2.0**54), (0.5, 0.5)])
def test_numbers_without_a_fraction_are_whole_as_long_as_a_double_holds_each(sent: float, kept: float) -> None:
    found = to_dict(struct({"a": sent}))["a"]
    assert (found, type(found)) == (kept, type(kept))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, "\0", [math.nan], {"\0": 1}])
def test_what_no_fact_can_hold_is_refused(bad: Any) -> None:
    with pytest.raises(Unfit):
        to_dict(struct({"a": bad}))


def test_a_value_without_a_kind_is_refused() -> None:
    made = Struct()
    made.fields["a"].CopyFrom(Value())
    with pytest.raises(Unfit):
        to_dict(made)


@pytest.mark.parametrize("wrap", [lambda inside: {"a": inside}, lambda inside: [inside]], ids=["objects", "lists"])
def test_as_many_levels_as_are_allowed_are_taken_and_no_more(wrap: Any) -> None:
    deep: Any = 1
    for _ in range(DEPTH_MAX - 1):
        deep = wrap(deep)
    assert to_dict(struct({"a": deep})) == {"a": deep}
    with pytest.raises(Unfit):
        to_dict(struct({"a": wrap(deep)}))
