import copy
import random
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import count, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.jobs.policy import Policy, best_card
from tests.jobs.plain_policy import PlainPolicy

SKETCH, IMAGINE, ANIMATE = frozenset({"caption", "sketch"}), frozenset({"imagine"}), frozenset("a")
MODELS = (SKETCH, IMAGINE, ANIMATE, IMAGINE | ANIMATE)
RESIDENTS = (frozenset[str](), *MODELS, SKETCH | IMAGINE)
PATIENCE = 50.0

owners = st.integers(1, 4)
costs = st.sampled_from([1.0, 10.0, 30.0])
models = st.sampled_from(MODELS)
residents = st.sampled_from(RESIDENTS)
cards = st.lists(residents, min_size=1, max_size=3)


def _weight(owner: int) -> float:
    return 1.0 if owner % 2 else 2.0


def _run_next(
    policy: Policy | PlainPolicy,
    jobs: dict[str, tuple[int, float]],
    resident: frozenset[str] = IMAGINE,
    now: float = 0.0,
) -> str | None:
    """Pick a job, take it out and charge its owner, as the queue does. `jobs`: (owner, cost)."""
    return _run_next_on(policy, jobs, [resident], now=now)


def _run_next_on(
    policy: Policy | PlainPolicy,
    jobs: dict[str, tuple[int, float]],
    free: Sequence[frozenset[str]],
    busy: Sequence[frozenset[str]] = (),
    now: float = 0.0,
) -> str | None:
    job_id = policy.pick(free=free, busy=busy, now=now)
    if job_id is not None:
        owner, cost = jobs[job_id]
        behind = _is_behind(policy, job_id)
        policy.remove(job_id)
        policy.charge(owner, _weight(owner), cost, behind=behind)
    return job_id


def _is_behind(policy: Policy | PlainPolicy, job_id: str) -> bool:
    return job_id in (policy._added if isinstance(policy, Policy) else policy.behind.jobs)


class PolicyMachine(RuleBasedStateMachine):
    """Policy and PlainPolicy are told the same and must answer the same."""

    @initialize(patience=st.sampled_from([0.0, PATIENCE]))
    def begin(self, patience: float) -> None:
        self.policy = Policy(patience=patience)
        self.plain = PlainPolicy(patience)
        self.jobs: dict[str, tuple[int, float]] = {}
        self.now = 0.0
        self.cards = [IMAGINE]
        self.ids = count()

    @rule(
        jobs=st.lists(st.tuples(owners, costs, models), min_size=1, max_size=5),
        late=st.sampled_from([0.0, 0.0, 0.0, 7.0]),
        behind=st.sampled_from([False, False, True]),
    )
    def add(self, jobs: list[tuple[int, float, frozenset[str]]], late: float, behind: bool) -> None:
        """`late`: jobs that were queued earlier than they come, as those that are put back."""
        for owner, cost, models in jobs:
            job_id = str(next(self.ids))
            self.jobs[job_id] = (owner, cost)
            at = self.now - late
            for policy in (self.policy, self.plain):
                policy.add(job_id, owner, _weight(owner), cost, models, at, behind=behind)

    @precondition(lambda self: self.plain.behind.jobs)
    @rule(data=st.data())
    def forward(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.plain.behind.jobs)))
        for policy in (self.policy, self.plain):
            policy.forward(job_id)

    @precondition(lambda self: self.plain.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.plain.jobs)))
        for policy in (self.policy, self.plain):
            policy.remove(job_id)

    @rule(
        runs=st.integers(1, 3),
        error=st.sampled_from([0.0, 0.0, -0.5, 20.0]),
        occupied=st.integers(0, 2),
    )
    def run(self, runs: int, error: float, occupied: int) -> None:
        """`error`: by how much the estimates of these jobs turned out to be wrong."""
        occupied = min(occupied, len(self.cards) - 1)
        busy, free = self.cards[:occupied], self.cards[occupied:]
        for _ in range(runs):
            behind = set(self.plain.behind.jobs)
            chosen = _run_next_on(self.policy, self.jobs, free, busy, self.now)
            assert chosen == _run_next_on(self.plain, self.jobs, free, busy, self.now)
            if chosen is not None:
                owner, cost = self.jobs[chosen]
                self.now += cost
                for policy in (self.policy, self.plain):
                    policy.charge(owner, _weight(owner), error, behind=chosen in behind)

    @rule(cards=cards)
    def load(self, cards: list[frozenset[str]]) -> None:
        self.cards = cards

    @invariant()
    def places_are_the_order_of_the_picks(self) -> None:
        assert len(self.policy) == len(self.plain.jobs)
        self.policy.pick(free=self.cards, now=self.now)
        self.plain.pick(free=self.cards, now=self.now)
        rehearsal = copy.deepcopy(self.plain)
        for place in range(1, len(self.plain.jobs) + 1):
            job_id = _run_next_on(rehearsal, self.jobs, self.cards, now=self.now)
            assert job_id is not None
            assert self.policy.place(job_id) == place
        assert self.policy.place("nobody") is None


