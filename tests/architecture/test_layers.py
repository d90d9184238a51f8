"""The shape of the source: imports point down, the core is pure."""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "proa"
LAYERS = [
    {"errors"},
    {"core"},
    {"ports", "bell"},
    {"declare"},
    {"app"},
    {"engines"},
    {"observe"},
    {"runtime"},
    {"edge", "control", "chaos"},
    {"nodes"},
    {"local", "simulation"},
    {"operate"},
    {"cli"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
BANNED_IN_CORE = {
    "asyncio",
    "datetime",
    "logging",
    "os",
    "random",
    "secrets",
    "socket",
    "sqlite3",
    "subprocess",
    "threading",
    "time",
    "uuid",
}
CONFORMANCE = sorted((Path(__file__).parents[1] / "engines").glob("conformance*.py"))
MODULES = [path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py"]


def named(path):
    return str(path.relative_to(SOURCE))


def layer_of(module):
    return module.split(".")[1] if module.startswith("proa.") else None


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module, node.lineno


def in_type_checking(tree):
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for line in range(node.lineno, node.end_lineno + 1)
    }


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_imports_point_down(path):
    own = path.relative_to(SOURCE).with_suffix("").parts[0]
    tree = ast.parse(path.read_text())
    for module, line in imports(tree):
        layer = layer_of(module)
        if layer is None or layer == own:
            continue
        assert RANK[layer] < RANK[own], f"{named(path)}:{line} imports {module}"


@pytest.mark.parametrize("path", [path for path in MODULES if path.relative_to(SOURCE).parts[0] == "core"], ids=named)
def test_the_core_is_pure(path):
    tree = ast.parse(path.read_text())
    awaits = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
    assert awaits == []
    banned = [module for module, _ in imports(tree) if module.split(".")[0] in BANNED_IN_CORE]
    assert banned == []


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_every_module_opens_with_its_idea(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("package", [SOURCE, SOURCE / "operate"], ids=named)
def test_the_public_names_need_no_extra(package):
    """`import proa` works with msgspec alone, so that a function starts quickly; so do programs of operators."""
    heavy = {"uvicorn", "aiohttp", "structlog", "rich", "cyclopts", "pydantic", "cryptography", "psycopg"}
    tree = ast.parse((package / "__init__.py").read_text())
    pending, seen = [module for module, _ in imports(tree)], set()
    while pending:
        module = pending.pop()
        if not module.startswith("proa") or module in seen:
            assert module.split(".")[0] not in heavy
            continue
        seen.add(module)
        path = SOURCE.joinpath(*module.split(".")[1:])
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if path.exists():
            top = ast.parse(path.read_text()).body
            pending += [name for name, _ in imports(ast.Module(top, []))]


@pytest.mark.parametrize("path", CONFORMANCE, ids=lambda path: path.name)
def test_the_conformance_suite_knows_no_engine(path):
    """It is what every engine is held to, so it says nothing that only one of them can do."""
    engines = re.compile(r"sqlite|postgres|proa\.engines\.(?!global_rows)", re.IGNORECASE)
    assert [line for line in path.read_text().splitlines() if engines.search(line)] == []
