"""The structure of the code: imports point from upper layers to lower ones, and functions stay short."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("web", "dbapi", "kit", "llama", "dev", "tools")
MAX_FUNCTION_LINES = 45

# Lowest first. A module imports from its own layer and from lower ones.
LAYERS = {
    "web": [
        {"web.appearance", "web.contract", "web.errors", "web.settings"},
        {"web.clients", "web.rendering", "web.middleware", "web.addresses"} | {"web.concurrency"},
        {"web.sessions", "web.live"},
        {"web.generation"},
        {"web.state"},
        {"web.pages"},
        {"web.routes"},
        {"web.app", "web.diagnostics"},
        {"web.__main__"},
    ],
    "dbapi": [
        {"dbapi.errors", "dbapi.settings", "dbapi.tables", "dbapi.roles", "dbapi.migrations", "dbapi.titles"}
        | {"dbapi.search_query", "dbapi.snippets"},
        {"dbapi.schemas", "dbapi.sql"},
        {"dbapi.listener", "dbapi.reaper", "dbapi.pruner", "dbapi.indexer", "dbapi.login"},
        {"dbapi.state", "dbapi.auth"},
        {"dbapi.endpoint"},
        {"dbapi.chats", "dbapi.messages", "dbapi.turns", "dbapi.generations", "dbapi.sessions", "dbapi.devices"}
        | {"dbapi.presets", "dbapi.search", "dbapi.events", "dbapi.readiness", "dbapi.chat_list"},
        {"dbapi.openapi", "dbapi.routes"},
        {"dbapi.app", "dbapi.diagnostics"},
        {"dbapi.__main__"},
    ],
}
# A package imports itself and these.
ALLOWED = {
    "kit": set[str](),
    "web": {"kit"},
    "dbapi": {"kit"},
    "llama": {"kit"},
    "dev": {"kit", "dbapi", "llama"},  # database roles, and the model's file
    "tools": {"kit", "dev"},
}


def files(package: str) -> Iterator[Path]:
    return (path for path in (ROOT / package).rglob("*.py") if path.name != "__init__.py")


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


MODULES = {module(path): path for package in PACKAGES for path in files(package)}


def imports(path: Path) -> set[str]:
    """The modules of this project that a module imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= (members & MODULES.keys()) or {node.module}
    return {name for name in names if name.partition(".")[0] in PACKAGES}


def test_there_is_no_import_cycle() -> None:
    graph = {name: {each for each in imports(path) if each in MODULES} - {name} for name, path in MODULES.items()}

    assert any(graph.values())
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("package", LAYERS)
def test_no_module_imports_from_a_layer_above(package: str) -> None:
    def layer(name: str) -> int:
        found = [
            number
            for number, layer in enumerate(LAYERS[package])
            for each in layer
            if f"{name}.".startswith(f"{each}.")
        ]
        assert found, f"{name} is in no layer: add it to LAYERS"
        return found[0]

    upward = {
        f"{name} imports {imported}"
        for name, path in MODULES.items()
        if name.startswith(f"{package}.")
        for imported in imports(path)
        if imported.startswith(f"{package}.") and layer(imported) > layer(name)
    }

    assert upward == set()


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    imported = {each.partition(".")[0] for path in files(package) for each in imports(path)}

    assert imported - {package} <= ALLOWED[package]


def test_no_function_is_longer_than_a_screen() -> None:
    functions = [
        (f"{name}.{node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    assert len(functions) > 100
    assert [each for each in functions if each[1] > MAX_FUNCTION_LINES] == []
