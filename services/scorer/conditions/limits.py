"""What an expression may be made of.

CEL ends always, but not always soon: loops within loops multiply, and texts can be added up to any length. So the
parts are counted, loops do not nest, and nothing grows inside of one. What depends on the machine or its data (time
zones), or on nothing (constants), has no place in a condition either.
"""

import re
from collections.abc import Iterator

from services.scorer.conditions.tree import Node

LENGTH_MAX = 2_000
PARTS_MAX = 200
ADDITIONS_MAX = 8
"""Each may double the text that an event (32 KiB) holds."""

FUNCTIONS = {
    "_&&_", "_||_", "!_", "_?_:_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "_+_", "_-_", "_*_", "_/_", "_%_",
    "-_", "_[_]", "@in", "contains", "startsWith", "endsWith", "matches", "size", "int", "uint", "double", "string",
    "bool", "type", "dyn", "@not_strictly_false",
}  # fmt: skip
"""All that a condition may call. Not: timestamps and durations, whose zones come from the machine."""

REPEATED_REPEAT = re.compile(r"\((?:[^()\\]|\\.)*(?<!\\)[+*][^()]*\)(?:[+*]|\{\d+,)")
"""A repetition of what repeats already, such as (a+)+: other engines try it in exponentially many ways."""
BACKTRACKING = re.compile(r"\(\?(?:[=!]|<[=!])|(?<!\\)(?:\\\\)*\\[1-9]")
"""Looking ahead, looking back and referring back cannot be matched in linear time."""


def faults_of_tree(tree: Node, variable: str) -> Iterator[str]:
    """What is wrong with a condition over `variable`, in sentences."""
    parts = list(tree.walk())
    if len(parts) > PARTS_MAX:
        yield f"it has {len(parts)} parts; at most {PARTS_MAX} are possible"
    if not any(part.kind == "name" and part.name == variable for part in parts):
        yield f"it does not depend on {variable!r}: it is always the same"
    if unknown := sorted({part.name for part in parts if part.kind == "call" and part.name not in FUNCTIONS}):
        yield f"function {', '.join(map(repr, unknown))} cannot be used in a condition"
    if any(part.kind == "map" for part in parts):
        yield "maps and messages cannot be built in a condition"
    if sum(part.name == "_+_" and part.kind == "call" for part in parts) > ADDITIONS_MAX + _loops(parts):
        yield f"it adds more than {ADDITIONS_MAX} times"
    yield from _faults_of_loops(parts)
    yield from _faults_of_patterns(parts)


def _loops(parts: list[Node]) -> int:
    return sum(part.kind == "loop" for part in parts)


def _faults_of_loops(parts: list[Node]) -> Iterator[str]:
    for loop in (part for part in parts if part.kind == "loop"):
        inside = [each for looped in loop.looped for each in looped.walk()]
        if any(each.kind == "loop" for each in inside):
            yield "a loop within a loop can take very long; use one"
        if any(each.kind == "call" and each.name == "_+_" and not _of_the_loop(each) for each in inside):
            yield "an addition within a loop can make texts of any length"


def _of_the_loop(addition: Node) -> bool:
    """Loops that filter, map or count add to their own result by themselves."""
    return any(child.kind == "name" and child.name.startswith("@") for child in addition.children)


def _faults_of_patterns(parts: list[Node]) -> Iterator[str]:
    for call in (part for part in parts if part.kind == "call" and part.name == "matches"):
        pattern = call.children[-1].text
        if pattern is None:
            yield "the pattern of matches must be a text that stands in the condition"
        elif BACKTRACKING.search(pattern):
            yield f"the pattern {pattern!r} looks around or refers back, which needs backtracking"
        elif REPEATED_REPEAT.search(pattern):
            yield f"the pattern {pattern!r} repeats a repetition, which needs backtracking; repeat once"
