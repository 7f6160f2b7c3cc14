"""What can be made to go wrong: answers refused, held back or cut off, route by route."""

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase

from tests.loopback.problems import ApiProblem


class Cut(Enum):
    """When the connection breaks: before Discord has done what was asked, or after."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(eq=False)
class Gate:
    """Holds requests back until it is opened."""

    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def passed(self) -> None:
        self.arrived.set()
        await self.opened.wait()

    def open(self) -> None:
        self.opened.set()


@dataclass(eq=False)
class Fault:
    """Meets `times` requests whose method and path match; `path` is a shell pattern.

    With `uploads` it meets only those that carry files.
    """

    method: str
    path: str
    times: int
    problem: ApiProblem | None = None
    cut: Cut | None = None
    gate: Gate | None = None
    uploads: bool = False
    met: int = 0

    def matches(self, method: str, path: str, *, uploads: bool) -> bool:
        if self.met >= self.times or (self.uploads and not uploads):
            return False
        return method == self.method and fnmatchcase(path, self.path)


ALWAYS = 10**9


class Faults:
    """The faults to come, the first that matches being met.

    Paths lack the `/api/v10`. With `uploads` only requests that carry files meet the fault.
    """

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def refuse(
        self, method: str, path: str, problem: ApiProblem, *, times: int = 1, uploads: bool = False
    ) -> Fault:
        """Answer with `problem` and do nothing."""
        return self._add(Fault(method, path, times, problem=problem, uploads=uploads))

    def fail(
        self, method: str, path: str, status: int, *, times: int = 1, uploads: bool = False
    ) -> Fault:
        """Answer as a server that is ill: 500, 502, 503 …"""
        problem = ApiProblem(status, 0, "upstream error")
        return self.refuse(method, path, problem, times=times, uploads=uploads)

    def cut(
        self, method: str, path: str, when: Cut, *, times: int = 1, uploads: bool = False
    ) -> Fault:
        """Break the connection without an answer."""
        return self._add(Fault(method, path, times, cut=when, uploads=uploads))

    def hold(self, method: str, path: str, *, times: int = 1, uploads: bool = False) -> Gate:
        """Hold requests back until the gate is opened; then serve them."""
        gate = Gate()
        self._add(Fault(method, path, times, gate=gate, uploads=uploads))
        return gate

    def clear(self) -> None:
        """Let everything work again, and everything held back pass."""
        for fault in self._faults:
            if fault.gate is not None:
                fault.gate.open()
        self._faults.clear()

    def meet(self, method: str, path: str, *, uploads: bool) -> Fault | None:
        """The fault that a request meets, one of its times used up."""
        for fault in self._faults:
            if fault.matches(method, path, uploads=uploads):
                fault.met += 1
                return fault
        return None

    def _add(self, fault: Fault) -> Fault:
        self._faults.append(fault)
        return fault
