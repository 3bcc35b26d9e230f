"""The rules that keep the package small: layers, file sizes, light imports, docstrings."""

import ast
import functools
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "sklearn_ae"
MAX_LINES = 400

# From the top down: a module imports its own layer or a lower one. An entry also covers what is in
# the folder of that name. `leaves` also has the modules that only leaves import.
LAYERS = {
    "leaves": ["__main__", "comparison", "dask", "displays", "distributed", "onnx"],
    "public names": ["__init__"],
    "estimators": ["_autoencoder", "_denoising"],
    "estimators' base": ["_base"],
    "rows that come in pieces": ["_partial"],
    "fitted estimators": ["_fitted"],
    "codes of every size": ["_sizes"],
    "what a fit is told": ["_parameters", "_parts"],
    "a fit, and what it gives": ["_fitting", "_inference"],
    "pretraining": ["pretraining"],
    "rows": ["_rows"],
    "settings": [
        "_array_api",
        "_callbacks",
        "_device",
        "_memory",
        "_processes",
        "_sklearn",
        "_specs",
        "_tasks",
        "_warnings",
        "callbacks",
    ],
    "torch only": [
        "modules",
        "corruption",
        "losses",
        "_optimizers",
        "_persistence",
        "_version",
    ],
}
# The stages of a fit, in order: each knows nothing of those after it.
STAGES = [
    "parts", "rows", "start", "errors", "sizes", "network", "training", "closed_form", "choice",
    "ordered", "fit", "whitening", "saving", "steps", "lessons", "pieces", "partial", "__init__",
]  # fmt: skip
ORDER = list(LAYERS)
OPTIONAL = [
    "dask",
    "distributed",
    "matplotlib",
    "onnx",
    "onnxscript",
    "pandas",
    "polars",
    "pyarrow",
    "rich",
    "skl2onnx",
    "skops",
]

PATHS = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    """``sklearn_ae/modules/dense.py`` -> ``sklearn_ae.modules.dense``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def module_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


MODULES = {module_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in PATHS}


def imported_names(tree: ast.Module) -> set[str]:
    """Dotted names of all that a file imports, at any depth; relative imports are not allowed."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@functools.cache
def own_imports(module: str) -> set[str]:
    """Return the package's modules that a module imports."""
    found = set()
    for name in imported_names(MODULES[module]):
        if name.split(".")[0] == "sklearn_ae":
            found.add(name if name in MODULES else name.rpartition(".")[0])
    return found & MODULES.keys()


def named_layer(module: str) -> str | None:
    """Return the layer that names this module or its folder, if one does."""
    top = module.split(".")[1] if "." in module else "__init__"
    return next((layer for layer, names in LAYERS.items() if top in names), None)


@functools.cache
def find_layers() -> dict[str, str | None]:
    """Return each module's layer: the named ones, then those imported by leaves alone."""
    layers = {module: named_layer(module) for module in MODULES}
    importers = {
        module: [other for other in MODULES if module in own_imports(other)] for module in MODULES
    }
    changed = True
    while changed:
        changed = False
        for module, layer in layers.items():
            users = importers[module]
            if layer is None and users and all(layers[user] == "leaves" for user in users):
                layers[module] = "leaves"
                changed = True
    return layers


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    layers = find_layers()
    layer = layers[module]
    assert layer is not None, (
        f"{module} is in no known layer: it is not in LAYERS, and not imported by leaves alone. "
        "Move it, or give it a layer in tests/test_layout.py and CONTRIBUTING.md."
    )
    for target in own_imports(module):
        if layers[target] is not None:  # reported by the target's own test
            assert ORDER.index(layers[target]) >= ORDER.index(layer), (
                f"{module} ({layer}) imports {target} ({layers[target]}), which is above it"
            )


def stage(module: str) -> int | None:
    """Return the number of the stage that a module belongs to."""
    _, folder, *rest = [*module.split("."), ""][:3]
    return STAGES.index(rest[0] or "__init__") if folder == "_fitting" else None


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("sklearn_ae._fitting")])
def test_a_stage_knows_nothing_of_those_after_it(module):
    for target in own_imports(module):
        if stage(target) is not None:
            assert stage(target) <= stage(module), f"{module} imports {target}"


def test_imports_have_no_cycle():
    try:
        TopologicalSorter({module: own_imports(module) for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' <- '.join(error.args[1])}")


def test_the_comparison_serves_the_command_line_alone():
    inside = {module for module in MODULES if module.startswith("sklearn_ae.comparison")}
    importers = {module for module in MODULES if own_imports(module) & inside} - inside
    assert importers == {"sklearn_ae.__main__"}


@pytest.mark.parametrize("module", [m for m in MODULES if named_layer(m) == "torch only"])
def test_torch_only_layer_imports_neither_sklearn_nor_skorch(module):
    roots = {name.split(".")[0] for name in imported_names(MODULES[module])}
    assert not roots & {"sklearn", "skorch"}


def test_private_names_of_sklearn_are_imported_in_one_file():
    users = {}
    for module, tree in MODULES.items():
        private = {
            name
            for name in imported_names(tree)
            if name.split(".")[0] == "sklearn"
            and any(re.match("_(?!_)", part) for part in name.split("."))
        }
        if private:
            users[module] = private
    assert len(users) <= 1, f"private names of scikit-learn are imported in several files: {users}"


def test_importing_the_package_is_light():
    # scikit-learn imports pandas where it is installed, so looking at sys.modules afterwards would
    # blame the wrong one. None in sys.modules makes an import fail as if it were not installed.
    code = f"import sys; sys.modules |= dict.fromkeys({OPTIONAL}); import sklearn_ae"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert not run.stdout + run.stderr


@pytest.mark.parametrize("folder", ["sklearn_ae", "tests", "benchmarks"])
def test_files_are_short(folder):
    lengths = {
        module_id(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / folder).rglob("*.py")
    }
    too_long = {path: length for path, length in lengths.items() if length > MAX_LINES}
    assert not too_long, f"more than {MAX_LINES} lines: {too_long}"


@pytest.mark.parametrize("module", MODULES)
def test_public_names_are_documented(module):
    tree = MODULES[module]
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [
        node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")
    ]
    missing = [node.name for node in nodes if not ast.get_docstring(node)]
    if tree.body and not ast.get_docstring(tree):
        missing.insert(0, "the module itself")
    assert not missing, f"{module} has no docstring for {missing}"


@pytest.mark.parametrize("module", MODULES)
def test_public_methods_are_documented(module):
    """A method may inherit its documentation from the method that it overrides."""
    missing = []
    for name, cls in vars(importlib.import_module(module)).items():
        if inspect.isclass(cls) and cls.__module__ == module:
            missing += [
                f"{name}.{key}"
                for key, value in vars(cls).items()
                if not key.startswith("_")
                and (inspect.isroutine(value) or isinstance(value, property))
                and not inspect.getdoc(getattr(cls, key))
            ]
    assert not missing, f"{module} has no docstring for {missing}"


def test_lower_bounds_are_the_oldest_tested_versions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    pins = (ROOT / "constraints-oldest.txt").read_text(encoding="utf-8").splitlines()
    for requirement in project["dependencies"] + extras["cli"] + extras["plot"] + extras["test"]:
        if ">=" in requirement:
            assert requirement.replace(">=", "==") in pins
