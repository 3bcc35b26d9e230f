import copy
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from torch.optim.optimizer import register_optimizer_step_pre_hook

import sklearn_ae
from sklearn_ae import __main__ as command
from sklearn_ae.comparison import comparing, running

ROOT = Path(__file__).resolve().parents[1]


class Network(PCA):
    """Stands for both autoencoders: quick, and better than PCA by one direction."""

    def __init__(self, n_components=None, *, random_state=None, device="cpu", max_iter=7):
        super().__init__(n_components, random_state=random_state)
        self.device = device
        self.max_iter = max_iter

    def fit(self, X, y=None):
        self.n_components = min(self.n_components + 1, X.shape[1])
        return super().fit(X)

    def truncated(self, n_components):
        first = copy.copy(self)
        first.components_ = self.components_[: n_components + 1]
        return first


def use(monkeypatch, network):
    methods = {"PCA": PCA, "autoencoder": network, "denoising autoencoder": network}
    monkeypatch.setattr(comparing, "METHODS", methods)
    monkeypatch.setattr(running, "AutoencoderTransformer", Network)


@pytest.fixture
def quick(monkeypatch):
    use(monkeypatch, Network)


@pytest.fixture
def no_work(monkeypatch):
    """Fail where the long work starts."""

    def compare(*args, **params):
        raise AssertionError("an error should have come before the long work")

    monkeypatch.setattr(running, "compare", compare)


@pytest.fixture
def iris_csv(tmp_path):
    frame = load_iris(as_frame=True).frame
    frame["colour"] = np.where(np.arange(150) % 3, "red", "blue")
    frame["big"] = frame["target"] > 1
    path = tmp_path / "iris.csv"
    frame.to_csv(path, index=False)
    return str(path)


def run(capsys, *argv):
    """Return status, stdout and stderr."""
    try:
        status = command.main(argv)
    except SystemExit as exit_:
        status = exit_.code
    return status, *capsys.readouterr()


def table_rows(out):
    """Return the lines of the table below its titles."""
    lines = out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("components"))
    return lines[start + 1 : lines.index("", start)]


def test_digits_are_compared_without_arguments(capsys, quick):
    status, out, err = run(capsys)
    assert (status, err) == (0, "")
    assert out.startswith("scikit-learn's digits: 1,797 rows, 64 columns\n")
    rows = table_rows(out)
    assert len(rows) == 9
    assert [row.split()[0] for row in rows[::3]] == ["2", "8", "32"]
    assert len({len(line) for line in [*rows, out.splitlines()[3]]}) == 1
    verdicts = [line for line in out.splitlines() if " of held-out variance," in line]
    assert [line.split(":")[0] for line in verdicts] == ["  yes"] * 3
    assert max(map(len, out.splitlines())) <= 100


def test_the_digits_have_a_target_too(capsys, quick):
    status, out, err = run(capsys, "--target", "digit", "--components", "2")
    assert (status, err) == (0, "")
    assert "accuracy: LogisticRegression on the codes, 'digit' (10 classes;" in out
    assert "Is an autoencoder better than PCA here, by accuracy on the codes?" in out.splitlines()


def test_without_target_there_is_no_score(capsys, quick, iris_csv):
    status, out, _ = run(capsys, iris_csv, "--components", "3", "1")
    assert status == 0
    assert "accuracy" not in out
    assert "R2" not in out
    assert [row.split()[0] for row in table_rows(out)[::3]] == ["1", "3"]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("big", "accuracy: LogisticRegression on the codes, 'big' (2 classes; always"),
        ("petal length (cm)", "R2: Ridge on the codes, 'petal length (cm)' (always"),
    ],
)
def test_the_score_is_named(capsys, quick, iris_csv, target, said):
    status, out, _ = run(capsys, iris_csv, "--target", target)
    assert status == 0
    assert any(line.startswith(said) for line in out.splitlines())


