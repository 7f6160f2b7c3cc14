"""What a member sees: messages, buttons, progress. Discord shapes live here, decisions do not."""
