"""The scikit-learn contract, with scikit-learn's own tools."""

import functools

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - makes it importable
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_validate
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.validation import check_is_fitted

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer

IRIS = load_iris()
X = StandardScaler().fit_transform(IRIS.data)
NAMES = ["length", "width", "petal_length", "petal_width"]
LABELS = IRIS.target_names[IRIS.target]
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}


def assert_same(first, second, rows=X):
    """Two fitted estimators give the same bits."""
    np.testing.assert_array_equal(first.transform(rows), second.transform(rows))
    np.testing.assert_array_equal(first.reconstruct(rows), second.reconstruct(rows))


# -- With scikit-learn's tools ------------------------------------------------------------------


def test_pipeline_with_string_labels(make_estimator):
    pipe = make_pipeline(StandardScaler(), make_estimator(2, **SMALL), LogisticRegression())
    pipe.fit(IRIS.data, LABELS)
    assert set(pipe.predict(IRIS.data)) == {"setosa", "versicolor", "virginica"}
    assert pipe.score(IRIS.data, LABELS) > 0.85
    assert list(pipe[:-1].get_feature_names_out()) == [
        f"{make_estimator.__name__.lower()}{i}" for i in range(2)
    ]


def test_grid_search_in_two_processes(make_estimator):
    estimator = make_estimator(device="cpu", **SMALL)
    searches = [
        GridSearchCV(estimator, {"n_components": [1, 3]}, cv=3, n_jobs=n_jobs).fit(X)
        for n_jobs in (2, None)
    ]
    assert searches[0].best_params_ == {"n_components": 3}
    np.testing.assert_array_equal(*(s.cv_results_["mean_test_score"] for s in searches))
    assert_same(*(s.best_estimator_ for s in searches))


def test_grid_search_in_a_pipeline():
    pipe = make_pipeline(StandardScaler(), AutoencoderTransformer(**SMALL), LogisticRegression())
    grid = {"autoencodertransformer__n_components": [1, 2]}
    search = GridSearchCV(pipe, grid, n_jobs=2, cv=3).fit(IRIS.data, LABELS)
    assert search.score(IRIS.data, LABELS) > 0.85


def test_halving_search_gives_epochs():
    estimator = AutoencoderTransformer(hidden_layer_sizes=(8,), n_iter_no_change=99, random_state=0)
    search = HalvingGridSearchCV(
        estimator,
        {"n_components": [1, 2, 3]},
        resource="max_iter",
        min_resources=1,
        max_resources=3,
        cv=2,
    ).fit(X)
    assert search.n_resources_ == [1, 3]
    assert search.best_params_["max_iter"] == 3
    assert search.best_estimator_.n_iter_ == 3


def test_cross_validate(make_estimator):
    found = cross_validate(
        make_estimator(2, **SMALL),
        X,
        cv=3,
        return_train_score=True,
        return_estimator=True,
        return_indices=True,
    )
    assert found["test_score"].shape == (3,)
    assert (found["test_score"] <= 1).all()
    assert all(isinstance(e, make_estimator) for e in found["estimator"])
    for score, rows in zip(found["train_score"], found["indices"]["train"], strict=True):
        explained = PCA(2).fit(X[rows]).explained_variance_ratio_.sum()
        assert explained - 1e-9 <= score <= 1


def test_score_of_pca_itself():
    """Without anything learned, `score` is what PCA's `explained_variance_ratio_` sums up to."""
    estimator = AutoencoderTransformer(2, hidden_layer_sizes=(), max_iter=0, random_state=0).fit(X)
    assert estimator.is_pca_
    explained = PCA(2).fit(X).explained_variance_ratio_.sum()
    assert estimator.score(X) == pytest.approx(explained, abs=1e-9)
    assert estimator.score(X, y=LABELS) == estimator.score(X)


@pytest.mark.parametrize("unit", [1e-150, 1.0, 1e145])
@pytest.mark.parametrize("factor", [1e50, 1e155])
def test_score_of_rows_that_lie_very_far_out(factor, unit):
    """Their squares would leave float64. There the network is linear, as PCA is."""
    estimator = AutoencoderTransformer(2, **SMALL).fit(IRIS.data * unit)
    far, farther = (estimator.score(IRIS.data * unit * f) for f in (1e20, factor))
    assert 0 < far < 1
    assert farther == pytest.approx(far, rel=1e-9)


def test_a_subclass_with_a_constructor_of_its_own():
    class Mine(AutoencoderTransformer):
        def __init__(self, n_components=2):
            super().__init__(n_components, **SMALL)

    assert clone(Mine(1)).fit(X).transform(X).shape == (150, 1)


def test_column_transformer():
    frame = pd.DataFrame(X, columns=NAMES)
    columns = ColumnTransformer(
        [("codes", AutoencoderTransformer(1, **SMALL), NAMES[:3])], remainder="passthrough"
    )
    Z = columns.fit_transform(frame)
    assert list(columns.get_feature_names_out()) == [
        "codes__autoencodertransformer0",
        "remainder__petal_width",
    ]
    np.testing.assert_array_equal(Z[:, 1], X[:, 3])
    alone = AutoencoderTransformer(1, **SMALL).fit_transform(frame[NAMES[:3]])
    np.testing.assert_array_equal(Z[:, :1], alone)


