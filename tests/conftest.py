"""The tests are about CPUs, on a machine with GPUs, too; `CUDA_VISIBLE_DEVICES=0 make test` lets them take one."""

import os

from hypothesis import HealthCheck, settings

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

# No example is wrong because the machine was busy with something else; half as many as usual keep `make test` short.
settings.register_profile("untimed", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
