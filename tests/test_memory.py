"""Trainings that are kept on disk: one for all sizes of a code."""

import importlib
import linecache
import multiprocessing
import signal
import sys

import joblib
import numpy as np
import pytest
from curves import curve, every_estimator, make
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback
from torch import nn

from sklearn_ae import AutoencoderTransformer, _base

X = curve()


class Interrupt(Callback):
    """What Ctrl-C sends."""

    def on_epoch_end(self, net, **kwargs):
        signal.raise_signal(signal.SIGINT)


@pytest.fixture
def trainings(monkeypatch):
    """Count the trainings of this process."""
    counted = []

    def fit_network(*args):
        counted.append(args)
        return original(*args)

    original = _base.fit_network
    monkeypatch.setattr(_base, "fit_network", fit_network)
    return counted


def fit(memory, n_components=1, X=X, cls=AutoencoderTransformer, **params):
    params = {"max_components": 4, "max_iter": 2} | params
    return make(cls, n_components=n_components, memory=memory, **params).fit(X)


@every_estimator
def test_one_training_for_all_sizes(tmp_path, trainings, cls):
    memory = str(tmp_path)
    found = [fit(memory, n, cls=cls) for n in (3, 1, 0.5, None)]
    assert len(trainings) == 1
    for n, model in zip((3, 1, 0.5, None), found, strict=True):
        expected = fit(None, n, cls=cls)
        assert model.n_components_ == expected.n_components_
        for name in ("transform", "reconstruct", "score_samples"):
            np.testing.assert_array_equal(getattr(model, name)(X), getattr(expected, name)(X))
        assert model.loss_curve_ == expected.loss_curve_
        assert model.get_params() == expected.get_params() | {"memory": memory}
        np.testing.assert_array_equal(
            model.truncated(2).transform(X), expected.truncated(2).transform(X)
        )


CHANGED = {
    "rows": {"X": X + 1e-12},
    "their order": {"X": X[::-1]},
    "their type": {"X": X.astype(np.float32)},
    "a parameter": {"learning_rate_init": 1e-3},
    "the size that is trained": {"max_components": 3},
    "the seed": {"random_state": 1},
    "the seed of a generator": {"random_state": np.random.RandomState(1)},
    "a module": {"decoder": lambda n, m: nn.Linear(n, m)},
}


@pytest.mark.parametrize("change", [key for key in CHANGED if key != "a module"])
def test_another_training_of_others(tmp_path, trainings, change):
    fit(str(tmp_path))
    fit(str(tmp_path), **CHANGED[change])
    assert len(trainings) == 2


def test_another_version_trains_anew(tmp_path, trainings, monkeypatch):
    fit(str(tmp_path))
    monkeypatch.setattr("sklearn_ae._memory.__version__", "another")
    fit(str(tmp_path))
    assert len(trainings) == 2


def test_modules_are_told_by_their_weights(tmp_path, trainings):
    def module(value):
        layer = nn.Linear(5, 4)
        for weight in layer.parameters():
            nn.init.constant_(weight, value)
        return layer

    for value in (0.1, 0.1, 0.2):
        fit(str(tmp_path), encoder=module(value))
    assert len(trainings) == 2


def test_what_makes_no_difference(tmp_path, trainings):
    fit(str(tmp_path))
    fit(joblib.Memory(str(tmp_path), verbose=0))
    fit(str(tmp_path), X=np.asfortranarray(X))
    fit(str(tmp_path), random_state=np.random.RandomState(0))
    assert len(trainings) == 1


def test_without_a_seed_any_training_will_do(tmp_path, trainings):
    codes = [fit(str(tmp_path), random_state=None).transform(X) for _ in range(2)]
    assert len(trainings) == 1
    np.testing.assert_array_equal(*codes)


def test_without_a_size_that_is_trained_each_is_kept_by_itself(tmp_path, trainings):
    for n in (1, 2, 1, 2):
        fit(str(tmp_path), n, max_components=None)
    assert len(trainings) == 2


def test_names_of_columns_are_those_of_the_rows(tmp_path):
    pandas = pytest.importorskip("pandas")
    for names in ("abcde", "vwxyz"):
        model = fit(str(tmp_path), X=pandas.DataFrame(X, columns=list(names)))
        assert model.feature_names_in_.tolist() == list(names)
    assert not hasattr(fit(str(tmp_path)), "feature_names_in_")


