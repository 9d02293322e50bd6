"""The spaces of registered apps, made from their declarations."""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property
from threading import Lock

from api.wiring import make_space
from autorag.apps import App
from autorag.hashing import address
from autorag.space import Space, declared_space

KEPT = 256


class Spaces:
    """Makes the space of an app, and keeps those that were made last."""

    def __init__(self) -> None:
        self._made: OrderedDict[str, Space] = OrderedDict()
        self._lock = Lock()

    @cached_property
    def reference(self) -> Space:
        """The space of the reference pipeline on this machine."""
        return make_space()

    def of(self, app: App) -> Space:
        """The space that an app declared."""
        return self.declared(app.space)

    def declared(self, declaration: object) -> Space:
        """The space of a declaration; None is all of the reference pipeline.

        Raises:
            ConfigError: the declaration is no space.
        """
        name = address(declaration)
        with self._lock:
            if name in self._made:
                self._made.move_to_end(name)
                return self._made[name]
        space = declared_space(declaration, self.reference)  # type: ignore[arg-type]
        with self._lock:
            self._made[name] = space
            while len(self._made) > KEPT:
                self._made.popitem(last=False)
        return space