TestPolicyIsPlain = PolicyMachine.TestCase
TestPolicyIsPlain.settings = settings(max_examples=50, stateful_step_count=50, deadline=None)


def test_who_was_passed_over_behind_is_late_also_while_others_run_in_front() -> None:
    policy = Policy(patience=PATIENCE)
    policy.add("ready", 1, 1.0, 1.0, IMAGINE, 0.0, behind=True)
    policy.add("passed", 2, 1.0, 1.0, SKETCH, 0.0, behind=True)
    policy.charge(1, 1.0, 1.0, behind=True)
    assert policy.pick(free=[IMAGINE], now=0.0) == "ready"
    policy.add("in front", 3, 1.0, 1.0, IMAGINE, PATIENCE)
    assert policy.pick(free=[IMAGINE], now=PATIENCE) == "in front"
    assert [policy.place(job) for job in ("in front", "passed", "ready")] == [1, 2, 3]


class Bench:
    """A bot that is never idle: members who always have jobs waiting, and cards for one model each.

    The card that is free next runs the next job; `resident` is what it has.
    """

    def __init__(self, seed: int, *, patience: float, members: int, cards: int = 1) -> None:
        self.random = random.Random(seed)
        self.policy = Policy(patience=patience)
        self.jobs: dict[str, tuple[int, float]] = {}
        self.models: dict[str, frozenset[str]] = {}
        self.cards = [(0.0, IMAGINE)] * cards
        self.ids = count()
        self.done: Counter[str] = Counter()
        self.served: dict[int, list[float]] = {m: [0.0] for m in range(1, members + 1)}
        self.favourite = {m: self.random.choice(MODELS) for m in self.served}
        for member in self.served:
            for _ in range(3):
                self.submit(member)

    @property
    def now(self) -> float:
        return self.cards[0][0]

    @property
    def resident(self) -> frozenset[str]:
        return self.cards[0][1]

    def submit(self, owner: int) -> None:
        job_id = str(next(self.ids))
        choice = self.random.random() < 0.8
        self.models[job_id] = self.favourite[owner] if choice else self.random.choice(MODELS)
        self.jobs[job_id] = (owner, self.random.uniform(1, 30))
        cost = self.jobs[job_id][1]
        self.policy.add(job_id, owner, _weight(owner), cost, self.models[job_id], self.now)

    def turn(self) -> None:
        now, (resident, *busy) = self.now, [resident for _, resident in self.cards]
        job_id = _run_next_on(self.policy, self.jobs, [resident], busy, now)
        assert job_id is not None
        owner, cost = self.jobs[job_id]
        self.done[job_id] += 1
        self.cards[0] = (now + cost, self.models[job_id])
        self.cards.sort(key=lambda card: card[0])
        for member, served in self.served.items():
            served.append(served[-1] + (cost / _weight(owner) if member == owner else 0.0))
        self.submit(owner)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    members=st.integers(2, 5),
    patience=st.sampled_from([0.0, 40.0]),
    cards=st.integers(1, 3),
)
def test_shares_stay_within_the_bound(seed: int, members: int, patience: float, cards: int) -> None:
    bench = Bench(seed, patience=patience, members=members, cards=cards)
    for _ in range(300):
        bench.turn()
    assert set(bench.done.values()) == {1}, "a job ran twice"
    for one, other in pairwise(bench.served):
        apart = [a - b for a, b in zip(bench.served[one], bench.served[other], strict=True)]
        longest = 30 / _weight(one) + 30 / _weight(other)
        assert max(apart) - min(apart) <= 2 * patience + longest + 1e-6


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), patience=st.sampled_from([0.0, 20.0, 100.0]))
def test_a_flood_of_resident_jobs_delays_another_by_patience_at_most(
    seed: int, patience: float
) -> None:
    flood = random.Random(seed)
    policy, jobs, now = Policy(patience=patience), dict[str, tuple[int, float]](), 0.0
    for i in range(1000):
        jobs[f"flood {i}"] = (1 + i % 3, flood.uniform(1, 10))
        policy.add(f"flood {i}", 1 + i % 3, 1.0, jobs[f"flood {i}"][1], IMAGINE, now)
    for _ in range(20):
        now += jobs[_run_next(policy, jobs, IMAGINE, now) or ""][1]
    jobs["other"] = (9, 5.0)
    policy.add("other", 9, 1.0, 5.0, ANIMATE, now)
    arrived = now
    while (chosen := _run_next(policy, jobs, IMAGINE, now)) != "other":
        assert chosen is not None
        now += jobs[chosen][1]
    assert now - arrived <= patience + 10


