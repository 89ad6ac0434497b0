"""A filter's text as a tree.

filter     = expression, or nothing
expression = choice {"AND" choice}
choice     = term {"OR" term}           OR binds tighter than AND, as in AIP-160
term       = {"NOT"} (comparison | "(" expression ")")
comparison = field operator value
"""

from services.query.filters.fields import FIELDS, PROFILE, read_value
from services.query.filters.lexing import Kind, Token, tokens_of
from services.query.filters.tree import AllOf, AnyOf, Comparison, Node, Not, wrong

LENGTH_MAX = 2_000
COMPARISONS_MAX = 50
"""More than anybody writes; each is looked at for 20 000 leads."""
NESTING_MAX = 20
KEYWORDS = ("AND", "OR", "NOT")
FIELDS_IN_WORDS = ", ".join([*FIELDS, f"{PROFILE}.<key>"])


def parse_filter(text: str) -> Node | None:
    """The tree of a filter; None if it lets everything pass. Raises InvalidRequest with the part that is wrong."""
    if len(text) > LENGTH_MAX:
        raise wrong(LENGTH_MAX + 1, f"a filter has at most {LENGTH_MAX} characters")
    tokens = tokens_of(text)
    return None if tokens[0].kind is Kind.END else _Parser(tokens).parse()


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._position = 0
        self._comparisons = 0

    def parse(self) -> Node:
        tree = self._expression(0)
        if self._next.kind is Kind.CLOSE:
            raise wrong(self._next.column, "nothing is open that this parenthesis could close")
        if self._next.kind is not Kind.END:
            raise wrong(self._next.column, f"expected AND or OR (in capitals), not {self._next.shown}")
        return tree

    def _expression(self, depth: int) -> Node:
        parts = [self._choice(depth)]
        while self._take_word("AND"):
            parts.append(self._choice(depth))
        return parts[0] if len(parts) == 1 else AllOf(parts)

    def _choice(self, depth: int) -> Node:
        parts = [self._term(depth)]
        while self._take_word("OR"):
            parts.append(self._term(depth))
        return parts[0] if len(parts) == 1 else AnyOf(parts)

    def _term(self, depth: int) -> Node:
        negated = False
        while self._take_word("NOT"):
            negated = not negated
        part = self._group(depth + 1) if self._next.kind is Kind.OPEN else self._comparison()
        return Not(part) if negated else part

    def _group(self, depth: int) -> Node:
        opening = self._take()
        if depth > NESTING_MAX:
            raise wrong(opening.column, f"parentheses are at most {NESTING_MAX} deep")
        part = self._expression(depth)
        closing = self._take()
        if closing.kind is not Kind.CLOSE:
            raise wrong(closing.column, f"expected AND, OR (in capitals) or ), not {closing.shown}")
        return part

    def _comparison(self) -> Node:
        field, key = self._field()
        operator = self._take()
        if operator.kind is not Kind.OPERATOR:
            raise wrong(operator.column, f"expected one of = != < <= > >=, not {operator.shown}")
        value = self._take()
        if value.kind not in (Kind.TEXT, Kind.WORD):
            raise wrong(value.column, f"expected a value, not {value.shown}")
        if value.kind is Kind.WORD and value.raw in KEYWORDS:
            raise wrong(value.column, f"expected a value; as one, {value.raw} is written in quotes")
        return Comparison(field, key, operator.text, read_value(field, operator, value), value.is_beginning)

    def _field(self) -> tuple[str, str]:
        """A field, and for the profile its key."""
        token = self._take()
        if token.kind is not Kind.WORD or token.raw in KEYWORDS:
            raise wrong(token.column, f"expected a field, not {token.shown}")
        self._comparisons += 1
        if self._comparisons > COMPARISONS_MAX:
            raise wrong(token.column, f"a filter has at most {COMPARISONS_MAX} comparisons")
        if token.raw in FIELDS:
            return token.raw, ""
        name, dot, key = token.raw.partition(".")
        if name != PROFILE or not dot:
            raise wrong(token.column, f"{token.shown} is no field; fields are {FIELDS_IN_WORDS}")
        return PROFILE, key or self._quoted_key(token)

    def _quoted_key(self, profile: Token) -> str:
        token = self._next
        is_adjacent = token.column == profile.column + len(profile.raw)
        if token.kind is not Kind.TEXT or not is_adjacent or token.is_beginning or not token.text:
            raise wrong(profile.column, f"{PROFILE}. must be followed by a key, if need be in quotes")
        return self._take().text

    @property
    def _next(self) -> Token:
        return self._tokens[self._position]

    def _take(self) -> Token:
        token = self._next
        if token.kind is not Kind.END:
            self._position += 1
        return token

    def _take_word(self, word: str) -> bool:
        found = self._next.is_word(word)
        self._position += found
        return found
