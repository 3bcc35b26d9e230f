"""Ctrl-C ends what called the fit, and the estimator is fitted; each in a process of its own."""

import json
import subprocess
import sys
import threading

import pytest

from sklearn_ae._fitting.training.interrupts import heard_interrupts

BEGIN = """
import json, signal
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback
from sklearn_ae import AutoencoderTransformer

signal.signal(signal.SIGINT, signal.default_int_handler)
T = np.random.default_rng(0).uniform(-1, 1, (200, 1))
X = np.hstack([T, T**2, T**3, np.sin(3 * T)])
y = (T[:, 0] > 0).astype(int)

class Press(Callback):
    "Presses Ctrl-C in an epoch: in a callback, or in the step that follows."

    def __init__(self, epoch, at):
        self.epoch, self.at = epoch, at

    def on_epoch_end(self, net, **kwargs):
        if self.at == "callback" and len(net.history) == self.epoch:
            signal.raise_signal(signal.SIGINT)

    def on_grad_computed(self, net, **kwargs):
        if self.at == "step" and len(net.history) == self.epoch + 1:
            signal.raise_signal(signal.SIGINT)

def make(epoch=None, at="step", **params):
    defaults = dict(hidden_layer_sizes=(8,), max_iter=100, n_iter_no_change=100, random_state=0)
    if epoch is not None:
        defaults["callbacks"] = [Press(epoch, at)]
    return AutoencoderTransformer(1, init="random", **defaults | params)

found = {}
def stopped(fit, *args):
    "Whether an interrupt goes on to the caller."
    try:
        fit(*args)
    except KeyboardInterrupt as error:
        found["message"] = str(error)
        return True
    return False
"""
CASES = {
    "the weights of the best epoch": """
whole, cut = make(max_iter=20, transform_max_iter=0).fit(X), make(20, transform_max_iter=0)
found["stopped"] = stopped(cut.fit, X)
found["same curve"] = whole.validation_loss_curve_ == cut.validation_loss_curve_
found["same epoch"] = whole.best_iter_ == cut.best_iter_
found["same codes"] = bool((whole.transform(X) == cut.transform(X)).all())
found["loss"] = np.isclose(cut.best_loss_, min(cut.validation_loss_curve_), rtol=1e-5).item()
""",
    "in a callback": """
cut = make(3, "callback")
found["stopped"] = stopped(cut.fit, X)
found["epochs"] = cut.n_iter_ == 3
""",
    "in a pipeline": """
cut, last = make(2), LogisticRegression()
pipe = make_pipeline(cut, last)
found["stopped"] = stopped(pipe.fit, X, y)
found["fitted"] = hasattr(cut, "module_")
found["no more"] = not hasattr(last, "coef_")
""",
    "in a search": """
fits = []
class Counted(AutoencoderTransformer):
    def fit(self, X, y=None):
        fits.append(1)
        return super().fit(X, y)
search = GridSearchCV(
    Counted(1, init="random", max_iter=20, callbacks=[Press(2, "step")], random_state=0),
    {"hidden_layer_sizes": [(4,), (8,), (16,)]}, cv=3,
)
found["stopped"] = stopped(search.fit, X)
found["one fit"] = len(fits) == 1
""",
    "as the training begins": """
class Start(Callback):
    def on_train_begin(self, net, **kwargs):
        signal.raise_signal(signal.SIGINT)
cut = make(callbacks=[Start()])
found["stopped"] = stopped(cut.fit, X)
found["the start is kept"] = cut.best_iter_ == 0 and cut.loss_curve_ == []
""",
    "before the training": """
cut = make().fit(X)
codes = cut.transform(X)
import sklearn_ae._fitting as fitting
def interrupted(*args):
    signal.raise_signal(signal.SIGINT)
fitting.sum_up_for = interrupted
found["stopped"] = stopped(cut.fit, X[:50])
found["as it was"] = bool((cut.transform(X) == codes).all())
""",
}


@pytest.mark.parametrize("case", CASES)
def test_an_interrupt_goes_on_to_the_caller(case):
    code = BEGIN + CASES[case] + "\nprint(json.dumps(found))"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    message = found.pop("message")
    assert found == dict.fromkeys(found, True)
    if case != "before the training":
        assert "was interrupted in epoch" in message
        assert "it is fitted" in message


def test_only_the_main_thread_hears():
    heard = []

    def listen():
        with heard_interrupts() as found:
            heard.append(found.interrupt)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert heard == [False]