def _fill(
    policy: Policy, owner: int, n: int, *, cost: float = 10.0, since: float = 0.0
) -> dict[str, tuple[int, float]]:
    jobs = {f"{owner}-{since:.0f}-{i}": (owner, cost) for i in range(n)}
    for i, job_id in enumerate(jobs):
        policy.add(job_id, owner, _weight(owner), cost, IMAGINE, since + i)
    return jobs


def _seconds(policy: Policy, jobs: dict[str, tuple[int, float]], runs: int) -> dict[int, float]:
    """How long each owner had the GPU in the next `runs` jobs."""
    seconds: dict[int, float] = defaultdict(float)
    for _ in range(runs):
        owner, cost = jobs[_run_next(policy, jobs) or ""]
        seconds[owner] += cost
    return seconds


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), cards=st.integers(1, 3))
def test_what_waits_behind_changes_nothing_in_front(seed: int, cards: int) -> None:
    alone, crowded = (Bench(seed, patience=40.0, members=4, cards=cards) for _ in range(2))
    for i in range(200):
        crowded.policy.add(f"behind {i}", i % 5, 1.0, 5.0, MODELS[i % 4], 0.0, behind=True)
    for _ in range(100):
        alone.turn()
        crowded.turn()
    assert crowded.done == alone.done
    assert crowded.policy.place("behind 0") is not None
    assert len(crowded.policy) == len(alone.policy) + 200


@pytest.fixture
def policy() -> Policy:
    return Policy(patience=PATIENCE)


def test_an_empty_queue_has_nothing_to_run(policy: Policy) -> None:
    assert policy.pick(free=[IMAGINE], now=0.0) is None


def test_seconds_are_shared_not_jobs(policy: Policy) -> None:
    jobs = _fill(policy, 1, 60, cost=2.0) | _fill(policy, 3, 60, cost=20.0)
    shares = _seconds(policy, jobs, 44)
    assert shares[1] == pytest.approx(shares[3], abs=20.0)


def test_a_double_weight_is_a_double_share(policy: Policy) -> None:
    jobs = _fill(policy, 1, 50) | _fill(policy, 2, 50)
    shares = _seconds(policy, jobs, 45)
    assert shares[2] == pytest.approx(2 * shares[1], abs=20.0)


def test_a_newcomer_goes_next_and_then_takes_turns(policy: Policy) -> None:
    jobs = _fill(policy, 1, 200)
    _seconds(policy, jobs, 100)
    jobs |= _fill(policy, 3, 50, since=1000.0)
    assert _seconds(policy, jobs, 2) == {3: 10.0, 1: 10.0}
    shares = _seconds(policy, jobs, 20)
    assert shares[1] == shares[3] == 100.0


def test_having_been_away_is_neither_rewarded_nor_punished(policy: Policy) -> None:
    jobs = _fill(policy, 1, 300) | _fill(policy, 3, 5)
    _seconds(policy, jobs, 200)  # member 3 is done after ten of them and stays away
    jobs |= _fill(policy, 3, 50, since=1000.0)
    shares = _seconds(policy, jobs, 40)
    assert shares[1] == shares[3] == 200.0


def test_a_members_own_jobs_keep_their_order(policy: Policy) -> None:
    jobs = _fill(policy, 1, 5)
    assert [_run_next(policy, jobs) for _ in range(5)] == list(jobs)


def test_adding_a_job_twice_adds_it_once(policy: Policy) -> None:
    _fill(policy, 1, 1)
    _fill(policy, 1, 1)
    assert len(policy) == 1


def test_picking_takes_nothing_out(policy: Policy) -> None:
    _fill(policy, 1, 3)
    assert {policy.pick(free=[IMAGINE], now=0.0) for _ in range(3)} == {"1-0-0"}


