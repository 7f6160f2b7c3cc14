"""The choice of what runs next. Pure: plain data in, a job's id out; no clock, no I/O.

Members take turns by GPU-seconds, not by jobs. Each member has a *turn*, a virtual time in
seconds: running a job moves its owner's turn on by the job's GPU-seconds divided by the owner's
weight, and the member whose turn is earliest goes next; a member's own jobs run in the order in
which they came. Whoever comes with nothing waiting starts at the earliest turn among those who
wait (or their own, if that is later): to have been away earns nothing and costs nothing. This
is start-time fair queueing (Goyal, Vin and Cheng, "Start-time Fair Queueing", SIGCOMM 1996) with
members for flows and GPU-seconds for bytes.

One thing is put before fairness: a job whose models are all resident counts as if its turn were
`patience` seconds earlier. Two bounds hold that in check, whatever arrives:

- *Fairness.* Any two members who both have jobs waiting throughout some time get GPU-seconds per
  weight that differ by at most `2 · patience + c₁/w₁ + c₂/w₂`, c being a member's longest job and
  w its weight. For turns of waiting members lie within `[earliest, earliest + patience + c/w]`:
  none beyond `earliest + patience` is chosen. Without `patience` it is Goyal's Theorem 1.
- *Time.* From the moment a job is next by turn and is passed over, until it is chosen at the
  first decision after `patience` seconds, whatever is resident.

Every operation is O(log n) in the number of waiting jobs, amortised, for a handful of models.
"""

from dataclasses import dataclass, field

Models = frozenset[str]
Turn = tuple[float, float, int]
"""When it is a job's turn: virtual seconds; ties go to who has waited longest, then came first."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A waiting job. `came` numbers the calls of `add`."""

    id: str
    owner: int
    seconds: float
    models: Models
    queued_at: float
    came: int
    passed_at: float | None = None
    gone: bool = False

    def __lt__(self, other: "_Waiting") -> bool:
        return (self.queued_at, self.came) < (other.queued_at, other.came)


@dataclass(slots=True, eq=False)
class _Member:
    """An owner's turn and waiting jobs, a heap. `stamp` tells its newest entry from older ones."""

    turn: float
    jobs: list[_Waiting] = field(default_factory=list)
    stamp: int = 0
