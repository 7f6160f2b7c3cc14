"""The slash commands: read the options, make a Request, submit it."""
