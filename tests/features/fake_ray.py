"""Replaces Ray in one process: calls run when they are waited for, workers die on demand."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any


class FakeRayError(Exception):
    """As `ray.exceptions.RayError`: a worker is gone."""


class FakeRayTaskError(FakeRayError):
    """As `ray.exceptions.RayTaskError`: a call raised."""


def sent(value: Any) -> Any:
    """A value as it arrives in another process."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - our own, made one call before


def node(name: str, **resources: float) -> dict[str, Any]:
    """An entry of `ray.nodes()`."""
    return {"NodeID": name, "NodeManagerHostname": name, "Alive": True, "Resources": resources}


class Actor:
    """A worker; what goes in and out is pickled, as it would be."""

    def __init__(self, made: Any, options: dict[str, Any]) -> None:
        self.made = made
        self.options = options
        self.dead = False

    def __getattr__(self, method: str) -> Any:
        def remote(*arguments: Any) -> Call:
            return Call(self, method, sent(arguments))

        return SimpleNamespace(remote=remote)


class Call:
    """A call that has not run yet."""

    def __init__(self, actor: Actor, method: str, arguments: tuple[Any, ...]) -> None:
        self.actor = actor
        self.method = method
        self.arguments = arguments


class FakeRay:
    """The part of the module `ray` that the engine uses.

    Args:
        nodes: of the cluster; a test may change the list.
        around: sees each answer before the driver does, and may change it or raise FakeRayError.
    """

    exceptions = SimpleNamespace(RayError=FakeRayError, RayTaskError=FakeRayTaskError)
    util = SimpleNamespace(
        scheduling_strategies=SimpleNamespace(
            NodeAffinitySchedulingStrategy=lambda node, soft: (node, soft)
        )
    )

    def __init__(
        self,
        nodes: list[dict[str, Any]],
        around: Callable[[Call, Any], Any] = lambda call, answer: answer,
    ) -> None:
        self.cluster = nodes
        self.around = around
        self.actors: list[Actor] = []
        self.connections = 0
        self._draw = random.Random(0)

    @contextmanager
    def connected(self, address: str) -> Any:
        """In place of `features.cluster.engine.connected`."""
        self.connections += 1
        yield self

    def nodes(self) -> list[dict[str, Any]]:
        return self.cluster

    def put(self, value: Any) -> Any:
        return value

    def remote(self, kind: type) -> Any:
        def options(**named: Any) -> Any:
            def remote(*arguments: Any) -> Actor:
                self.actors.append(Actor(kind(*sent(arguments)), named))
                return self.actors[-1]

            return SimpleNamespace(remote=remote)

        return SimpleNamespace(options=options)

    def wait(self, calls: list[Call], num_returns: int, timeout: float) -> tuple[list[Call], Any]:
        """Any worker is the first to answer, but each in the order that it was asked."""
        actor = self._draw.choice(calls).actor
        first = next(call for call in calls if call.actor is actor)
        return [first], [call for call in calls if call is not first]

    def get(self, call: Call) -> Any:
        if call.actor.dead:
            raise FakeRayError("dead")
        answer = getattr(call.actor.made, call.method)(*call.arguments)
        return self.around(call, sent(answer))

    def kill(self, actor: Actor) -> None:
        actor.dead = True
