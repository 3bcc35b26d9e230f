"""One fit in two processes: ``torchrun --nproc-per-node 2 torchrun_fit.py autoencoder.joblib``."""

import sys

import joblib
import numpy as np
from torch.distributed import destroy_process_group, get_rank, get_world_size, init_process_group

from sklearn_ae import AutoencoderTransformer, distributed

init_process_group("gloo")
rows = np.random.default_rng(0).standard_normal((2_000, 20))  # in place of a file that all can read
part = rows[get_rank() :: get_world_size()]
autoencoder = AutoencoderTransformer(4, batch_size=1_024, max_iter=5, random_state=0)
distributed.fit(autoencoder, part)
if get_rank() == 0:
    joblib.dump(autoencoder, sys.argv[1])
destroy_process_group()
