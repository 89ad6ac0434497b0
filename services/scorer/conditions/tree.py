"""What a compiled expression is made of, read from its serialized form.

The library gives no access to the tree but in the wire format of `cel.expr.CheckedExpr`, whose descriptors come with no
package; the few fields that matter here are described by their public numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_FIELD = descriptor_pb2.FieldDescriptorProto
SCALARS = {
    "string": _FIELD.TYPE_STRING,
    "bool": _FIELD.TYPE_BOOL,
    "int64": _FIELD.TYPE_INT64,
    "double": _FIELD.TYPE_DOUBLE,
}
_PACKAGE = "leadscore.internal.cel"


class TooDeep(Exception):
    """The tree is deeper than can be read."""


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression: a call, a name, a field, a constant, a list, or a loop over a list. The name of a
    constant is its type.
    """

    kind: str
    name: str
    text: str | None
    children: tuple["Node", ...]
    looped: tuple["Node", ...] = ()
    """The parts that a loop evaluates for each element."""

    def walk(self) -> Iterator["Node"]:
        """This part and all in it."""
        yield self
        for child in (*self.children, *self.looped):
            yield from child.walk()


def read_tree(serialized: bytes) -> Node:
    """The tree of a compiled expression. Raises TooDeep."""
    try:
        checked: Any = _CHECKED.FromString(any_pb2.Any.FromString(serialized).value)
    except DecodeError:
        raise TooDeep from None
    return _node(checked.expr)


def fields_of(tree: Node, variable: str) -> set[str]:
    """The fields of a variable that an expression looks at; a "" for the variable as a whole."""
    found = set()
    for part in tree.walk():
        for child in (*part.children, *part.looped):
            if child.kind == "name" and child.name == variable:
                found.add(part.name if part.kind in ("select", "has") else "")
    return found


def path_of(node: Node, variable: str) -> tuple[str, ...] | None:
    """The fields from a variable to a part of it: ("properties", "total"); None for anything else."""
    if node.kind == "name" and node.name == variable:
        return ()
    if node.kind != "select":
        return None
    above = path_of(node.children[0], variable)
    return None if above is None else (*above, node.name)


def unequal_to(tree: Node, variable: str) -> dict[tuple[str, ...], str]:
    """Fields of a variable that are held against a constant by `!=`, with the constant's type; without those that are
    held against null anywhere.
    """
    found: dict[tuple[str, ...], str] = {}
    with_null = set()
    for part in tree.walk():
        if part.kind != "call" or part.name not in ("_!=_", "_==_"):
            continue
        for one, other in (part.children, part.children[::-1]):
            path = path_of(one, variable)
            if path and other.kind == "constant":
                if other.name == "null":
                    with_null.add(path)
                elif part.name == "_!=_":
                    found[path] = other.name
    return {path: kind for path, kind in found.items() if path not in with_null}


def _node(expr: Any) -> Node:
    match expr.WhichOneof("kind"):
        case "call":
            target = (_node(expr.call.target),) if expr.call.HasField("target") else ()
            return Node("call", expr.call.function, None, (*target, *map(_node, expr.call.args)))
        case "select":
            kind = "has" if expr.select.test_only else "select"
            return Node(kind, expr.select.field, None, (_node(expr.select.operand),))
        case "ident":
            return Node("name", expr.ident.name, None, ())
        case "list":
            return Node("list", "", None, tuple(map(_node, expr.list.elements)))
        case "struct":
            entries = [each for entry in expr.struct.entries for each in (entry.map_key, entry.value)]
            return Node("map", expr.struct.message_name, None, tuple(map(_node, entries)))
        case "loop":
            loop = expr.loop
            once = (_node(loop.range), _node(loop.start), _node(loop.result))
            return Node("loop", "", None, once, (_node(loop.condition), _node(loop.step)))
    kind = expr.const.WhichOneof("kind") or ""
    return Node("constant", kind, expr.const.string if kind == "string" else None, ())


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="leadscore/internal/cel.proto", package=_PACKAGE, syntax="proto3")
    of_expr = f".{_PACKAGE}.Expr"

    def message(name: str, *fields: tuple[str, int, str], repeated: tuple[str, ...] = (), oneof: bool = False) -> None:
        described = file.message_type.add(name=name)
        if oneof:
            described.oneof_decl.add(name="kind")
        for field_name, number, kind in fields:
            field = described.field.add(name=field_name, number=number)
            field.label = _FIELD.LABEL_REPEATED if field_name in repeated else _FIELD.LABEL_OPTIONAL
            if kind in SCALARS:
                field.type = SCALARS[kind]
            else:
                field.type, field.type_name = _FIELD.TYPE_MESSAGE, kind
            if oneof:
                field.oneof_index = 0

    def local(name: str) -> str:
        return f".{_PACKAGE}.{name}"

    message("Checked", ("expr", 4, of_expr))
    message(
        "Constant", ("null", 1, "int64"), ("bool", 2, "bool"), ("int", 3, "int64"), ("uint", 4, "int64"),
        ("double", 5, "double"), ("string", 6, "string"), oneof=True,
    )  # fmt: skip
    message("Ident", ("name", 1, "string"))
    message("Select", ("operand", 1, of_expr), ("field", 2, "string"), ("test_only", 3, "bool"))
    message("Call", ("target", 1, of_expr), ("function", 2, "string"), ("args", 3, of_expr), repeated=("args",))
    message("List", ("elements", 1, of_expr), repeated=("elements",))
    message("Entry", ("map_key", 3, of_expr), ("value", 4, of_expr))
    message("Struct", ("message_name", 1, "string"), ("entries", 2, local("Entry")), repeated=("entries",))
    message(
        "Loop", ("range", 2, of_expr), ("start", 4, of_expr), ("condition", 5, of_expr), ("step", 6, of_expr),
        ("result", 7, of_expr),
    )  # fmt: skip
    message(
        "Expr", ("const", 3, local("Constant")), ("ident", 4, local("Ident")), ("select", 5, local("Select")),
        ("call", 6, local("Call")), ("list", 7, local("List")), ("struct", 8, local("Struct")),
        ("loop", 9, local("Loop")), oneof=True,
    )  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {each.name: pool.FindMessageTypeByName(f"{_PACKAGE}.{each.name}") for each in file.message_type}


_CHECKED = message_factory.GetMessageClass(_messages()["Checked"])