def test_a_resident_model_goes_first_until_patience_ends(policy: Policy) -> None:
    policy.add("cold", 1, 1.0, 10.0, ANIMATE, 0.0)
    jobs = {"cold": (1, 10.0)} | _fill(policy, 3, 20, cost=1.0)
    assert _run_next(policy, jobs, IMAGINE, now=0.0) == "3-0-0"
    assert policy.place("cold") == 20
    assert _run_next(policy, jobs, IMAGINE, now=PATIENCE - 1) == "3-0-1"
    assert policy.place("cold") == 19
    assert policy.pick(free=[IMAGINE], now=PATIENCE) == "cold"
    assert policy.place("cold") == 1
    assert _run_next(policy, jobs, IMAGINE, now=PATIENCE) == "cold"


def test_a_resident_job_jumps_no_further_than_patience(policy: Policy) -> None:
    policy.add("cold", 1, 1.0, 10.0, ANIMATE, 0.0)
    jobs = {"cold": (1, 10.0)} | _fill(policy, 3, 20, cost=30.0)
    order = [_run_next(policy, jobs, IMAGINE, now=0.0) for _ in range(3)]
    assert order == ["3-0-0", "3-0-1", "cold"]


def test_what_is_resident_on_a_busy_card_is_not_preferred_but_places_reckon_with_it(
    policy: Policy,
) -> None:
    policy.add("animate", 1, 1.0, 10.0, ANIMATE, 0.0)
    policy.add("imagine", 3, 1.0, 10.0, IMAGINE, 1.0)
    assert policy.pick(free=[SKETCH], busy=[IMAGINE], now=0.0) == "animate"
    assert policy.place("imagine") == 1
    assert policy.pick(free=[SKETCH, IMAGINE], now=0.0) == "imagine"


def test_models_on_two_cards_are_not_resident_on_either(policy: Policy) -> None:
    policy.add("both", 1, 1.0, 10.0, IMAGINE | ANIMATE, 0.0)
    policy.add("one", 3, 1.0, 10.0, IMAGINE, 1.0)
    assert policy.pick(free=[IMAGINE, ANIMATE], now=0.0) == "one"
    assert policy.pick(free=[IMAGINE | ANIMATE], now=0.0) == "both"


def test_who_was_passed_over_goes_to_whichever_card_is_free_when_patience_ends(
    policy: Policy,
) -> None:
    policy.add("cold", 1, 1.0, 10.0, ANIMATE, 0.0)
    jobs = {"cold": (1, 10.0)} | _fill(policy, 3, 20, cost=1.0)
    assert _run_next_on(policy, jobs, [IMAGINE], [SKETCH], 0.0) == "3-0-0"
    assert policy.pick(free=[SKETCH], busy=[IMAGINE], now=1.0) == "cold"
    assert _run_next_on(policy, jobs, [IMAGINE], [SKETCH], PATIENCE - 1.0) == "3-0-1"
    assert policy.pick(free=[IMAGINE], busy=[SKETCH], now=PATIENCE) == "cold"


@pytest.mark.parametrize(
    ("models", "free", "best"),
    [
        (IMAGINE, [SKETCH, IMAGINE], 1),
        (IMAGINE, [frozenset(), frozenset()], 0),
        (IMAGINE, [SKETCH, frozenset()], 1),
        (SKETCH, [IMAGINE, frozenset({"caption"})], 1),
        (IMAGINE, [IMAGINE | SKETCH, IMAGINE], 1),
    ],
)
def test_a_job_goes_where_least_must_be_moved(
    models: frozenset[str], free: list[frozenset[str]], best: int
) -> None:
    assert best_card(models, free) == best


def test_without_patience_residence_does_not_matter() -> None:
    policy = Policy(patience=0.0)
    policy.add("cold", 1, 1.0, 10.0, ANIMATE, 0.0)
    jobs = {"cold": (1, 10.0)} | _fill(policy, 3, 2)
    assert _run_next(policy, jobs, IMAGINE) == "cold"


def test_after_a_restart_those_who_used_more_begin_later_but_not_much() -> None:
    policy = Policy(patience=PATIENCE, usage={1: 1e6, 3: 20.0})
    jobs = _fill(policy, 1, 50) | _fill(policy, 3, 50) | _fill(policy, 5, 50)
    assert _seconds(policy, jobs, 7) == {5: 40.0, 3: 30.0}
    assert _seconds(policy, jobs, 3) == {1: 10.0, 3: 10.0, 5: 10.0}


