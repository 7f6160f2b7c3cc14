"""How the demo's models were made, and can be made again: `python -m demo.train`."""
