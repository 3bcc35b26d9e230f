"""Which small faults in the code that promises most its own tests let pass.

Each mutant is one change by an operator of mutmut, and is tested in a fork of one process that has
imported torch: a second or two each, and no file is changed. mutmut itself leaves out constants
and functions with decorators, among them those that measure errors and solve the decoder.

    python benchmarks/mutation.py [place ...]
"""

import argparse
import importlib
import importlib.abc
import importlib.util
import os
import random
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # a fork has no threads of the process that it left
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # nor its devices

import hypothesis
import libcst as cst
import pytest
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
# The files of each place, and the tests that have to find what is wrong in them.
PLACES = {
    "choice": (
        ["_fitting/choice.py", "_fitting/errors.py"],
        ["fitting/test_choice.py"],
    ),
    "stopping": (
        ["_fitting/training/stopping.py"],
        ["fitting/training/test_stopping.py"],
    ),
    "refined": (["modules/refined.py"], ["modules/test_refined.py"]),
    "closed_form": (
        ["_fitting/closed_form.py"],
        ["fitting/test_random_features.py", "fitting/test_closed_form.py"],
    ),
    "persistence": (
        [
            f"_persistence/{name}.py"
            for name in ("plain", "modules", "checks", "parameters", "state")
        ],
        ["persistence", "test_crafted_files.py", "test_skops.py"],
    ),
}
# What a fork need not import again; none of it is ours.
IMPORTED = ("scipy.stats", "skops.io", "skorch", "sklearn.linear_model", "torch._dynamo")
SECONDS, BYTES = 60, 2**34


@dataclass
class Mutant:
    """One change of one file."""

    path: str
    line: int
    source: str
    change: str


def mutants(path: str) -> Iterator[Mutant]:
    """Make every mutant of a file of the package."""
    text = (ROOT / "sklearn_ae" / path).read_text(encoding="utf-8")
    wrapper = MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
    lines = wrapper.resolve(PositionProvider)
    for node in _code(wrapper.module):
        for kind, operator in mutation_operators:
            if not isinstance(node, kind):
                continue
            found = list(operator(node))
            # Other cases of a string are no other fault than another string.
            for changed in found[:1] if isinstance(node, cst.BaseString) else found:
                mutated = wrapper.module.deep_replace(node, changed)
                old, new = (
                    " ".join(wrapper.module.code_for_node(n).split()) for n in (node, changed)
                )
                yield Mutant(path, lines[node].start.line, mutated.code, f"{old}  ->  {new}")


def _code(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Go through what is run: no annotations, decorators, imports, docstrings or messages."""
    skipped = (cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom, cst.Raise, cst.Expr)
    if isinstance(node, skipped) and not (
        isinstance(node, cst.Expr) and isinstance(node.value, cst.Call)
    ):
        return
    yield node
    for child in node.children:
        yield from _code(child)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Imports one module from a mutant's source, and leaves all others alone."""

    def __init__(self, mutant: Mutant):
        self.mutant = mutant
        self.name = f"sklearn_ae.{mutant.path.removesuffix('.py').replace('/', '.')}"

    def find_spec(self, name, path, target=None):
        return importlib.util.spec_from_loader(name, self) if name == self.name else None

    def get_filename(self, name):
        return str(ROOT / "sklearn_ae" / self.mutant.path)

    def get_data(self, path):
        return self.mutant.source.encode()


def passes(tests: list[str], mutant: Mutant | None = None, *, quiet: bool = True) -> bool:
    """Tell whether the tests pass, in a fork."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
            if quiet:
                for stream in (1, 2):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
            if mutant is not None:
                sys.meta_path.insert(0, Finder(mutant))
            options = ["-x", "-q", "--tb=short", "-p", "no:cacheprovider"]
            # hypothesis, which has a plugin of pytest, is here already.
            options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
            status = pytest.main([*options, *(str(ROOT / "tests" / test) for test in tests)])
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


def main() -> None:
    """Test the mutants of some places, and list those that pass."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("places", nargs="*", metavar="place", help=f"of {', '.join(PLACES)}")
    parser.add_argument("--sample", type=int, help="so many mutants of each place, drawn by seed 0")
    parser.add_argument("--lines", help="as 20-45: those of these lines alone")
    args = parser.parse_args()
    os.chdir(ROOT)
    for name in IMPORTED:
        importlib.import_module(name)
    hypothesis.settings.register_profile("mutation", database=None, derandomize=True)
    hypothesis.settings.load_profile("mutation")
    for place in args.places or PLACES:
        paths, tests = PLACES[place]
        found = [mutant for path in paths for mutant in mutants(path)]
        if args.lines:
            first, last = map(int, args.lines.split("-"))
            found = [mutant for mutant in found if first <= mutant.line <= last]
        if args.sample and args.sample < len(found):
            found = random.Random(0).sample(found, args.sample)
        if not passes(tests, quiet=False):
            sys.exit(f"{place}: the tests fail without a mutant")
        start, survivors = time.perf_counter(), 0
        for mutant in found:
            if passes(tests, mutant):
                survivors += 1
                print(f"  {mutant.path}:{mutant.line}: {mutant.change}", flush=True)
        seconds = time.perf_counter() - start
        killed = len(found) - survivors
        print(f"{place}: {killed} of {len(found)} killed, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
