"""The end of a job on its way to its owner."""
