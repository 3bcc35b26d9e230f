"""
Choosing the bottleneck by grid search
======================================

The autoencoder is a step of a pipeline like any other: its size is searched by
:class:`~sklearn.model_selection.GridSearchCV`, here for a classifier that comes after it, with PCA
as the other candidate for the same step. All sizes are taken from one training.
"""

# %%
# With ``max_components`` sixteen numbers are trained whatever `n_components` is, and the first of
# them are used. ``memory`` keeps each training in a folder, so that the search trains once for each
# fold, and once more at the end.
import tempfile

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline

from sklearn_ae import AutoencoderTransformer

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

pipeline = Pipeline(
    [("reduce", PCA()), ("classify", LogisticRegression(C=0.05, max_iter=5000))],
)
sizes = [2, 4, 8, 16]
with tempfile.TemporaryDirectory() as folder:
    autoencoder = AutoencoderTransformer(
        max_components=16, memory=folder, max_iter=20, random_state=0
    )
    search = GridSearchCV(
        pipeline,
        {"reduce": [PCA(random_state=0), autoencoder], "reduce__n_components": sizes},
        cv=3,
    ).fit(X_train, y_train)

# %%
# The seconds of a fit with the autoencoder, classifier included: the first size pays for all.
results = search.cv_results_
for size, seconds in zip(sizes, results["mean_fit_time"][4:], strict=True):
    print(f"{size:>2} components: {seconds:.2f} s")

# %%
# The smaller the code, the more there is to gain: with sixteen numbers PCA keeps nearly all that
# the classifier needs.
kinds = np.array([type(reducer).__name__ for reducer in results["param_reduce"]])
figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
for kind, style in [("PCA", "s--"), ("AutoencoderTransformer", "o-")]:
    chosen = kinds == kind
    ax.errorbar(
        sizes,
        results["mean_test_score"][chosen],
        results["std_test_score"][chosen],
        fmt=style,
        capsize=3,
        color="0.35" if kind == "PCA" else "#0072B2",
        label=kind,
    )
ax.set_xscale("log", base=2)
ax.set(
    xlabel="n_components",
    ylabel="accuracy of the classifier",
    title="Three folds: mean and deviation",
    xticks=sizes,
    xticklabels=sizes,
)
ax.legend(frameon=False)

# %%
# The best pipeline was fitted again on all training rows. The test rows were not used so far.
best = search.best_params_
print(f"{type(best['reduce']).__name__} with {best['reduce__n_components']} components")
print(f"accuracy on test rows: {search.score(X_test, y_test):.3f}")

# %%
plt.show()
