"""Fit where the partitions are; transform them there, too."""

import dask.dataframe as dd
import joblib
from distributed import Client

import sklearn_ae.dask
from sklearn_ae import AutoencoderTransformer

if __name__ == "__main__":
    with Client(n_workers=2, threads_per_worker=1) as client:
        rows = dd.read_parquet("rows")
        autoencoder = AutoencoderTransformer(4, max_iter=5, random_state=0)
        sklearn_ae.dask.fit(client, autoencoder, rows)

        meta = dict.fromkeys(autoencoder.get_feature_names_out(), float)
        encode = autoencoder.set_output(transform="pandas").transform
        rows.map_partitions(encode, meta=meta).to_parquet("codes")
        joblib.dump(autoencoder, "autoencoder.joblib")
