"""What runs on each node of a cluster: takes a unit, embeds it, hands a report back.

Errors travel as text, since not every exception survives the journey between processes.
"""

from __future__ import annotations

import socket
import traceback
from dataclasses import dataclass

from data import errors
from data.errors import ToolError, UnmaskError
from features.cluster.work_units import Equip, Equipment, Unit, UnitReport, embed_unit
from features.store.key import Recipe
from features.store.views import Views


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What a worker says when it can begin.

    Attributes:
        host: where it runs.
        versions: of its programs.
        runtime: of its backbone.
    """

    host: str
    versions: dict[str, str]
    runtime: str


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """An error on its way here, as text: not every exception survives the journey.

    Attributes:
        host: where it happened.
        error: name of its class.
        message: what it says.
        trace: where it came from, for us.
    """

    host: str
    error: str
    message: str
    trace: str


class Worker:
    """What runs on a node, one process for each.

    Args:
        recipe: of the features.
        views: what views are called.
        equip: gives it what it embeds with.
        files: of the backbone.
        threads: that it may use.
    """

    def __init__(
        self, recipe: Recipe, views: Views, equip: Equip, files: dict[str, bytes], threads: int
    ) -> None:
        self._recipe = recipe
        self._views = views
        self._equip = equip
        self._files = files
        self._threads = threads
        self._equipment: Equipment | None = None

    def prepare(self) -> Ready | Trouble:
        """Loads the backbone: takes seconds."""
        try:
            self._equipment = self._equip(self._files, self._threads)
            encoder = self._equipment.encoder
            if encoder.digest != self._recipe.backbone_digest:
                raise ToolError("the backbone came with other weights than were sent; run again")
        except Exception as error:  # noqa: BLE001 - told to the driver, which judges it
            return _trouble(error)
        return Ready(
            host=socket.gethostname(),
            versions=self._equipment.versions,
            runtime=type(encoder).__name__,
        )

    def embed(self, unit: Unit) -> UnitReport | Trouble:
        """Embeds a unit."""
        try:
            if self._equipment is None:
                raise ValueError("prepare must come first")
            return embed_unit(
                unit, self._recipe, self._views, self._equipment, threads=self._threads
            )
        except Exception as error:  # noqa: BLE001 - told to the driver, which judges it
            return _trouble(error)


def _trouble(error: Exception) -> Trouble:
    return Trouble(
        host=socket.gethostname(),
        error=type(error).__name__,
        message=str(error),
        trace=traceback.format_exc(),
    )


def raise_trouble(trouble: Trouble) -> None:
    """Raises here what was raised there."""
    kind = getattr(errors, trouble.error, None)
    if isinstance(kind, type) and issubclass(kind, UnmaskError) and kind is not errors.VideoError:
        raise kind(f"{trouble.host}: {trouble.message}")
    raise RuntimeError(f"a worker on {trouble.host} failed:\n{trouble.trace}")