def test_what_was_given_back_is_kept_when_another_job_comes(policy: Policy) -> None:
    _fill(policy, 3, 1)
    _fill(policy, 1, 1, since=1.0)
    policy.charge(3, 1.0, 20.0)
    policy.charge(1, 1.0, 30.0)
    assert policy.pick(free=[IMAGINE], now=0.0) == "3-0-0"
    policy.charge(1, 1.0, -20.0)  # a job of theirs took less than was thought
    _fill(policy, 1, 1, since=2.0)
    assert [policy.place(job) for job in ("1-1-0", "3-0-0", "1-2-0")] == [1, 2, 3]


@pytest.mark.parametrize("seed", range(3))
def test_places_stay_right_in_a_long_queue_of_small_changes(seed: int) -> None:
    bench = Bench(seed, patience=40.0, members=150)
    bench.policy.place("0")
    for round_ in range(1, 200):
        bench.turn()
        if round_ % 10 == 0:
            bench.policy.remove(bench.random.choice(list(bench.jobs)))
        if round_ % 40 == 0:
            rehearsal = copy.deepcopy(bench.policy)
            rehearsal.pick(free=[bench.resident], now=bench.now)
            places = {job_id: bench.policy.place(job_id) for job_id in bench.jobs}
            bench.policy.pick(free=[bench.resident], now=bench.now)
            for place in range(1, len(rehearsal) + 1):
                job_id = _run_next(rehearsal, bench.jobs, bench.resident, bench.now)
                assert job_id is not None
                assert bench.policy.place(job_id) == place
            assert sum(place is not None for place in places.values()) == len(bench.policy)


def test_who_waits_behind_runs_when_nobody_waits_in_front(policy: Policy) -> None:
    policy.add("behind", 1, 1.0, 10.0, IMAGINE, 0.0, behind=True)
    jobs = {"behind": (1, 10.0)} | _fill(policy, 3, 2, since=9.0)
    assert policy.first(3) == ["3-9-0", "3-9-1", "behind"]
    assert policy.place("behind") == 3
    assert [_run_next(policy, jobs) for _ in range(4)] == ["3-9-0", "3-9-1", "behind", None]


def test_the_first_of_both_lanes_are_as_many_as_were_asked_for(policy: Policy) -> None:
    _fill(policy, 3, 2)
    for i in range(3):
        policy.add(f"behind {i}", 1, 1.0, 10.0, IMAGINE, float(i), behind=True)
    assert policy.first(3) == ["3-0-0", "3-0-1", "behind 0"]


def test_what_ran_behind_is_held_against_nobody_in_front(policy: Policy) -> None:
    policy.add("behind", 1, 1.0, 1000.0, IMAGINE, 0.0, behind=True)
    assert _run_next(policy, {"behind": (1, 1000.0)}) == "behind"
    jobs = _fill(policy, 1, 50) | _fill(policy, 3, 50)
    assert _seconds(policy, jobs, 40) == {1: 200.0, 3: 200.0}


def test_whoever_is_let_forward_takes_their_turn(policy: Policy) -> None:
    policy.add("behind", 1, 1.0, 10.0, IMAGINE, 0.0, behind=True)
    jobs = {"behind": (1, 10.0)} | _fill(policy, 3, 2, since=9.0)
    policy.forward("behind")
    policy.forward("nobody")
    assert policy.place("behind") == 1
    assert [_run_next(policy, jobs) for _ in range(4)] == ["behind", "3-9-0", "3-9-1", None]


def test_memory_does_not_grow_with_what_has_passed(policy: Policy) -> None:
    jobs = _fill(policy, 1, 2)
    for _ in range(5000):
        policy.charge(1, 1.0, 1.0)
    assert sum(map(len, policy._front._heads.values())) < 200
    assert _run_next(policy, jobs) == "1-0-0"


def test_a_place_in_a_long_queue_is_found_quickly_after_any_change(policy: Policy) -> None:
    for i in range(5000):
        policy.add(str(i), i % 1000, 1.0, 10.0, MODELS[i % 4], float(i))
    policy.place("4999")
    before = time.process_time()
    for i in range(5000, 6000):
        policy.add(str(i), i % 1000, 1.0, 10.0, MODELS[i % 4], float(i))
        assert policy.place(str(i)) is not None
    assert time.process_time() - before < 2.0
