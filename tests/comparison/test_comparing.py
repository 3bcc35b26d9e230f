from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.comparison import comparing
from sklearn_ae.comparison.comparing import choose_sizes, compare, split_table
from sklearn_ae.comparison.tables import MAX_CATEGORIES, InputError


def test_held_out_rows_change_nothing_that_is_fitted():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"row": np.arange(80.0), "x": rng.normal(size=80), "c": rng.choice(["a", "b"], size=80)}
    )
    before = split_table(frame)
    row = before.columns.named_transformers_["standardscaler"]
    test = np.rint(before.X_test[:, 0] * row.scale_[0] + row.mean_[0]).astype(int)
    assert len(test) == 20
    frame.loc[test, "x"] = 1e6
    frame.loc[test, "c"] = "never seen"
    after = split_table(frame)
    np.testing.assert_array_equal(after.X_train, before.X_train)
    assert not np.array_equal(after.X_test, before.X_test)


def test_all_rows_are_used_once(iris):
    X, y = iris
    split = split_table(X, y, scaling=False)
    rows = np.vstack([split.X_train, split.X_test]) + split.columns.mean_
    order = np.lexsort(rows.T)
    np.testing.assert_allclose(rows[order], X[np.lexsort(X.T)])
    assert len(split.X_test) == len(split.y_test) == 38


def test_scaling_is_of_the_training_rows(iris):
    scaled = split_table(iris[0])
    np.testing.assert_allclose(scaled.X_train.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.X_train.std(axis=0), 1)
    centred = split_table(iris[0], scaling=False)
    np.testing.assert_allclose(centred.X_train.mean(axis=0), 0, atol=1e-12)
    assert np.ptp(centred.X_train.std(axis=0)) > 0.5


def test_seed_decides_which_rows_are_held_out(iris):
    same, again, other = (split_table(*iris, random_state=seed).X_test for seed in (1, 1, 2))
    np.testing.assert_array_equal(same, again)
    assert not np.array_equal(same, other)


def test_classes_are_held_out_in_proportion(iris):
    X, y = iris
    split = split_table(X[:120], y[:120], test_size=0.5)
    assert np.bincount(split.y_test.astype(int)).tolist() == [25, 25, 10]


def test_a_class_of_one_row_is_no_error(iris, methods):
    X, y = iris
    y = np.where(np.arange(150) == 7, "rare", y.astype(str))
    scores = [result.score for result in compare(split_table(X, y), [2])]
    assert all(0.8 < score <= 1 for score in scores)


def test_wide_and_unseen_categories_stay_within_bounds(methods):
    frame = pd.DataFrame({"id": [f"row {i}" for i in range(400)], "x": np.arange(400.0)})
    split = split_table(frame)
    assert split.X_train.shape[1] == split.X_test.shape[1] == MAX_CATEGORIES + 1
    assert np.isfinite(split.X_test).all()


@pytest.mark.parametrize(
    ("y", "score_name"),
    [
        (np.arange(60) % 20.0, "accuracy"),
        (np.arange(60) % 21.0, "R2"),
        (np.arange(60) % 2 + 0.5, "R2"),
        ((np.arange(60) % 20).astype(str), "accuracy"),
        (None, None),
    ],
)
def test_target_decides_how_codes_are_scored(methods, y, score_name):
    X = np.random.default_rng(0).normal(size=(60, 4))
    split = split_table(X, y)
    assert split.score_name == score_name
    assert all((r.score is None) == (y is None) for r in compare(split, [2]))


@pytest.mark.parametrize(
    ("X", "y", "params", "message"),
    [
        (np.eye(19), None, {}, "19 complete rows are too few"),
        (np.ones((40, 3)), None, {}, "all columns are constant"),
        (np.eye(40), np.zeros(40), {}, "the target is 0.0 in every row"),
        (np.eye(40), np.arange(40).astype(str), {}, "30 classes in 30 training rows"),
        (
            np.eye(40),
            (np.arange(40) == 39).astype(str),
            {"random_state": 1},
            "only one class is left",
        ),
        (np.eye(40), (np.arange(40) == 39) / 2, {}, "0.0 in every held-out row"),
        (np.eye(40), None, {"test_size": 0.01}, "fewer than two rows"),
        (np.eye(40), None, {"test_size": 0.99}, "fewer than two rows"),
    ],
)
def test_unusable_tables_are_refused(X, y, params, message):
    with pytest.raises(InputError, match=message):
        split_table(X, y, **params)


def test_sizes_are_sorted_distinct_and_possible(iris):
    split = split_table(iris[0])
    assert choose_sizes([3, 1, 3], split) == [1, 3]
    assert choose_sizes(None, split) == [2]
    assert choose_sizes([4], split) == [4]
    with pytest.raises(InputError, match=r"--components 5 is too large .* from 1 to 4"):
        choose_sizes([2, 5], split)
    with pytest.raises(InputError, match="nothing to compress"):
        choose_sizes(None, split_table(iris[0][:, :1]))


