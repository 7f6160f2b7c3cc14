"""The one line that every benchmark ends with."""


def report(name: str, figure: str, goal: str, *, met: bool) -> bool:
    """Print `name: figure (goal …)`. Returns `met`, of which the exit code is made."""
    print(f"{name}: {figure} (goal {goal}){'' if met else ', missed'}", flush=True)
    return met
