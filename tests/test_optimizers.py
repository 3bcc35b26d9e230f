import subprocess
import sys

import pytest
import torch
from torch import nn

from sklearn_ae._optimizers import SGD, Adam, AdamW

KINDS = {
    "Adam": (Adam, {"weight_decay": 0.1}),
    "AdamW": (AdamW, {"weight_decay": 0.1}),
    "SGD": (SGD, {"momentum": 0.9, "nesterov": True}),
}


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(("kind", "params"), KINDS.values(), ids=KINDS)
def test_steps_are_those_of_torch(kind, params, fused):
    def trained(kind):
        torch.manual_seed(0)
        layer, x = nn.Linear(3, 2), torch.randn(10, 3)
        groups = [{"params": [layer.weight]}, {"params": [layer.bias], "lr": 0.01}]
        optimizer = kind(groups, lr=0.1, fused=fused, **params)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
        for _ in range(5):
            optimizer.zero_grad()
            layer(x).square().mean().backward()
            optimizer.step()
            scheduler.step()
        return layer.state_dict(), optimizer.state_dict()

    (theirs,) = kind.__bases__
    torch.testing.assert_close(trained(kind), trained(theirs), rtol=0, atol=0)
    assert kind.__name__ == theirs.__name__


def test_a_closure_is_called_with_gradients():
    layer = nn.Linear(2, 1)
    optimizer = Adam(layer.parameters())

    def closure():
        optimizer.zero_grad()
        loss = layer(torch.ones(1, 2)).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).requires_grad


def test_hooks_are_called():
    layer, called = nn.Linear(2, 1), []
    optimizer = Adam(layer.parameters())
    optimizer.register_step_pre_hook(lambda *args: called.append("before"))
    optimizer.register_step_post_hook(lambda *args: called.append("after"))
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert called == ["before", "after"]


def test_a_fit_loads_neither_the_compiler_nor_sympy():
    lines = """
import pickle, sys
from sklearn.datasets import load_iris
from sklearn_ae import AutoencoderTransformer
X, _ = load_iris(return_X_y=True)
params = {"pretraining": "rbm", "init": "random", "activation": "logistic"}
model = AutoencoderTransformer(2, max_iter=1, **params).fit(X)
AutoencoderTransformer(2, max_iter=1).fit(X).truncated(1).transform(X)
pickle.loads(pickle.dumps(model)).transform(X)
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
