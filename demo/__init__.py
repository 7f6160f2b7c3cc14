"""The bot without an account or a GPU. Nobody imports this package."""