def test_feature_union_beside_pca(make_estimator):
    union = FeatureUnion([("pca", PCA(2)), ("codes", make_estimator(3, **SMALL))])
    Z = union.fit_transform(X)
    assert Z.shape == (150, 5)
    np.testing.assert_array_equal(Z[:, :2], PCA(2).fit_transform(X))
    assert union.get_feature_names_out()[-1] == f"codes__{make_estimator.__name__.lower()}2"


def test_stacking():
    stack = StackingClassifier(
        [
            ("codes", make_pipeline(AutoencoderTransformer(2, **SMALL), LogisticRegression())),
            ("tree", DecisionTreeClassifier(max_depth=2, random_state=0)),
        ],
        LogisticRegression(),
        cv=2,
    ).fit(X, LABELS)
    assert stack.score(X, LABELS) > 0.9


def test_transformed_targets(make_estimator):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(120, 5))
    targets = rows @ rng.normal(size=(5, 2)) @ rng.normal(size=(2, 4))
    targets += 0.01 * rng.normal(size=targets.shape)
    model = TransformedTargetRegressor(
        LinearRegression(), transformer=make_estimator(2, **SMALL), check_inverse=False
    ).fit(rows, targets)
    assert model.regressor_.coef_.shape == (2, 5)
    assert model.predict(rows).shape == (120, 4)
    assert model.score(rows, targets) > 0.95


def test_metadata_routing():
    weights = np.random.default_rng(0).uniform(size=len(X))
    with sklearn.config_context(enable_metadata_routing=True):
        classifier = LogisticRegression().set_fit_request(sample_weight=True)
        estimator = AutoencoderTransformer(2, **SMALL)
        assert not any(
            estimator.get_metadata_routing()._serialize().get(method)
            for method in ("fit", "transform", "score", "inverse_transform")
        )
        pipe = make_pipeline(estimator, classifier).fit(X, LABELS, sample_weight=weights)
        expected = LogisticRegression().fit(pipe[0].transform(X), LABELS, weights)
        np.testing.assert_array_equal(pipe[1].coef_, expected.coef_)
        search = GridSearchCV(estimator, {"n_components": [1, 2]}, cv=2).fit(X)
        assert search.best_params_ == {"n_components": 2}


# -- Names and containers -----------------------------------------------------------------------


def test_feature_names():
    frame = pd.DataFrame(X, columns=NAMES)
    estimator = AutoencoderTransformer(3, **SMALL).fit(frame)
    assert list(estimator.feature_names_in_) == NAMES
    assert list(estimator.get_feature_names_out()) == [
        f"autoencodertransformer{i}" for i in range(3)
    ]
    for method in ("transform", "reconstruct", "score", "score_samples"):
        with pytest.raises(ValueError, match="feature names should match"):
            getattr(estimator, method)(frame[NAMES[::-1]])
    assert not hasattr(AutoencoderTransformer(**SMALL).fit(X), "feature_names_in_")
    with pytest.raises(NotFittedError):
        AutoencoderTransformer().get_feature_names_out()


def test_names_are_forgotten_by_a_fit_without_them():
    estimator = AutoencoderTransformer(**SMALL).fit(pd.DataFrame(X, columns=NAMES))
    assert not hasattr(estimator.fit(X[:, :3]), "feature_names_in_")
    assert estimator.n_features_in_ == 3


def test_set_output_pandas(make_estimator):
    frame = pd.DataFrame(X, columns=NAMES, index=pd.Index(range(1000, 1150), name="flower"))
    estimator = make_estimator(2, **SMALL).set_output(transform="pandas")
    for Z in (estimator.fit_transform(frame), estimator.transform(frame)):
        assert isinstance(Z, pd.DataFrame)
        assert list(Z.columns) == list(estimator.get_feature_names_out())
        pd.testing.assert_index_equal(Z.index, frame.index)
    assert isinstance(estimator.reconstruct(frame), np.ndarray)
    assert estimator.inverse_transform(Z).shape == X.shape
    assert estimator.score_samples(frame).shape == (150,)


def test_set_output_polars(make_estimator):
    frame = pl.DataFrame(X, schema=NAMES)
    estimator = make_estimator(2, **SMALL).set_output(transform="polars")
    Z = estimator.fit_transform(frame)
    assert isinstance(Z, pl.DataFrame)
    assert Z.columns == list(estimator.get_feature_names_out())
    # Its columns lie one after the other, which adds up in another order.
    expected = make_estimator(2, **SMALL).fit_transform(X)
    np.testing.assert_allclose(Z.to_numpy(), expected, atol=1e-5)


# -- clone --------------------------------------------------------------------------------------


