"""Which module imports which, read from the source, and the rules that this must keep.

Layers: types, errors, device, lock < text, tuning < the bricks < pipelines < cli, server. An import
goes to the same layer or a lower one, and a brick never imports another brick.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

VALUES = {"types", "errors", "device", "lock"}
TEXT = {"text", "tuning"}
BRICKS = {"word2vec", "encoder", "generation", "index", "store"}
SHELLS = {"cli", "server", "__main__"}
PIPELINES_LAYER = 3

UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve"}
UNSAFE_MODULES |= {"marshal", "jsonpickle"}
UNSAFE_NAMES = {"eval", "exec", "torch.load"}
OFF_UNLESS_FALSE = {"trust_remote_code", "allow_pickle"}


@dataclass(frozen=True, kw_only=True)
class Import:
    line: int
    target: str
    lazy: bool  # in a function or under `if TYPE_CHECKING:`


def layer_violations(package: Path) -> list[str]:
    """Every import in a package's folder that breaks the rules, as `file:line: what`."""
    modules = _modules(package)
    found = []
    for module, path in modules.items():
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        for each in _imports(tree, module, path.name == "__init__.py", modules, package.name):
            reason = _broken_rule(module, each, package.name)
            if reason:
                where = path.relative_to(package.parent).as_posix()
                found.append(f"{where}:{each.line}: {module} imports {each.target}: {reason}")
    return found


def unsafe_code(package: Path) -> list[str]:
    """Every mention of something that runs code out of data, as `file:line: what`."""
    found = []
    for path in _modules(package).values():
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        where = path.relative_to(package.parent).as_posix()
        found += [f"{where}:{line}: {what}" for line, what in _unsafe(tree)]
    return found


def _modules(package: Path) -> dict[str, Path]:
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def _layer(module: str) -> int:
    _, _, inside = module.partition(".")
    top = inside.split(".")[0]
    for layer, names in enumerate((VALUES, TEXT, BRICKS)):
        if top in names:
            return layer
    return PIPELINES_LAYER + 1 if top in SHELLS else PIPELINES_LAYER


def _broken_rule(module: str, each: Import, package: str) -> str | None:
    if module == package:  # the public names: imported when they are used, not before
        return None if each.lazy else "the package itself must import its modules lazily"
    own, target = _layer(module), _layer(each.target)
    if target > own:
        return f"upward, from layer {own} to layer {target}"
    brick = module.split(".")[1]
    if own == target and brick in BRICKS and brick != each.target.split(".")[1]:
        return "one brick imports another"
    return None


def _imports(
    tree: ast.Module, module: str, is_package: bool, modules: dict[str, Path], package: str
) -> Iterator[Import]:
    """The imports of the package's own modules, wherever in the file they stand."""
    for node, lazy in _walk(tree, lazy=False):
        for target in _targets(node, module, is_package, modules):
            if target == package or target.startswith(package + "."):
                yield Import(line=node.lineno, target=target, lazy=lazy)


def _walk(node: ast.AST, *, lazy: bool) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes, each with whether importing the module leaves it alone."""
    yield node, lazy
    for field, value in ast.iter_fields(node):
        inner = lazy or (field == "body" and _is_lazy_block(node))
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _walk(child, lazy=inner)


def _is_lazy_block(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return _dotted(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def _targets(
    node: ast.AST, module: str, is_package: bool, modules: dict[str, Path]
) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = module.split(".") if is_package else module.split(".")[:-1]
            parents = parents[: len(parents) - node.level + 1]
            base = ".".join([*parents, *([node.module] if node.module else [])])
        for alias in node.names:
            inside = f"{base}.{alias.name}"
            if inside in modules:
                yield inside
            elif alias.name != "__version__":
                yield base
    elif isinstance(node, ast.Call) and _dotted(node.func).split(".")[-1] in (
        "import_module",
        "__import__",
    ):
        name = node.args[0] if node.args else None
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield name.value


def _unsafe(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        for name in _mentioned(node):
            if name.split(".")[0] in UNSAFE_MODULES or name in UNSAFE_NAMES:
                yield getattr(node, "lineno", 0), name
        for name, value in _named_values(node):
            if name in OFF_UNLESS_FALSE and not _is_false(value):
                yield value.lineno, f"{name} = {ast.unparse(value)}"


def _mentioned(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return [_dotted(node)]


def _named_values(node: ast.AST) -> list[tuple[object, ast.expr]]:
    if isinstance(node, ast.keyword):
        return [(node.arg, node.value)]
    if isinstance(node, ast.Dict):
        keys = [getattr(key, "value", None) for key in node.keys]
        return list(zip(keys, node.values, strict=True))
    return []


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def _dotted(node: ast.AST) -> str:
    """`a.b.c` of an expression that is such a name, else an empty string."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
