"""
Few labels
==========

Images are cheap, labels are not. Codes are learned from all images, without a label; a classifier
then learns from the few that have one, here ten of each digit and fewer.
"""

# %%
# Ten draws of the labelled images for each number. The test images are in no fit.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import FunctionTransformer

from sklearn_ae import DenoisingAutoencoderTransformer

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

reducers = {
    "pixels": FunctionTransformer(),
    "PCA": PCA(8, random_state=0),
    "denoising autoencoder": DenoisingAutoencoderTransformer(8, random_state=0),
}
numbers = [1, 2, 5, 10]
errors = {}
for name, reducer in reducers.items():
    codes, test_codes = reducer.fit(X_train).transform(X_train), reducer.transform(X_test)
    scale = codes.std()
    for number in numbers:
        rng = np.random.default_rng(0)
        found = []
        for _ in range(10):
            rows = np.concatenate(
                [rng.choice(np.flatnonzero(y_train == digit), number) for digit in range(10)]
            )
            classifier = LogisticRegression(max_iter=5000)
            classifier.fit(codes[rows] / scale, y_train[rows])
            found.append(1 - classifier.score(test_codes / scale, y_test))
        errors[name, number] = found

# %%
figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
styles = [("0.6", "x:"), ("0.35", "s--"), ("#D55E00", "^-.")]
for name, (color, style) in zip(reducers, styles, strict=True):
    means = [np.mean(errors[name, number]) for number in numbers]
    spread = [np.std(errors[name, number]) for number in numbers]
    ax.errorbar(numbers, means, spread, fmt=style, color=color, capsize=3, label=name)
ax.set_xscale("log")
ax.set(
    xlabel="labels of each digit",
    ylabel="test error",
    title="Logistic regression on a few labelled images",
    xticks=numbers,
    xticklabels=numbers,
    ylim=(0, None),
)
ax.minorticks_off()
ax.legend(frameon=False)

# %%
plt.show()
