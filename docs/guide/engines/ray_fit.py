"""Fit on two workers of Ray, each with its share of the rows; transform where the rows are."""

import os

import joblib
import pandas as pd
import ray
from ray.train import Checkpoint, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from sklearn_ae import AutoencoderTransformer, distributed


def fit_share(parameters):
    """Run by each worker, in the process group that Ray made."""
    share = ray.train.get_dataset_shard("train").iter_batches(batch_format="pandas")
    X = pd.concat(share)
    autoencoder = distributed.fit(AutoencoderTransformer(**parameters), X)
    checkpoint = None
    if ray.train.get_context().get_world_rank() == 0:
        joblib.dump(autoencoder, "autoencoder.joblib")
        checkpoint = Checkpoint.from_directory(".")
    ray.train.report({"loss": autoencoder.best_loss_}, checkpoint)


class Encode:
    """Run by an actor of Ray, which loads the autoencoder once."""

    def __init__(self, checkpoint):
        with checkpoint.as_directory() as folder:
            self.autoencoder = joblib.load(f"{folder}/autoencoder.joblib")

    def __call__(self, rows):
        """Return the codes of a batch."""
        return {"code": self.autoencoder.transform(rows)}


if __name__ == "__main__":
    ray.init(num_cpus=4)
    rows = ray.data.read_parquet("rows")
    trainer = TorchTrainer(
        fit_share,
        train_loop_config={"n_components": 4, "max_iter": 5, "random_state": 0},
        scaling_config=ScalingConfig(num_workers=2),
        run_config=RunConfig(storage_path=os.path.abspath("runs")),
        datasets={"train": rows},
    )
    checkpoint = trainer.fit().checkpoint
    rows.map_batches(
        Encode, fn_constructor_args=[checkpoint], batch_format="pandas", concurrency=1
    ).write_parquet("codes")
    checkpoint.to_directory("fitted")
