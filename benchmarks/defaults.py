"""What the default parameters are worth: one change at a time, over many tables.

    python benchmarks/defaults.py DATA_DIR [--variants NAME ...] [--jobs 2]

For each variant the geometric mean, over the cases, of the held-out error as a ratio to PCA's, and
the seconds of all fits together. Compare variants of one run.
"""

import argparse
import functools
import time

import numpy as np
from joblib import Parallel, delayed
from report import print_versions
from sklearn.decomposition import PCA
from skorch.callbacks import LRScheduler
from tables import Split, load_tables, split_table

from sklearn_ae import AutoencoderTransformer

# Tables of every kind that fit within seconds: images, spectra, sensors, measurements.
TABLES = (
    "breast_cancer",
    "cal_housing",
    "digits",
    "letter",
    "mice_protein",
    "satimage",
    "spambase",
    "swiss_roll",
    "tecator",
    "uci_gas",
    "uci_wine",
    "wine",
    "wine_white",
)
VARIANTS = {
    "defaults": {},
    "random": {"init": "random"},
    "relu": {"activation": "relu"},
    "silu": {"activation": "silu"},
    "tanh": {"activation": "tanh"},
    "256": {"hidden_layer_sizes": (256,)},
    "128-128": {"hidden_layer_sizes": (128, 128)},
    "512-512": {"hidden_layer_sizes": (512, 512)},
    "256-256-256": {"hidden_layer_sizes": (256, 256, 256)},
    # A scheduler of one's own replaces the halving.
    "rate not cut": {"callbacks": [LRScheduler("StepLR", step_size=1_000)]},
    "rate 0.001": {"learning_rate_init": 1e-3},
    "rate 0.01": {"learning_rate_init": 1e-2},
    "batch 256": {"batch_size": 256},
    "patience 15": {"n_iter_no_change": 15},
    "patience 50": {"n_iter_no_change": 50},
    "codes as encoded": {"transform_max_iter": 0},
    "2 steps": {"transform_max_iter": 2},
    "20 steps": {"transform_max_iter": 20},
    "140 epochs": {"max_iter": 140},
    "decay 0.01": {"optimizer": "adamw", "weight_decay": 0.01},
}


def run(split: Split, k: int, seed: int, params: dict) -> tuple[float, float]:
    """Return the ratio of the held-out error to PCA's, and seconds."""
    errors = []
    for reducer in (PCA(k), AutoencoderTransformer(k, random_state=seed, **params)):
        start = time.perf_counter()
        reducer.fit(split.X_train)
        seconds = time.perf_counter() - start
        rebuilt = reducer.inverse_transform(reducer.transform(split.X_test))
        errors.append(float(np.sum((split.X_test - rebuilt) ** 2)))
    return errors[1] / errors[0], seconds


def main() -> None:
    """Run the variants and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", help="folder with load.py")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    print_versions()
    cases = []
    for name, X, y in load_tables(args.data_dir):
        if name in TABLES:
            for seed in range(args.seeds):
                split = split_table(X, y, seed)
                cases += [(split, k, seed) for k in split.sizes() if k < 32]
    workers = Parallel(n_jobs=args.jobs, batch_size=1)
    print(f"{len(cases)} cases")
    for variant in args.variants:
        task = functools.partial(run, params=VARIANTS[variant])
        ratios, seconds = zip(*workers(delayed(task)(*case) for case in cases), strict=True)
        mean = np.exp(np.mean(np.log(ratios)))
        print(
            f"{variant:>16}: geometric mean {mean:.3f}, worst {max(ratios):.3f}, all fits "
            f"{sum(seconds):.0f} s, longest {max(seconds):.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
