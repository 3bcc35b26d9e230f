"""A search whose fits are shared out among workers; each has all rows of its fold."""

import joblib
import pandas as pd
from distributed import Client
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import AutoencoderTransformer

if __name__ == "__main__":
    X = pd.read_parquet("rows")
    y = X.pop("x0")
    autoencoder = AutoencoderTransformer(
        max_components=4,
        max_iter=5,
        memory="memory",  # a folder that all workers see: sizes share a training
        random_state=0,
    )
    search = GridSearchCV(
        make_pipeline(StandardScaler(), autoencoder, Ridge()),
        {"autoencodertransformer__n_components": [1, 2, 4]},
        cv=3,
    )
    with Client(n_workers=2, threads_per_worker=1), joblib.parallel_config("dask"):
        search.fit(X, y)
    joblib.dump(search, "search.joblib")
