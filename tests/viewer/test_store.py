"""What is kept in memory is little, short-lived, and gone when it is forgotten."""

from types import SimpleNamespace
from typing import Any

from cfx.viewer.store import Visits


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def thing(number: int) -> Any:
    return SimpleNamespace(number=number)


def test_names_cannot_be_guessed_and_never_repeat() -> None:
    visits = Visits(most=100)
    names = {visits.add(thing(i)) for i in range(50)}
    assert len(names) == 50 and all(len(name) >= 22 for name in names)


def test_the_one_unused_for_longest_goes_first() -> None:
    visits = Visits(most=2)
    first, second = visits.add(thing(1)), visits.add(thing(2))
    assert visits.get(first) is not None
    visits.add(thing(3))
    assert visits.get(second) is None and visits.get(first) is not None and len(visits) == 2


def test_what_nobody_asks_for_expires() -> None:
    clock = Clock()
    visits = Visits(lifetime=10, clock=clock)
    name, other = visits.add(thing(1)), visits.add(thing(2))
    clock.now = 8
    assert visits.get(name) is not None  # and stays for another while
    clock.now = 12
    assert visits.get(other) is None and visits.get(name) is not None
    clock.now = 30
    visits.sweep()
    assert visits._kept == {}


def test_forgetting_is_at_once_and_twice_is_harmless() -> None:
    visits = Visits()
    name = visits.add(thing(1))
    visits.forget(name)
    visits.forget(name)
    assert visits.get(name) is None and len(visits) == 0
