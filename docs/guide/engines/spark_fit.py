"""Fit in two processes that Spark starts, each with its share of the files; transform in SQL."""

from pathlib import Path

import joblib
import pandas as pd
import pyarrow.dataset
import torch.distributed as dist
from pyspark.ml.functions import predict_batch_udf
from pyspark.ml.torch.distributor import TorchDistributor
from pyspark.sql import SparkSession
from pyspark.sql.functions import struct
from pyspark.sql.types import ArrayType, DoubleType

from sklearn_ae import AutoencoderTransformer, distributed


def fit_share(folder, parameters):
    """Run by each process; its files are read run by run, and never whole."""
    dist.init_process_group("gloo")
    files = sorted(map(str, Path(folder).glob("*.parquet")))
    share = pyarrow.dataset.dataset(files[dist.get_rank() :: dist.get_world_size()])
    autoencoder = distributed.fit(AutoencoderTransformer(**parameters), share)
    dist.destroy_process_group()
    return autoencoder


def load_encoder():
    """Run by each process that encodes, once."""
    autoencoder = joblib.load("autoencoder.joblib")
    names = autoencoder.feature_names_in_
    return lambda rows: autoencoder.transform(pd.DataFrame(rows, columns=names))


if __name__ == "__main__":
    spark = SparkSession.builder.master("local[2]").getOrCreate()
    distributor = TorchDistributor(num_processes=2, local_mode=True, use_gpu=False)
    parameters = {"n_components": 4, "max_iter": 5, "random_state": 0}
    autoencoder = distributor.run(fit_share, "rows", parameters)
    joblib.dump(autoencoder, "autoencoder.joblib")

    encode = predict_batch_udf(load_encoder, return_type=ArrayType(DoubleType()), batch_size=1024)
    rows = spark.read.parquet("rows")
    rows.withColumn("code", encode(struct(*rows.columns))).write.parquet("codes")
    spark.stop()
