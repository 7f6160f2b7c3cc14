"""What is measured, and how: `python -m benchmarks.policy` and its neighbours."""

from pipelines.environment import prepare_torch

prepare_torch()  # before any of them imports torch, as the bot does
