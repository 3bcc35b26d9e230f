"""Encoders and decoders of every kind, seen through the estimators."""

import pickle

import numpy as np
import pytest
import torch
from curves import every_init
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer
from sklearn_ae.modules import AttentionEncoder, StartedLinear, Transposed

X = load_digits().data[:500] / 16
Y = load_digits().target[:500]
IMAGE = (1, 8, 8)
NETWORKS = {
    "conv": {"encoder": "conv", "image_shape": IMAGE, "hidden_layer_sizes": (4, 8)},
    "conv, dense": {"encoder": "conv", "decoder": "dense", "image_shape": IMAGE,
                    "hidden_layer_sizes": (4, 8)},
    "dense, conv": {"decoder": "conv", "image_shape": IMAGE, "hidden_layer_sizes": (8, 4)},
    "profile": {"encoder": "conv", "image_shape": (1, 1, -1), "hidden_layer_sizes": (4, 8)},
    "dense, linear": {"decoder": "linear", "hidden_layer_sizes": (16,)},
    "tied": {"tied_weights": True, "hidden_layer_sizes": (16, 12)},
    "attention": {"encoder": "attention", "hidden_layer_sizes": (8,)},
    "patches": {"encoder": "attention", "image_shape": IMAGE, "hidden_layer_sizes": (8, 8)},
    "probabilities": {"loss": "binary_log_loss", "hidden_layer_sizes": (16,)},
    "probabilities, tied": {"loss": "binary_log_loss", "tied_weights": True,
                            "hidden_layer_sizes": (16,)},
}  # fmt: skip
every_network = pytest.mark.parametrize("params", NETWORKS.values(), ids=NETWORKS)


def make(cls=AutoencoderTransformer, **params):
    return cls(**{"n_components": 5, "max_iter": 4, "random_state": 0} | params)


