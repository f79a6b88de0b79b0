"""Small changes to a module. The tests of the module should notice each of them."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.Pow: ast.Mult,
}  # fmt: skip
_NAMES = {
    "min": "max", "max": "min", "amax": "amin", "sum": "mean", "mean": "sum", "maximum": "minimum",
    "minimum": "maximum", "cumsum": "cumprod", "floor": "ceil", "ceil": "floor",
    "zeros": "ones", "ones": "zeros", "any": "all", "all": "any",
    "abs": "exp", "argmax": "argmin", "first": "last", "square": "abs", "sqrt": "abs", "fill_null": "drop_nulls",
}  # fmt: skip
_SQL = (
    ("LEFT JOIN", "JOIN"), (">=", ">"), ("<>", "="), (" < ", " <= "), (" AND ", " OR "), ("IS NULL", "IS NOT NULL"),
    ("NOT BETWEEN", "BETWEEN"), ("NOT IN", "IN"), ("AND NOT ", "AND "), ("least(", "greatest("), ("lead(", "lag("),
    ("sum(", "max("), ("floor(", "ceil("), ("btrim(", "("), ("coalesce(", "nullif("), ("count(*)", "1"), (" - ", " + "),
    (" / ", " * "), (" * ", " / "), (" + ", " - "), ("0.5", "1.5"), ("3600", "3601"), ("= 1", "= 2"),
    ("= ANY", "<> ALL"), ("::timestamp)", "::date)"),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A module with one change.

    Attributes:
        line: Where.
        what: From what to what.
        text: The whole module with the change.
    """

    line: int
    what: str
    text: str


def mutants(source: str) -> Iterator[Mutant]:
    """Yield the mutants of a module in the order of its lines; errors, docstrings and limits of options stay."""
    tree = ast.parse(source)
    places = [node for node in ast.walk(tree) if not _is_exempt(node)]
    exempt = {id(inner) for node in ast.walk(tree) if _is_exempt(node) for inner in ast.walk(node)}
    annotations = {id(inner) for node in ast.walk(tree) for part in _annotations(node) for inner in ast.walk(part)}
    for node in places:
        if id(node) in exempt or id(node) in annotations:
            continue
        for what, change, restore in _changes(node):
            change()
            yield Mutant(node.lineno, what, ast.unparse(tree))  # type: ignore[attr-defined]
            restore()


def _is_exempt(node: ast.AST) -> bool:
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Assert):
        return True
    if isinstance(node, ast.keyword):
        return node.arg == "strict"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id == "option"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _annotations(node: ast.AST) -> list[ast.expr]:
    found = [getattr(node, "annotation", None), getattr(node, "returns", None)]
    return [part for part in found if isinstance(part, ast.expr)] + list(getattr(node, "decorator_list", []))


def _changes(node: ast.AST):
    """(description, change, restore) of each way to change one node in place."""

    def swapped(field: str, value: object):
        before = getattr(node, field)
        return lambda: setattr(node, field, value), lambda: setattr(node, field, before)

    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARISONS:
        other = _COMPARISONS[type(node.ops[0])]
        yield f"{type(node.ops[0]).__name__} -> {other.__name__}", *swapped("ops", [other(), *node.ops[1:]])
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _OPERATORS:
        other_operator = _OPERATORS[type(node.op)]
        yield f"{type(node.op).__name__} -> {other_operator.__name__}", *swapped("op", other_operator())
    elif isinstance(node, ast.BoolOp):
        yield "and <-> or", *swapped("op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert | ast.USub):
        # Applied twice, the operator changes nothing.
        twice = ast.UnaryOp(type(node.op)(), node.operand)
        yield f"{type(node.op).__name__} left out", *swapped("operand", twice)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield f"{node.value} -> {not node.value}", *swapped("value", not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield f"{node.value} -> {node.value + 1}", *swapped("value", node.value + 1)
    elif isinstance(node, ast.Attribute) and node.attr in _NAMES:
        yield f"{node.attr} -> {_NAMES[node.attr]}", *swapped("attr", _NAMES[node.attr])
    elif isinstance(node, ast.Name) and node.id in {"min", "max", "any", "all"}:
        yield f"{node.id} -> {_NAMES[node.id]}", *swapped("id", _NAMES[node.id])
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "SQL":
        [text] = node.args
        if isinstance(text, ast.Constant):
            for what, changed in _changed_sql(text.value):
                yield what, *swapped("args", [ast.Constant(value=changed)])
    elif isinstance(node, ast.IfExp):
        yield "condition -> True", *swapped("test", ast.Constant(value=True))
        yield "condition -> False", *swapped("test", ast.Constant(value=False))
    elif isinstance(node, ast.If):
        yield "if -> never", *swapped("test", ast.Constant(value=False))


def _changed_sql(text: str) -> Iterator[tuple[str, str]]:
    """(description, statement) of each way to change one word of a statement; ``SELECT *`` is no product."""
    for before, after in _SQL:
        for place in re.finditer(re.escape(before), text):
            line = text[: place.start()].count("\n")
            if not text[: place.start()].endswith("SELECT"):
                yield (
                    f"{before} -> {after} in line {line} of the statement",
                    text[: place.start()] + after + text[place.end() :],
                )
