"""
Layer by layer pretraining
==========================

Before good starts and optimizers were known, deep autoencoders could not be trained at all. The one
of 2006 [1]_ was pretrained layer by layer: each pair of layers as a restricted Boltzmann machine,
stacked, unrolled, and trained on. Here the same network of logistic units, with and without.

.. [1] G. Hinton and R. Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks,
   Science 313:504, 2006.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.pretraining import RBMPretraining

X = load_digits().data / 16
X_train, X_test = train_test_split(X, random_state=0)
classic = AutoencoderTransformer(
    8,
    hidden_layer_sizes=(128, 64, 32),
    activation="logistic",
    init="random",
    loss="binary_log_loss",
    max_iter=40,
    random_state=0,
)

# %%
# Both see the rows as often: what the pretraining takes, twenty passes a layer, is left out of the
# curves but named here.
drawn = classic.fit(X_train)
curves = {"as drawn": drawn.validation_loss_curve_}
scores = {"as drawn": drawn.score(X_test)}
pretrained = AutoencoderTransformer(
    **{**classic.get_params(), "pretraining": RBMPretraining(max_iter=20)}
).fit(X_train)
curves["pretrained"] = pretrained.validation_loss_curve_
scores["pretrained"] = pretrained.score(X_test)

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
for (name, curve), color in zip(curves.items(), ["0.35", "#0072B2"], strict=True):
    ax.plot(np.arange(1, len(curve) + 1), curve, color=color, label=name)
ax.axhline(drawn.pca_loss_, color="0.6", linestyle=":", label="PCA")
ax.set(
    xlabel="epoch",
    ylabel="held-out cross-entropy, nats a pixel",
    title="A deep network of logistic units",
)
ax.legend(frameon=False)

# %%
# Variance explained on test rows:
for name, score in scores.items():
    print(f"{name}: {score:.3f}")

# %%
plt.show()
