"""scikit-learn's callbacks: a fit is a task, and each of its epochs."""

import joblib
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_ae import AutoencoderTransformer

callback = pytest.importorskip("sklearn.callback")

X, y = load_iris(return_X_y=True)


class Recorder:
    """Notes what it is told; asks to stop after epoch `last`."""

    def __init__(self, last=None):
        self.last = last
        self.told, self.fitted = [], []

    def setup(self, estimator, context):
        self.told.append("setup")

    def teardown(self, estimator, context):
        self.told.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X, y):
        assert X is not None
        self.told.append(f"begin {context.task_name} {context.task_id}")

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        self.told.append(f"end {context.task_name} {context.task_id}")
        self.fitted.append(fitted_estimator)
        return context.task_name == "epoch" and context.task_id == self.last


def explained(estimator, X, y):
    """Score as scikit-learn's monitor wants it."""
    return {"explained": estimator.score(X)}


def make(make_estimator=AutoencoderTransformer, **params):
    defaults = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
    return make_estimator(**(defaults | params))


def test_each_epoch_is_a_task(make_estimator):
    recorder = Recorder()
    make(make_estimator).set_callbacks(recorder).fit(X)
    epochs = [f"{event} epoch {i}" for i in range(3) for event in ("begin", "end")]
    assert recorder.told == ["setup", "begin fit 0", *epochs, "end fit 0", "teardown"]


def test_without_epochs_the_fit_is_a_leaf():
    recorder = Recorder()
    make(max_iter=0).set_callbacks(recorder).fit(X)
    assert recorder.told == ["setup", "begin fit 0", "end fit 0", "teardown"]


def test_callbacks_change_nothing(make_estimator):
    expected = make(make_estimator).fit(X)
    found = make(make_estimator).set_callbacks(Recorder()).fit(X)
    assert np.array_equal(found.transform(X), expected.transform(X))
    assert found.loss_curve_ == expected.loss_curve_


def test_a_callback_may_end_the_training():
    model = make(max_iter=50).set_callbacks(Recorder(last=1)).fit(X)
    assert model.n_iter_ == 2
    assert np.array_equal(model.transform(X), make(max_iter=2).fit(X).transform(X))


def test_what_callbacks_see_is_fitted(make_estimator):
    recorder = Recorder()
    model = make(make_estimator, init="random", learning_rate_init=0.01)
    model.set_callbacks(recorder).fit(X)
    scores = [fitted.score(X) for fitted in recorder.fitted]
    # Each of them as it was then, not as it is now; the last one is the model.
    assert scores[0] < scores[1] < scores[2]
    assert [fitted.n_iter_ for fitted in recorder.fitted] == [1, 2, 3, 3]
    assert np.array_equal(recorder.fitted[-1].transform(X), model.transform(X))


def test_a_fit_that_fails_tears_down_and_leaves_no_trace():
    recorder = Recorder()
    model = make().set_callbacks(recorder)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full((10, 3), np.nan))
    assert recorder.told == ["setup", "teardown"]
    assert vars(model) == before
    model.fit(X)
    assert recorder.told[-2:] == ["end fit 0", "teardown"]
    assert not [name for name in vars(model) if name.startswith(("_callback", "_skl_callbacks_"))]


def test_copies_have_the_callbacks_too(tmp_path):
    model = make().set_callbacks(callback.ScoringMonitor(scoring=explained)).fit(X, y)
    assert clone(model)._skl_callbacks == model._skl_callbacks
    joblib.dump(model, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    assert np.array_equal(loaded.transform(X), model.transform(X))


def test_scoring_monitor():
    monitor = callback.ScoringMonitor(scoring=explained)
    model = make().set_callbacks(monitor).fit(X, y)
    data = monitor.get_logs().data
    assert [row["task_name"] for row in data] == ["fit", *["epoch"] * 3]
    assert data[0]["explained"] == model.score(X)


def test_sparse_rows():
    recorder = Recorder()
    make().set_callbacks(recorder).fit(sparse.csr_array(X))
    assert len(recorder.told) == 10


class TestProgressBar:
    """What the terminal shows."""

    @pytest.fixture(autouse=True)
    def wide_terminal(self):
        # rich has one console, which may have been made, and measured, before.
        rich = pytest.importorskip("rich")
        rich.reconfigure(width=200)
        yield
        rich.reconfigure()

    def test_alone(self, capsys):
        make().set_callbacks(callback.ProgressBar()).fit(X)
        assert "AutoencoderTransformer - fit" in capsys.readouterr().out

    @pytest.mark.parametrize("n_jobs", [None, 2])
    def test_in_a_pipeline_in_a_search(self, capsys, n_jobs):
        pipe = make_pipeline(make(), LogisticRegression(max_iter=1000))
        search = GridSearchCV(
            pipe, {"autoencodertransformer__n_components": [1, 2]}, cv=2, n_jobs=n_jobs
        )
        search.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(X, y)
        shown = capsys.readouterr().out
        assert "GridSearchCV - fit" in shown
        assert "AutoencoderTransformer - fit" in shown
        assert search.predict(X).shape == y.shape