def test_sizes_left_out_by_default_are_noted(capsys, quick, iris_csv):
    _, out, err = run(capsys, iris_csv)
    assert len(table_rows(out)) == 6
    assert err == "sklearn-ae: note: the table is too small for 32 components\n"


def test_options_reach_the_networks(monkeypatch, capsys, iris_csv):
    fitted = []

    class Recorded(Network):
        def fit(self, X, y=None):
            fitted.append((self.device, self.max_iter, self.random_state))
            return super().fit(X)

    use(monkeypatch, Recorded)
    run(capsys, iris_csv, "--device", "cpu", "--max-iter", "0", "--random-state", "3")
    run(capsys, iris_csv)
    assert fitted == [("cpu", 0, 3)] * 2 + [("auto", 7, 0)] * 2


def test_no_scaling_keeps_units(capsys, quick, iris_csv):
    scaled, raw = (run(capsys, iris_csv, *option)[1] for option in ([], ["--no-scaling"]))
    assert "columns standardised" in scaled
    assert "columns centred, not scaled" in raw
    assert table_rows(scaled)[0].split()[2] != table_rows(raw)[0].split()[2]


def test_the_saved_pipeline_takes_the_table_as_it_was(capsys, quick, iris_csv, tmp_path):
    import pandas as pd

    path = tmp_path / "best.joblib"
    status, out, _ = run(capsys, iris_csv, "--components", "2", "3", "--save", str(path))
    assert status == 0
    assert "autoencoder with 3 components" in out.splitlines()[-1]
    pipeline = joblib.load(path)
    assert isinstance(pipeline[-1], Network)
    codes = pipeline.transform(pd.read_csv(iris_csv))
    assert codes.shape[0] == 150
    assert np.isfinite(codes).all()


@pytest.mark.parametrize("target", [[], ["--target", "target"]])
def test_pca_is_saved_where_no_network_is_better(monkeypatch, capsys, iris_csv, tmp_path, target):
    class Tied(Network):
        fit = PCA.fit

    # It explains more, but one direction more does not predict better.
    use(monkeypatch, Network if target else Tied)
    path = tmp_path / "best.joblib"
    _, out, _ = run(capsys, iris_csv, *target, "--components", "2", "--save", str(path))
    assert "PCA with 2 components" in out.splitlines()[-1]
    assert type(joblib.load(path)[-1]) is PCA


@pytest.mark.parametrize("target", [[], ["--target", "target"]])
@pytest.mark.parametrize("suffix", [".png", ".svg", ".PDF"])
def test_the_figure_is_drawn(capsys, quick, iris_csv, tmp_path, target, suffix):
    path = tmp_path / f"comparison{suffix}"
    status, out, _ = run(capsys, iris_csv, *target, "--components", "1", "3", "--figure", str(path))
    assert status == 0
    assert out.splitlines()[-1] == f"drawn: {path}"
    assert path.stat().st_size > 1000


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["none.csv"], "none.csv does not exist"),
        (["--target", "x"], "give its path first"),
        (["IRIS", "--target", "Colour"], "did you mean 'colour'?"),
        (["IRIS", "--components", "2", "99"], "--components 99 is too large"),
        (["--components", "0"], "argument --components: 0 must be 1 or more"),
        (["--components", "two"], "argument --components: invalid whole number value: 'two'"),
        (["--max-iter", "-1"], "-1 must be 0 or more"),
        (["--random-state", "4294967296"], "must be"),
        (["--test-size", "1.0"], "argument --test-size: 1.0 must lie between 0 and 1"),
        (["--device", "abacus"], "--device abacus does not work here"),
        (["--device", "meta"], "--device meta does not work here"),
        (["--save", "none/best.joblib"], "cannot write --save none/best.joblib: No such file"),
        (["--save", "."], "--save . is a directory"),
        (["--figure", "none/figure.png"], "cannot write --figure none/figure.png"),
        (["--figure", "figure.doc"], "--figure figure.doc needs one of the suffixes"),
        (["--figure", "figure"], "--figure figure needs one of the suffixes"),
        (["--unknown"], "unrecognized arguments: --unknown"),
    ],
)
def test_errors_are_one_line_and_come_first(
    capsys, no_work, monkeypatch, tmp_path, iris_csv, argv, message
):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    status, out, err = run(capsys, *(iris_csv if arg == "IRIS" else arg for arg in argv))
    assert (status, out) == (2, "")
    assert err.startswith("sklearn-ae: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_missing_matplotlib_says_what_to_install(capsys, no_work, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backend_bases", None)
    status, _, err = run(capsys, "--figure", str(tmp_path / "figure.png"))
    assert status == 2
    assert "pip install 'sklearn_ae[plot]'" in err


