"""The counts that the architecture promises (`docs/architecture.md`): run `make house`.

Each count is read from the source itself, nothing of it is run. The limit stands beside it, and the
exit code is 1 where one is exceeded.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

import grimp

ROOTS = ("app", "screens", "collectors")
REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Count:
    """One number of the house, and how large it may be."""

    name: str
    limit: int
    measure: Callable[[], int]


@cache
def sources() -> Mapping[Path, str]:
    """Every Python file of the product with its text."""
    files = chain.from_iterable((REPOSITORY / root).rglob("*.py") for root in ROOTS)
    return {file: file.read_text(encoding="utf-8") for file in sorted(files)}


@cache
def trees() -> Mapping[Path, ast.Module]:
    """Every Python file of the product, parsed."""
    return {file: ast.parse(text) for file, text in sources().items()}


def outside(*folders: str) -> Iterator[Path]:
    """The product's files that are in none of these folders, and are none of these files."""
    parts = tuple(REPOSITORY / folder for folder in folders)
    return (f for f in sources() if not any(f == p or p in f.parents for p in parts))


def rooms() -> int:
    """What `app/` holds: packages and modules, its own `__init__.py` aside."""
    entries = (REPOSITORY / "app").iterdir()
    return sum(e.name not in ("__init__.py", "__pycache__") for e in entries)


def layers() -> int:
    """Layers of the import contract in `pyproject.toml`."""
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'type = "layers"\nlayers = \[\n(.*?)\n\]', text, re.DOTALL)
    return len(found[1].splitlines()) if found else 0


def longest_chain() -> int:
    """Modules on the longest way of imports, those at the first use and for types included."""
    graph = grimp.build_graph(*ROOTS, include_external_packages=False)
    known: dict[str, int] = {}

    def depth(module: str) -> int:
        if module not in known:
            known[module] = 0
            below = graph.find_modules_directly_imported_by(module)
            known[module] = 1 + max((depth(each) for each in sorted(below)), default=0)
        return known[module]

    return max(map(depth, sorted(graph.modules)))


def files() -> int:
    """Python files of the product."""
    return len(sources())


def lines() -> int:
    """Lines of those."""
    return sum(text.count("\n") for text in sources().values())


def twice_named() -> int:
    """Names of public classes that two files outside the lab define."""
    named = Counter(
        node.name
        for file in outside("app/lab")
        for node in trees()[file].body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    return sum(count > 1 for count in named.values())


def told() -> int:
    """Identifiers with `told` in them."""
    names = re.compile(r"\b\w*told\w*\b", re.IGNORECASE)
    return sum(
        bool(names.fullmatch(name)) for tree in trees().values() for name in _identifiers(tree)
    )


def _identifiers(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name):
                yield name


@cache
def kinds() -> frozenset[str]:
    """The names of kinds that are no word of anything else, as `pods` is that of a screen.

    That no other text is taken for a kind, their type sees to (`app.state.kinds.Kind`).
    """
    text = (REPOSITORY / "app/state/kinds.py").read_text(encoding="utf-8")
    return frozenset(re.findall(r'_kind\(\s*"(\w+_\w+)"', text))


def kind_strings() -> int:
    """Names of kinds as text, outside their registry, the collectors and the lab."""
    return sum(
        isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in kinds()
        for file in outside("app/state/kinds.py", "collectors", "app/lab")
        for node in ast.walk(trees()[file])
    )


def cells_read_back() -> int:
    """Places outside the widgets that read what a table shows."""
    return sum(sources()[file].count("row.cells[") for file in outside("screens/widgets"))


def inner_imports() -> int:
    """Imports inside functions."""
    return sum(
        isinstance(inner, ast.Import | ast.ImportFrom)
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in node.body
        for inner in ast.walk(statement)
    )


def and_more() -> int:
    """Places that write "and N more"."""
    return sum(bool(re.search(r"\} more\b", text)) for text in sources().values())


COUNTS = (
    Count("entries in app/", 11, rooms),
    Count("contract layers", 9, layers),
    Count("longest import chain", 24, longest_chain),
    Count("product files", 240, files),
    Count("product lines", 57_000, lines),
    Count("public class names defined twice outside the lab", 5, twice_named),
    Count("identifiers with `told`", 0, told),
    Count("kind strings outside kinds, collectors and the lab", 20, kind_strings),
    Count("`row.cells[` outside widgets", 0, cells_read_back),
    Count("inner imports", 30, inner_imports),
    Count('files that write "and N more"', 1, and_more),
)


def main() -> int:
    """Print each count beside its limit; 1 where one is exceeded."""
    exceeded = 0
    for count in COUNTS:
        value = count.measure()
        exceeded += value > count.limit
        sign = "over" if value > count.limit else "ok"
        print(f"{sign:4}  {value:>6} of {count.limit:<6}  {count.name}")  # noqa: T201
    return int(exceeded > 0)


if __name__ == "__main__":
    sys.exit(main())
