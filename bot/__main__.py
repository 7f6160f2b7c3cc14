"""`python -m bot`."""

import sys

if __name__ == "__main__":
    try:
        from bot.cli import cli
    except KeyboardInterrupt:  # whoever stops it that soon knows why
        sys.exit(130)
    cli(prog_name="python -m bot")