def test_what_else_an_estimator_has_is_its_own(tmp_path):
    pytest.importorskip("pandas")
    first = make(n_components=1, max_components=2, memory=str(tmp_path))
    first.of_the_user = "mine"
    first.set_output(transform="pandas").fit(X)
    second = fit(str(tmp_path), max_components=2, max_iter=5)
    assert isinstance(second.transform(X), np.ndarray)
    assert not hasattr(second, "of_the_user")
    assert first.of_the_user == "mine"


def test_parameters_stay_as_they_were_given(tmp_path):
    module = nn.Linear(5, 2).eval()
    model = fit(str(tmp_path), encoder=module, max_components=2)
    assert model.encoder is module
    assert not module.training
    # And so a training can go on.
    model.set_params(warm_start=True).fit(X)


def test_changed_code_trains_anew(tmp_path, trainings, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    code = "from torch import nn\ndef make(n, m):\n    return nn.Sequential({})\n"
    for layers in ("nn.Linear(n, m)", "nn.Linear(n, m), nn.Tanh()"):
        (tmp_path / "networks_of_the_user.py").write_text(code.format(layers))
        importlib.invalidate_caches()
        linecache.clearcache()
        sys.modules.pop("networks_of_the_user", None)
        module = importlib.import_module("networks_of_the_user")
        fit(str(tmp_path / "cache"), encoder=module.make)
    assert len(trainings) == 2


def test_a_search_trains_once_a_fold(tmp_path, trainings):
    y = (X[:, 0] > 0).astype(int)

    def search(memory):
        reducer = AutoencoderTransformer(
            max_components=4, hidden_layer_sizes=(8,), max_iter=2, memory=memory, random_state=0
        )
        grid = {"autoencodertransformer__n_components": [1, 2, 3, 4]}
        pipeline = make_pipeline(reducer, LogisticRegression())
        return GridSearchCV(pipeline, grid, cv=3).fit(X, y)

    with_memory = search(str(tmp_path))
    assert len(trainings) == 3 + 1  # refit
    without = search(None)
    assert with_memory.best_params_ == without.best_params_
    np.testing.assert_allclose(
        with_memory.cv_results_["mean_test_score"],
        without.cv_results_["mean_test_score"],
        rtol=1e-12,
    )


def test_a_file_that_was_not_written_whole_is_trained_anew(tmp_path, trainings):
    expected = fit(str(tmp_path)).transform(X)
    (file,) = tmp_path.rglob("output.pkl")
    file.write_bytes(file.read_bytes()[:1000])
    found = fit(str(tmp_path)).transform(X)
    np.testing.assert_array_equal(found, expected)
    assert len(trainings) == 2


def _fit_and_encode(memory):
    return fit(memory).transform(X)


def test_two_processes_at_once(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        first, second = pool.map(_fit_and_encode, [str(tmp_path)] * 2)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(fit(str(tmp_path)).transform(X), first)


def test_an_interrupted_training_is_not_kept(tmp_path, trainings):
    model = make(n_components=2, max_components=4, memory=str(tmp_path), callbacks=[Interrupt()])
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt, match="interrupted in epoch 2"):
            model.fit(X)
        assert model.transform(X).shape == (len(X), 2)
    assert len(trainings) == 2


def test_a_failed_fit_is_not_kept(tmp_path, trainings):
    rows = X.copy()
    rows[0, 0] = np.nan
    for _ in range(2):
        with pytest.raises(ValueError, match="NaN"):
            fit(str(tmp_path), X=rows)
    assert not trainings


def test_a_folder_that_cannot_be_written(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ValueError, match=r"memory=.*file.* must be a folder that can be written"):
        fit(str(file))


def test_functions_without_a_name(tmp_path):
    with pytest.raises(ValueError, match=r"memory=.*lambda"):
        fit(str(tmp_path), **CHANGED["a module"])


def test_what_goes_on_is_not_kept(tmp_path, trainings):
    """What it goes on from decides it, too."""
    model = fit(str(tmp_path), max_components=2, warm_start=True)
    model.fit(X)
    assert len(trainings) == 2
    found, expected = (fit(memory, max_components=2) for memory in (str(tmp_path), None))
    np.testing.assert_array_equal(found.transform(X), expected.transform(X))