def test_clone_is_unfitted_and_equal(make_estimator):
    optimizer = functools.partial(torch.optim.RMSprop, lr=1e-3)
    estimator = make_estimator(3, optimizer=optimizer, **SMALL).fit(X)
    copy = clone(estimator)
    with pytest.raises(NotFittedError):
        check_is_fitted(copy)
    assert copy.optimizer.func is torch.optim.RMSprop
    assert copy.optimizer.keywords == {"lr": 1e-3}
    plain = {"optimizer": None}
    assert copy.get_params() | plain == estimator.get_params() | plain
    assert set(vars(copy)) == set(copy.get_params())
    assert_same(copy.fit(X), estimator)


def test_fit_leaves_the_parameters_alone():
    encoder = torch.nn.Linear(4, 2)
    weights = encoder.weight.detach().clone()
    estimator = AutoencoderTransformer(2, encoder=encoder, init="random", **SMALL)
    before = estimator.get_params()
    estimator.fit(X)
    assert all(estimator.get_params()[name] is value for name, value in before.items())
    assert torch.equal(encoder.weight, weights)
    assert encoder.training
    assert_same(clone(estimator).fit(X), estimator)


# -- Kinds of input -----------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("init", ["pca", "random"])
def test_input_is_left_as_it_was(make_estimator, init, dtype, order):
    rows = np.array(X, dtype=dtype, order=order)
    before = rows.copy(order="K")
    estimator = make_estimator(2, init=init, **SMALL).fit(rows)
    Z = estimator.transform(rows)
    codes = Z.copy()
    for values in (Z, estimator.reconstruct(rows), estimator.inverse_transform(Z)):
        assert values.dtype == dtype
        assert not np.shares_memory(values, rows)
    estimator.score(rows)
    estimator.score_samples(rows)
    np.testing.assert_array_equal(rows, before)
    np.testing.assert_array_equal(Z, codes)


def test_read_only_memory_map(make_estimator, tmp_path):
    joblib.dump(X, tmp_path / "X.joblib")
    rows = joblib.load(tmp_path / "X.joblib", mmap_mode="r")
    assert isinstance(rows, np.memmap)
    estimator = make_estimator(2, **SMALL).fit(rows)
    expected = make_estimator(2, **SMALL).fit(X)
    assert_same(estimator, expected)
    np.testing.assert_array_equal(estimator.transform(rows), expected.transform(X))
    np.testing.assert_array_equal(estimator.score_samples(rows), expected.score_samples(X))
    Z = expected.transform(X)
    Z.setflags(write=False)
    np.testing.assert_array_equal(estimator.inverse_transform(Z), expected.inverse_transform(Z))


def test_fortran_order_and_strides(make_estimator):
    wide = np.zeros((300, 8))
    wide[::2, ::-2] = X
    expected = make_estimator(2, **SMALL).fit(X)
    for rows in (np.asfortranarray(X), wide[::2, ::-2]):
        np.testing.assert_array_equal(expected.transform(rows), expected.transform(X))
        other = make_estimator(2, **SMALL).fit(rows)
        np.testing.assert_allclose(other.transform(X), expected.transform(X), atol=1e-5)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", ">f8", "float16", "object"])
def test_other_dtypes_count_as_float(make_estimator, dtype):
    rows = (X > 0 if dtype == "bool" else np.rint(10 * (X - X.min()))).astype(dtype)
    same = rows.astype("float32" if dtype == "float16" else "float64")
    estimator = make_estimator(2, **SMALL).fit(rows)
    assert_same(estimator, make_estimator(2, **SMALL).fit(same.astype("float64")), same)
    Z = estimator.transform(rows)
    assert Z.dtype == np.float64
    np.testing.assert_array_equal(Z, estimator.transform(same.astype("float64")))
    assert estimator.inverse_transform(np.ones((3, 2), dtype=int)).dtype == np.float64


def test_lists_are_rows():
    estimator = AutoencoderTransformer(2, **SMALL).fit(X.tolist())
    assert_same(estimator, AutoencoderTransformer(2, **SMALL).fit(X))
    assert estimator.transform([[0, 0, 0, 0]]).shape == (1, 2)


@pytest.mark.parametrize(
    "y",
    [LABELS, LABELS.tolist(), [1, 2], np.full(150, np.nan), {"any": "thing"}, object(), X, "y"],
    ids=lambda y: type(y).__name__,
)
def test_y_is_ignored(make_estimator, y):
    assert_same(make_estimator(2, **SMALL).fit(X, y), make_estimator(2, **SMALL).fit(X))
    Z = make_estimator(2, **SMALL).fit_transform(X, y)
    np.testing.assert_array_equal(Z, make_estimator(2, **SMALL).fit_transform(X))


def test_both_are_what_they_say():
    for kind in (AutoencoderTransformer, DenoisingAutoencoderTransformer):
        tags = kind().__sklearn_tags__()
        assert tags.input_tags.sparse
        assert not tags.input_tags.allow_nan
        assert not tags.target_tags.required
        assert not tags.non_deterministic
        assert set(tags.transformer_tags.preserves_dtype) == {"float32", "float64"}
