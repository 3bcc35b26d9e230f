"""Rows that come one part after the other, learned from in turn on a cluster."""

import dask.dataframe as dd
import joblib
from dask_ml.wrappers import Incremental
from distributed import Client

from sklearn_ae import AutoencoderTransformer

if __name__ == "__main__":
    with Client(n_workers=2, threads_per_worker=1):
        X = dd.read_parquet("rows").to_dask_array(lengths=True)
        autoencoder = AutoencoderTransformer(4, max_iter=5, random_state=0)
        incremental = Incremental(autoencoder, shuffle_blocks=False).fit(X)
        joblib.dump(incremental.estimator_, "autoencoder.joblib")
