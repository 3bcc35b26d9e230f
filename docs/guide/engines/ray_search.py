"""The same search on Ray."""

import joblib
import pandas as pd
import ray
from ray.util.joblib import register_ray
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import AutoencoderTransformer

if __name__ == "__main__":
    X = pd.read_parquet("rows")
    y = X.pop("x0")
    autoencoder = AutoencoderTransformer(
        max_components=4, max_iter=5, memory="memory", random_state=0
    )
    search = GridSearchCV(
        make_pipeline(StandardScaler(), autoencoder, Ridge()),
        {"autoencodertransformer__n_components": [1, 2, 4]},
        cv=3,
    )
    ray.init(num_cpus=2)
    register_ray()
    with joblib.parallel_config("ray"):
        search.fit(X, y)
    joblib.dump(search, "search.joblib")
