"""The slash commands, used as a member uses them."""
