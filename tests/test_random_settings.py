"""A few of the random settings and inputs of ``benchmarks/random_settings.py``."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "random_settings.py"


def load_script():
    spec = importlib.util.spec_from_file_location("random_settings", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


sys.path.append(str(SCRIPT.parent))
random_settings = load_script()
random_cases = sys.modules["random_cases"]


@pytest.mark.parametrize("seed", range(60))
def test_ends_in_a_finite_result_or_a_documented_error(seed):
    random_settings.run_case(random_settings.draw_case(seed))


def test_cases_are_reproducible():
    for seed in range(20):
        one, same = (random_settings.draw_case(seed) for _ in "ab")
        assert type(one.estimator) is type(same.estimator)
        assert one.faults == same.faults
        assert str(one.more) == str(same.more)


def test_every_parameter_is_drawn():
    drawn = random_cases.VALID.keys() | random_cases.INVALID.keys()
    estimator = random_cases.DenoisingAutoencoderTransformer()
    assert drawn == estimator.get_params().keys()
    invalid = random_cases.INVALID.keys() | random_cases.INVALID_CORRUPTION.keys()
    assert invalid == estimator.get_params().keys()


def test_problems_are_seen(monkeypatch):
    """The check itself: a result that is not finite, a swallowed error, a changed input."""
    base = random_cases.AutoencoderTransformer

    class NaN(base):
        def transform(self, X):
            return super().transform(X) * float("nan")

    class Wrong(base):
        def fit(self, X, y=None):
            raise ValueError("no")

    rows = random_settings.np.random.default_rng(0).normal(size=(20, 3))
    params = {"max_iter": 0, "hidden_layer_sizes": (4,), "device": "cpu"}
    for cls, faults, message in [
        (NaN, [], "not finite"),
        (Wrong, [], "nothing is wrong"),
        (Wrong, ["one row"], "undocumented"),
        (base, ["one row"], "no error"),
    ]:
        case = random_cases.Case(cls(**params), rows, rows, None, faults)
        with pytest.raises(random_settings.Problem, match=message):
            random_settings.run_case(case)


def test_command_counts_the_ends():
    run = subprocess.run(
        [sys.executable, SCRIPT, "--cases", "5", "--seed", "100"],
        capture_output=True, text=True, check=False, cwd=SCRIPT.parents[1],
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[1])},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    title, *ends = run.stdout.splitlines()
    assert title.startswith("5 cases in")
    assert sum(int(line.split()[0]) for line in ends) == 5
    assert "PROBLEM" not in run.stdout


def test_command_fails_at_a_problem_and_names_its_case(monkeypatch, capsys):
    class Broken(random_cases.AutoencoderTransformer):
        def transform(self, X):
            return super().transform(X) * float("nan")

    def draw_case(seed):
        if seed == 102:
            raise OSError("no rows")
        cls = Broken if seed == 101 else random_cases.AutoencoderTransformer
        rows = random_settings.np.random.default_rng(0).normal(size=(20, 3))
        return random_cases.Case(cls(1, max_iter=0, device="cpu"), rows, rows, None, [])

    monkeypatch.setattr(random_settings, "draw_case", draw_case)
    # It sets the threads of its own process, which here is that of all tests.
    monkeypatch.setattr(random_settings.torch, "set_num_threads", lambda n_threads: None)
    monkeypatch.setattr(sys, "argv", ["random_settings.py", "--cases", "4", "--seed", "100"])
    assert random_settings.main() == 1
    out = capsys.readouterr().out
    assert re.findall(r"case (\d+): (.*)", out) == [
        ("101", "transform: 20 values are not finite"),
        ("102", "no rows"),
    ]
    assert "4 cases in" in out
    assert re.search(r"^ +1  PROBLEM$", out, re.MULTILINE)
    assert re.search(r"^ +1  PROBLEM \(OSError\)$", out, re.MULTILINE)