def test_rows_bound_the_sizes_as_columns_do():
    X = np.random.default_rng(0).normal(size=(24, 64))
    assert choose_sizes(None, split_table(X)) == [2, 8]
    assert split_table(X).max_components == 17


def test_variance_explained_is_one_minus_sse_over_sst(iris, methods):
    split = split_table(*iris)
    for result in compare(split, [1, 2, 4]):
        pca = PCA(result.n_components).fit(split.X_train)
        sse = ((split.X_test - pca.inverse_transform(pca.transform(split.X_test))) ** 2).sum()
        sst = ((split.X_test - pca.mean_) ** 2).sum()
        assert result.variance_explained == pytest.approx(1 - sse / sst)
    assert result.variance_explained == pytest.approx(1)


def test_score_is_of_held_out_codes(methods):
    X = np.random.default_rng(0).normal(size=(200, 6))
    noise = np.random.default_rng(1).integers(0, 2, size=200).astype(str)
    signal = np.where(X @ np.ones(6) > 0, "more", "less")
    chance, learnt = (next(compare(split_table(X, y), [6])).score for y in (noise, signal))
    assert chance < 0.7 < 0.9 < learnt
    assert next(compare(split_table(X, X[:, 0]), [6])).score > 0.99


@pytest.mark.parametrize("score_name", ["accuracy", "R2"])
def test_score_is_that_of_sklearn(methods, score_name):
    X = np.random.default_rng(0).normal(size=(200, 6))
    y = X @ np.arange(6.0) + np.random.default_rng(1).normal(size=200)
    model, metric = Ridge(), r2_score
    if score_name == "accuracy":
        y, model, metric = np.where(y > 1, "more", "less"), LogisticRegression(), accuracy_score
    split = split_table(X, y)
    result = next(compare(split, [3]))
    assert split.score_name == score_name
    assert result.unpredicted.shape == (50,)
    train, test = map(result.reducer.transform, (split.X_train, split.X_test))
    predicted = make_pipeline(StandardScaler(), model).fit(train, split.y_train).predict(test)
    assert result.score == pytest.approx(metric(split.y_test, predicted))


def test_every_method_is_reported_at_every_size_with_its_parameters(iris, methods):
    reports = []
    results = list(
        compare(
            split_table(iris[0]),
            [2, 3],
            random_state=5,
            network_params={"tol": 0.5},
            report=lambda *step: reports.append(step),
        )
    )
    assert reports == [(result.method, result.n_components) for result in results]
    assert reports == [(method, size) for size in (2, 3) for method in comparing.METHODS]
    assert [result.reducer.tol for result in results] == [0.0, 0.5, 0.5] * 2
    assert {result.reducer.random_state for result in results} == {5}


def test_one_fit_of_each_method_serves_all_sizes(iris, methods):
    fitted = []

    class Recorded(PCA):
        def fit(self, X, y=None):
            fitted.append(self.n_components)
            return super().fit(X)

    methods(Recorded, partial(AutoencoderTransformer, max_iter=0))
    results = list(compare(split_table(iris[0]), [1, 3, 2]))
    assert fitted == [3]
    assert [result.n_components for result in results[::3]] == [1, 3, 2]
    for i in range(3):
        assert len({result.fit_seconds for result in results[i::3]}) == 1
    ours = [result.reducer for result in results[2::3]]
    assert [model.n_components_ for model in ours] == [1, 3, 2]
    assert ours[0].net_.history_ is ours[1].net_.history_


def test_pca_of_a_smaller_size_is_that_of_sklearn(iris, methods):
    split = split_table(iris[0])
    for result in list(compare(split, [1, 2, 3]))[::3]:
        pca = PCA(result.n_components).fit(split.X_train)
        assert result.reducer.get_params()["n_components"] == result.n_components
        assert result.reducer.n_components_ == result.n_components
        for name in ("components_", "noise_variance_", *comparing.SPECTRA):
            np.testing.assert_allclose(getattr(result.reducer, name), getattr(pca, name))
        scores = result.reducer.score_samples(split.X_test)
        np.testing.assert_allclose(scores, pca.score_samples(split.X_test))


def test_encoder_and_reducer_make_a_pipeline_that_scores_the_same(iris, methods):
    split = split_table(*iris)
    result = next(compare(split, [2]))
    pipeline = make_pipeline(split.columns, result.reducer)
    np.testing.assert_allclose(
        pipeline.transform(split.columns.inverse_transform(split.X_test)),
        result.reducer.transform(split.X_test),
    )