def test_checking_an_output_leaves_what_is_there(capsys, quick, iris_csv, tmp_path):
    path = tmp_path / "old.joblib"
    path.write_bytes(b"old")
    status, _, _ = run(capsys, iris_csv, "--components", "99", "--save", str(path))
    assert status == 2
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(("terminal", "start"), [(False, ""), (True, "\n")])
def test_interrupt_is_said_on_a_line_of_its_own(monkeypatch, capsys, iris_csv, terminal, start):
    class Interrupted(Network):
        def fit(self, X, y=None):
            signal.raise_signal(signal.SIGINT)

    use(monkeypatch, Interrupted)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    status, _, err = run(capsys, iris_csv, "--components", "2")
    assert status == 130
    assert err.endswith(f"{start}sklearn-ae: interrupted\n")
    assert err.count("\n") == (2 if terminal else 1)


def test_interrupt_ends_the_run_even_within_training(capsys, iris_csv):
    """It is not taken for a wish to end this training early and go on with the next."""

    def interrupt_once(*args):
        hook.remove()
        signal.raise_signal(signal.SIGINT)

    hook = register_optimizer_step_pre_hook(interrupt_once)
    try:
        status, out, err = run(capsys, iris_csv, "--components", "2", "--max-iter", "1")
    finally:
        hook.remove()
    assert status == 130
    assert err == "sklearn-ae: interrupted\n"
    assert "components  method" not in out


def test_torch_gets_its_threads_back(capsys, quick, iris_csv):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(capsys, iris_csv, "--components", "2")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_progress_is_for_terminals_only(monkeypatch, capsys, quick, iris_csv):
    assert "\r" not in run(capsys, iris_csv, "--components", "2")[2]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    err = run(capsys, iris_csv, "--components", "2")[2]
    steps = re.findall(r"\[(\d)/3\] ([a-zA-Z ]+), 2 components", err)
    assert steps == list(zip("123", comparing.METHODS, strict=True))
    assert "\n" not in err
    assert err.endswith("\r\033[K")


@pytest.mark.filterwarnings("default")
def test_warnings_are_notes_after_the_progress(monkeypatch, capsys, iris_csv):
    class Diverging(Network):
        def fit(self, X, y=None):
            warnings.warn("training diverged", stacklevel=1)
            return super().fit(X)

    use(monkeypatch, Diverging)
    status, _, err = run(capsys, iris_csv, "--components", "2", "3")
    assert (status, err) == (0, "sklearn-ae: note: training diverged\n")


def test_help_and_version(capsys):
    status, out, _ = run(capsys, "--help")
    assert status == 0
    assert max(map(len, out.splitlines())) <= 100
    for option in ("--target", "--components", "--figure", "--save", "--random-state"):
        assert option in out
    assert run(capsys, "--version") == (0, f"sklearn-ae {sklearn_ae.__version__}\n", "")


def test_end_to_end_with_the_estimators(iris_csv, tmp_path):
    path = tmp_path / "best.joblib"
    argv = [iris_csv, "--target", "target", "--components", "2", "--max-iter", "2", "--save", path]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "sklearn_ae", *argv],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    explained = [float(row.split(" %")[0].split()[-1]) for row in table_rows(done.stdout)]
    assert len(explained) == 3
    assert all(70 < share <= 100 for share in explained)
    assert joblib.load(path)[-1].n_components == 2