@every_init
@every_network
def test_learns_in_a_pipeline_and_survives_a_pickle(make_estimator, params, init, device):
    model = make(make_estimator, init=init, device=device, **params)
    pipe = make_pipeline(model, LogisticRegression(max_iter=1000)).fit(X, Y)
    assert pipe.score(X, Y) > 0.4
    fitted = pipe[0]
    if init == "random":
        assert fitted.validation_loss_curve_[-1] < fitted.validation_loss_curve_[0]
    else:
        assert fitted.is_pca_ or fitted.score_ > fitted.pca_score_
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_allclose(again.transform(X), fitted.transform(X), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(again.reconstruct(X), fitted.reconstruct(X), rtol=1e-5, atol=1e-5)


@every_network
def test_starts_at_pca(params):
    """Before the first step the network is PCA of the rows, where the loss does not clip it."""
    model = make(init="pca", early_stopping=False, max_iter=0, transform_max_iter=0, **params).fit(
        X
    )
    network = model.net_.module_
    if getattr(network.decoder, "is_solvable", False):
        # The closed form has been there.
        nn.init.zeros_(network.decoder.correction[-1].weight)
        nn.init.zeros_(network.decoder.correction[-1].bias)
        model._wrap()
    pca = PCA(5).fit(X)
    expected = pca.inverse_transform(pca.transform(X))
    if "loss" in params:
        expected = expected.clip(0.01, 0.99)
    np.testing.assert_allclose(model.reconstruct(X), expected, atol=2e-5)


@every_network
def test_same_seed_same_bits(params):
    one, other = (make(init="random", **params).fit(X).transform(X) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_conv_beats_pca_on_images():
    model = make(max_iter=15, **NETWORKS["conv"]).fit(X)
    assert not model.is_pca_
    assert model.score_ > model.pca_score_ + 0.01


@pytest.mark.parametrize(("size", "n_layers"), [(2, 1), (3, 1), (8, 3), (9, 3), (28, 4), (64, 4)])
def test_auto_halves_the_image_as_often_as_it_can(size, n_layers):
    rows = np.random.default_rng(0).normal(size=(20, 3 * size * 70))
    shape = {"encoder": "conv", "image_shape": (3, size, 70)}
    model = AutoencoderTransformer(2, max_iter=0, early_stopping=False, **shape).fit(rows)
    layers = [m for m in model.net_.module_.encoder.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in layers] == [16, 32, 64, 128][:n_layers]


def test_a_linear_decoder_is_never_better_than_pca():
    model = make(max_iter=15, decoder="linear").fit(X)
    assert model.is_pca_
    linear = make(max_iter=15, decoder="linear", init="random").fit(X)
    assert linear.score(X) <= PCA(5).fit(X).explained_variance_ratio_.sum() + 1e-6


@every_init
def test_tied_weights_are_one_parameter(init):
    model = make(init=init, early_stopping=False, **NETWORKS["tied"]).fit(X)
    for fitted in (model, pickle.loads(pickle.dumps(model))):
        module = fitted.net_.module_
        back = [m for m in module.decoder.modules() if isinstance(m, Transposed)]
        own = {id(p) for p in module.encoder.parameters()}
        assert len(back) == 3
        assert all(id(layer.weight) in own for layer in back)
        paths = [m for m in module.modules() if isinstance(m, StartedLinear)]
        assert len(paths) == (2 if init == "pca" else 0)
        assert len({id(path.change) for path in paths}) == len(paths) // 2


def test_probabilities_stay_probabilities(make_estimator):
    for params in ({"init": "pca"}, {"init": "random"}, {"decoder": "linear"}):
        model = make(make_estimator, loss="binary_log_loss", **params).fit(X)
        far = np.vstack([X, 100 * X, -50 * X])
        for rows in (far, far.astype(np.float32)):
            rebuilt = model.reconstruct(rows)
            assert rebuilt.min() >= 0
            assert rebuilt.max() <= 1


def test_pca_that_is_kept_gives_zeros_and_ones_back():
    """Its distance from them is for the logarithms of the loss."""
    rows = (X > 0.5).astype(float)
    rows[:, :2] = 0
    rows[0, 1] = 1
    model = make(loss="binary_log_loss", n_components=None, max_iter=0).fit(rows)
    assert model.is_pca_
    np.testing.assert_allclose(model.reconstruct(rows), rows, atol=1e-12)
    assert model.score(rows) == pytest.approx(model.score_, abs=1e-6)
    part, pca = model.truncated(45), PCA(45).fit(rows)
    expected = pca.inverse_transform(pca.transform(rows)).clip(0, 1)
    assert part.is_pca_
    np.testing.assert_allclose(part.reconstruct(rows), expected, atol=1e-12)
    assert 0 < part.pca_loss_ < np.inf


@pytest.mark.parametrize("init", ["pca", "random"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_rounding_carries_no_probability_out(init, value):
    """Not in columns whose logits are far out: their shift was rounded to float32."""
    rows = np.column_stack([X, np.full(len(X), value)])
    rows[0, -1] = 1 - value
    model = make(loss="binary_log_loss", max_iter=1, init=init, early_stopping=False).fit(rows)
    decoder = model.module_.decoder.module
    with torch.no_grad():
        layers = decoder.decoder if init == "random" else decoder.correction
        layers[-1].bias[-1] = 1e3 if value else -1e3
    rebuilt = model.inverse_transform(model.transform(rows))
    assert rebuilt.min() >= 0
    assert rebuilt.max() <= 1
    np.testing.assert_allclose(rebuilt[:, -1], value, rtol=0, atol=1e-7)


def test_binary_log_loss_is_cross_entropy():
    model = make(loss="binary_log_loss", init="random", transform_max_iter=0).fit(X)
    p = model.reconstruct(X).clip(1e-7, 1 - 1e-7)
    expected = -np.mean(X * np.log(p) + (1 - X) * np.log(1 - p))
    rows = (X - model._scaling.shift) / model._scaling.scale
    rows = torch.from_numpy(rows.astype(np.float32)).to(model.device_)
    with torch.no_grad():
        found = float(model.net_.criterion_(model.net_.module_(rows), rows))
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("low_high", [(-0.1, 1.0), (0.0, 1.01), (0, 255)])
def test_binary_log_loss_outside(make_estimator, low_high):
    low, high = low_high
    with pytest.raises(ValueError, match=r"loss='binary_log_loss' needs values in \[0, 1\].*Min"):
        make(make_estimator, loss="binary_log_loss").fit(low + (high - low) * X)


# -- The code from any layer ----------------------------------------------------------------------


@pytest.mark.parametrize("params", [{}, {"encoder": "conv", "image_shape": IMAGE}], ids=str)
@every_init
def test_code_layer(make_estimator, init, params):
    sizes = (4, 6)
    wanted = [4 * 16, 6 * 4, 6 * 4, 4 * 16] if params else [4, 6, 6, 4]
    for layer, size in enumerate(wanted):
        model = make(
            make_estimator, init=init, hidden_layer_sizes=sizes, code_layer=layer, **params
        ).fit(X)
        codes = model.transform(X)
        assert codes.shape == (500, size)
        assert codes.std() > 0
        name = make_estimator.__name__.lower()
        assert model.get_feature_names_out()[-1] == f"{name}_layer{layer}_{size - 1}"
        assert model.reconstruct(X).shape == X.shape
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_allclose(again.transform(X), codes, rtol=1e-5, atol=1e-6)
        assert not hasattr(model, "inverse_transform")
    model = make(make_estimator, code_layer=0)
    assert not hasattr(model, "inverse_transform")
    assert hasattr(model.set_params(code_layer=None), "inverse_transform")


def test_code_layer_keeps_the_network_where_pca_is_not_beaten():
    noise = np.random.default_rng(0).normal(size=(200, 8))
    model = make(code_layer=0, hidden_layer_sizes=(7,)).fit(noise)
    assert not model.is_pca_
    assert model.transform(noise).shape == (200, 7)
    # Rows that PCA rebuilds without loss.
    model = make(code_layer=0, hidden_layer_sizes=(7,)).fit(noise[:, :3])
    assert model.transform(noise[:, :3]).shape == (200, 7)


def test_code_layer_of_attention():
    model = make(code_layer=1, **NETWORKS["patches"]).fit(X)
    assert model.transform(X).shape == (500, 16 * 8)


# -- Denoising ------------------------------------------------------------------------------------


def make_denoising(**params):
    defaults = {"corruption": "masking", "corruption_level": 0.3, "hidden_layer_sizes": (32,)}
    return make(DenoisingAutoencoderTransformer, **defaults | params)


def test_emphasis_changes_what_is_learned():
    even, corrupted, clean = (
        make_denoising(emphasis=emphasis, early_stopping=False).fit(X).reconstruct(X)
        for emphasis in (0.5, 1.0, 0.0)
    )
    assert not np.allclose(even, corrupted)
    assert not np.allclose(clean, corrupted)


def test_the_head_finds_corrupted_cells():
    t = np.random.default_rng(0).normal(size=(600, 1))
    rows = np.hstack([t, -t, t**2, t - 1, 2 * t, t**3 / 3])
    model = make_denoising(
        n_components=16, init="random", corruption="swap", corruption_loss_weight=10.0,
        corruption_level=0.3, hidden_layer_sizes=(64, 64), early_stopping=False, max_iter=150,
    ).fit(rows)  # fmt: skip
    swapped = rows.copy()
    swapped[:, 1] = np.roll(rows[:, 1], 7)
    scaled = (swapped - model._scaling.shift) / model._scaling.scale
    network = model.net_.module_
    with torch.no_grad():
        rows = torch.from_numpy(scaled).float().to(model.device_)
        logits = network.head(network.encoder(rows))
    found = logits.mean(0)
    assert int(found.argmax()) == 1


def test_no_head_unless_asked_for():
    assert make_denoising().fit(X).net_.module_.head is None


def test_masked_cells_reach_the_attention_encoder(monkeypatch):
    seen = []
    forward = AttentionEncoder.forward

    def spy(self, x, masked=None):
        if self.training:
            seen.append((x, masked))
        return forward(self, x, masked)

    monkeypatch.setattr(AttentionEncoder, "forward", spy)
    for corruption in ("masking", "swap"):
        seen.clear()
        make_denoising(
            corruption=corruption, init="random", encoder="attention", hidden_layer_sizes=(8,),
            max_iter=1,
        ).fit(X)  # fmt: skip
        told = [masked is not None for _, masked in seen]
        assert told
        assert all(told) if corruption == "masking" else not any(told)
        if corruption == "masking":
            # Masked cells hold the mean, which is zero here.
            assert all(not x[masked].any() for x, masked in seen)


# -- What is wrong --------------------------------------------------------------------------------

WRONG = {
    "image": ({"encoder": "conv", "image_shape": (1, 8, 9)}, r"\(1, 8, 9\) .*72 columns.* 64"),
    "no image": ({"encoder": "conv"}, "image_shape=None must be"),
    "no image, decoder": ({"decoder": "conv"}, "image_shape=None must be"),
    "two numbers": ({"image_shape": (8, 8)}, r"image_shape=\(8, 8\) must be three"),
    "negative": ({"image_shape": (-1, -8, 8)}, "image_shape=.* must be three positive"),
    "two unknown": ({"image_shape": (1, -1, -1)}, "image_shape=.* One of them may be -1"),
    "columns left": ({"image_shape": (1, 9, -1)}, r"\(1, 9, -1\) .*63 columns.* 64"),
    "small": ({**NETWORKS["conv"], "hidden_layer_sizes": (4,) * 4}, "too small for 4 conv.* 16 p"),
    "tied, conv": ({**NETWORKS["conv"], "tied_weights": True}, "tied_weights=True needs.*'conv'"),
    "tied, decoder": ({"decoder": "linear", "tied_weights": True}, "tied.*decoder='linear'"),
    "tied, module": ({"encoder": nn.Linear(64, 5), "tied_weights": True}, "tied.*got encoder=Lin"),
    "layer": ({"code_layer": 4, "hidden_layer_sizes": (8, 8)}, "code_layer=4 .* 0 to 3 or None"),
    "no layers": ({"code_layer": 0, "hidden_layer_sizes": ()}, "code_layer=0 .* 0 hidden layers"),
    "user's": ({"code_layer": 0, "encoder": nn.Linear(64, 5), "decoder": nn.Linear(5, 64)},
               "code_layer=0 must be None"),
    "tokens": ({"encoder": "attention", "hidden_layer_sizes": (8, 16)}, r"\(8, 16\).*equal sizes"),
    "no tokens": ({"encoder": "attention", "hidden_layer_sizes": ()}, "hidden_layer_sizes"),
}  # fmt: skip


@pytest.mark.parametrize(("params", "message"), WRONG.values(), ids=WRONG)
def test_wrong(make_estimator, params, message):
    model = make(make_estimator, **params)
    with pytest.raises(ValueError, match=message):
        model.fit(X)
    assert not hasattr(model, "module_")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"emphasis": 0.9, "loss": nn.L1Loss()}, "emphasis=0.9 .*loss=L1Loss.*Set emphasis=0.5"),
        (
            {"encoder": "attention", "image_shape": IMAGE, "corruption_level": [0.1] * 64},
            r"corruption_level must be one number .*patches.*\(64,\)",
        ),
    ],
)
def test_wrong_denoising(params, message):
    with pytest.raises(ValueError, match=message):
        make_denoising(**params).fit(X)
