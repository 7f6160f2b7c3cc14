"""What the bot and the pipelines say to each other: requests, artifacts, progress, errors.

Standard library only, so that the bot's process never imports torch to talk to the GPU's.
"""
