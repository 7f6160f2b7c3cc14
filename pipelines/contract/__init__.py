"""What the bot and the pipelines say to each other: requests, artifacts, progress, errors.

Standard library only, so that the bot talks to the GPU's threads without importing torch.
"""
