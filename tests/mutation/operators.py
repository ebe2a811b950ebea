"""Small mistakes that can be planted into a source file, one at a time.

What no test can or should notice is not planted: docstrings, annotations, the texts of errors,
what is logged, how an object prints itself.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

COMPARES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
}
QUIET = ("print_log",)  # calls whose arguments are for reading
UNSEEN = ("__repr__", "__str__")


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Attributes:
        kind: which operator made it.
        line: of the changed code.
        scope: dotted name of the function or class around it; '' at module level.
        body: first and last line of the function whose tests should notice; the whole file's
            where the code runs at import.
        change: what was and what is, in brief.
        plant: changes the tree.
    """

    kind: str
    line: int
    scope: str
    body: tuple[int, int]
    change: str
    plant: Callable[[], None] = field(compare=False)


def mutants_of(tree: ast.Module) -> list[Mutant]:
    """Every mistake that can be planted into a tree, in the order of the source."""
    return list(_Finder().find(tree))


class _Finder:
    """Walks a tree and knows where it is."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.body = (1, 10**9)
        self.line = 0

    def find(self, node: ast.AST) -> Iterator[Mutant]:
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "type_params", "decorator_list", "bases"):
                continue
            for position, child in enumerate(value if isinstance(value, list) else [value]):
                if not isinstance(child, ast.AST):
                    continue

                def put(
                    new: ast.AST,
                    node: ast.AST = node,
                    name: str = name,
                    position: int | None = position if isinstance(value, list) else None,
                ) -> None:
                    if position is None:
                        setattr(node, name, new)
                    else:
                        getattr(node, name)[position] = new

                yield from self._visit(child, put)

    def _visit(self, node: ast.AST, put: Callable[[ast.AST], None]) -> Iterator[Mutant]:
        outer = self.names, self.body
        self.line = getattr(node, "lineno", self.line)
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            if node.name in UNSEEN or "Protocol" in map(ast.unparse, getattr(node, "bases", ())):
                return
            self.names = [*self.names, node.name]
            if isinstance(node, ast.FunctionDef):
                self.body = (node.body[0].lineno, node.end_lineno or node.lineno)
        for kind, new in _replacements(node):
            yield self._mutant(kind, node, put, new)
        if not _for_readers(node):
            yield from self.find(node)
        self.names, self.body = outer

    def _mutant(
        self, kind: str, node: ast.AST, put: Callable[[ast.AST], None], new: ast.AST
    ) -> Mutant:
        def plant() -> None:
            put(ast.fix_missing_locations(ast.copy_location(new, node)))

        line = getattr(node, "lineno", self.line)
        return Mutant(kind, line, ".".join(self.names), self.body, _difference(node, new), plant)


def _difference(before: ast.AST, after: ast.AST, context: int = 40) -> str:
    """First lines of both as Python would write them, cut to where they differ."""
    was, now = (ast.unparse(node).lstrip("\n").split("\n")[0] for node in (before, after))
    apart = (place for place, pair in enumerate(zip(was, now, strict=False)) if pair[0] != pair[1])
    start = max(0, next(apart, 0) - context)
    return f"{was[start:][: 2 * context]}  ->  {now[start:][: 2 * context]}"


def _for_readers(node: ast.AST) -> bool:
    """Whether what is inside ends in a text for people."""
    if isinstance(node, ast.Call):
        return ast.unparse(node.func).split(".")[-1] in QUIET
    if isinstance(node, ast.keyword):  # zip(strict=True) is there for mistakes of ours
        return node.arg == "strict"
    return isinstance(node, (ast.Raise, ast.JoinedStr))


def _replacements(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.expr):
        yield from _of_operators(node)
        yield from _of_calls(node)
        if isinstance(node, ast.Constant):
            yield from (("constant", ast.Constant(value)) for value in _near(node.value))
        if isinstance(node, ast.IfExp):
            yield "condition", ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.stmt):
        yield from _of_statements(node)


def _of_operators(node: ast.expr) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            if other := COMPARES.get(type(operator)):
                ops = [*node.ops[:place], other(), *node.ops[place + 1 :]]
                yield "compare", ast.Compare(node.left, ops, node.comparators)
    elif isinstance(node, ast.BinOp):
        if (operation := ARITHMETIC.get(type(node.op))) and not _a_text(node.left):
            yield "arithmetic", ast.BinOp(node.left, operation(), node.right)
    elif isinstance(node, ast.BoolOp):
        other_op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "boolean", ast.BoolOp(other_op, node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield "unary", node.operand


def _of_calls(node: ast.expr) -> Iterator[tuple[str, ast.AST]]:
    if not isinstance(node, ast.Call) or _for_readers(node):
        return
    name = ast.unparse(node.func)
    if len(node.args) > 1 and not any(isinstance(arg, ast.Starred) for arg in node.args[:2]):
        first, second, *rest = node.args
        if ast.dump(first) != ast.dump(second) and name not in ("min", "max"):
            yield "swap", ast.Call(node.func, [second, first, *rest], node.keywords)
    # a config's keys (dict(type=...)) are its contents and not options
    if name != "dict":
        for place, keyword in enumerate(node.keywords):
            if keyword.arg is not None and not _for_readers(keyword):
                others = [*node.keywords[:place], *node.keywords[place + 1 :]]
                yield "keyword", ast.Call(node.func, node.args, others)


def _of_statements(node: ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.Return) and node.value is not None:
        if not (isinstance(node.value, ast.Constant) and node.value.value is None):
            yield "return", ast.Return(ast.Constant(None))
    elif isinstance(node, (ast.If, ast.While)):
        negated = ast.UnaryOp(ast.Not(), node.test)
        yield "condition", type(node)(negated, node.body, node.orelse)
    elif isinstance(node, ast.Expr):
        # a text is a docstring, and what is only logged is not looked at
        if not isinstance(node.value, ast.Constant) and not _for_readers(node.value):
            yield "drop", ast.Pass()
    elif isinstance(node, ast.Assign):
        if not isinstance(node.targets[0], ast.Name):
            yield "drop", ast.Pass()
    elif isinstance(node, (ast.AugAssign, ast.Raise, ast.Continue, ast.Break)):
        yield "drop", ast.Pass()


def _near(value: object) -> list[object]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    if isinstance(value, float):
        return [value + 1, value * 2 if value else -1.0]
    return []


def _a_text(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return _a_text(node.left)
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
