"""
Saved with skops, run with ONNX
===============================

A fitted pipeline is saved without pickle and loaded again, then converted to ONNX as a whole: a
program that has neither scikit-learn nor torch runs it.

Needs ``pip install "sklearn_ae[skops,onnx]"``.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
import skl2onnx
import skops.io
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_ae.onnx
from sklearn_ae import AutoencoderTransformer

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
pipeline = make_pipeline(
    StandardScaler(),
    AutoencoderTransformer(8, max_iter=20, transform_max_iter=2, random_state=0),
    LogisticRegression(max_iter=5000),
).fit(X_train, y_train)
print(f"accuracy on test rows: {pipeline.score(X_test, y_test):.3f}")

# %%
# **skops.** The file names every type that is not part of scikit-learn. Trust exactly those of this
# package: then a file runs no code, whoever wrote it.
saved = skops.io.dumps(pipeline)
types = skops.io.get_untrusted_types(data=saved)
print(f"{len(saved) / 2**20:.1f} MB; to trust: {types}")
loaded = skops.io.loads(saved, trusted=sklearn_ae.SKOPS_TYPES)
np.testing.assert_array_equal(loaded.predict_proba(X_test), pipeline.predict_proba(X_test))

# %%
# **ONNX.** ``register`` teaches skl2onnx the two autoencoders; scaler and classifier it knows. Each
# of the steps that improve a code becomes part of the graph, and takes seconds to convert.
sklearn_ae.onnx.register()
converted = skl2onnx.to_onnx(pipeline, X_train[:1].astype(np.float32), options={"zipmap": False})
session = onnxruntime.InferenceSession(converted.SerializeToString())
labels, probabilities = session.run(None, {"X": X_test.astype(np.float32)})
expected = pipeline.predict_proba(X_test)
print(f"largest difference of a probability: {np.abs(probabilities - expected).max():.1e}")

# %%
# An autoencoder alone, there and back:
encoder = pipeline[1]
scaled = pipeline[0].transform(X_test).astype(np.float32)
model = sklearn_ae.onnx.to_onnx(encoder, part="reconstruct")
session = onnxruntime.InferenceSession(model.SerializeToString())
(rebuilt,) = session.run(None, {"X": scaled})
difference = np.abs(rebuilt - encoder.reconstruct(scaled)).max(axis=1)

figure, axes = plt.subplots(2, 8, figsize=(10, 2.8), layout="constrained")
back = pipeline[0].inverse_transform(rebuilt[:8])
for column, row, image in zip(axes.T, X_test, back, strict=False):
    for ax, pixels in zip(column, [row, image], strict=True):
        ax.imshow(pixels.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        ax.axis("off")
figure.suptitle(f"Rebuilt by onnxruntime; largest difference {difference.max():.0e}")

# %%
plt.show()
