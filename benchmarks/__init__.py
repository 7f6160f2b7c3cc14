"""What is measured, and how: `python -m benchmarks.policy` and its neighbours."""
