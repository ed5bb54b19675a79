"""The tests are about CPUs, on a machine with GPUs, too; `CUDA_VISIBLE_DEVICES=0 make test` lets them take one."""

import os

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
