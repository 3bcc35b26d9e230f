"""The parameters of the noise."""

import numpy as np
import pytest
import torch
from curves import curve, every_init, make
from torch import nn

from sklearn_ae import DenoisingAutoencoderTransformer


@pytest.fixture
def X():
    return curve()


def denoising(**params):
    return make(DenoisingAutoencoderTransformer, **params)


@every_init
@pytest.mark.parametrize("corruption", ["gaussian", "masking", "salt_and_pepper", "swap"])
@pytest.mark.parametrize("level", [0.0, 0.3, [0.0, 0.1, 0.2, 0.3, 1.0]])
def test_corruptions(level, corruption, init, X):
    model = denoising(corruption=corruption, corruption_level=level, init=init).fit(X)
    assert np.isfinite(model.reconstruct(X)).all()


@pytest.mark.parametrize("corruption", ["gaussian", "masking", "salt_and_pepper", "swap"])
def test_no_corruption_is_the_plain_autoencoder(corruption, X):
    plain = make(init="random").fit(X)
    for level in (0.0, np.zeros(5)):
        model = denoising(init="random", corruption=corruption, corruption_level=level).fit(X)
        np.testing.assert_array_equal(model.transform(X), plain.transform(X))


@pytest.mark.parametrize(
    ("corruption", "level"),
    [
        ("swap", -0.1), ("swap", 1.1), ("gaussian", -1.0), ("gaussian", np.inf), ("swap", np.nan),
        ("swap", ["a"]),
        ("masking", [0.1, 0.2, 0.3, 0.4, 1.5]), ("salt_and_pepper", [0.1, 0.2, 0.3, 0.4, -0.5]),
    ],
)  # fmt: skip
def test_level_out_of_range(corruption, level, X):
    with pytest.raises(ValueError, match="corruption_level"):
        denoising(corruption=corruption, corruption_level=level).fit(X)


@pytest.mark.parametrize("length", [1, 4, 6])
def test_levels_that_are_not_one_a_column(length, X):
    with pytest.raises(ValueError, match="corruption_level") as caught:
        denoising(corruption_level=[0.1] * length).fit(X)
    assert f"{length}" in str(caught.value)
    assert "5" in str(caught.value)


def test_gaussian_may_be_wider_than_the_data(X):
    denoising(corruption="gaussian", corruption_level=3.0, max_iter=2).fit(X)


def test_users_corruption_sees_training_batches_and_cannot_spoil_the_targets(X):
    seen, targets = [], []

    class Spy(nn.MSELoss):
        def forward(self, prediction, target):
            if torch.is_grad_enabled():
                targets.append(target.detach().clone())
            return super().forward(prediction, target)

    def corrupt(x, generator):
        if torch.is_grad_enabled():
            seen.append((len(x), generator.device.type))
        x.zero_()  # a copy: the target stays clean
        return x

    denoising(
        corruption=corrupt, loss=Spy(), init="random", max_iter=2, batch_size=50,
        early_stopping=False,
    ).fit(X)  # fmt: skip
    assert seen == [(50, "cpu"), (50, "cpu"), (20, "cpu")] * 2
    found = torch.cat(targets[-3:]).numpy()
    order = [np.lexsort(rows.round(3).T) for rows in (found, X)]
    np.testing.assert_allclose(found[order[0]], X[order[1]], atol=1e-5)


def test_users_corruption_in_another_precision(X):
    def corrupt(x, generator):
        return x + torch.from_numpy(np.zeros(x.shape))

    denoising(corruption=corrupt, max_iter=2).fit(X)


def test_emphasis_needs_clean_cells(X):
    with pytest.raises(ValueError, match=r"emphasis=0\.7 .*gaussian"):
        denoising(corruption="gaussian", emphasis=0.7).fit(X)


@pytest.mark.parametrize(
    "result", [lambda x: x[:, :2], lambda x: x[:3], lambda x: x.numpy(), lambda x: None]
)
def test_users_corruption_that_gives_something_else(result, X):
    with pytest.raises(ValueError, match="corruption must return a tensor"):
        denoising(corruption=lambda x, generator: result(x)).fit(X)


def test_users_corruption_that_fails(X):
    with pytest.raises(ValueError, match=r"corruption=.* for \(rows, generator\); it failed"):
        denoising(corruption=lambda x: x).fit(X)
