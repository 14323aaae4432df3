"""What runs on each node of a cluster: embeds work units and returns their results.

Errors travel as text, since not every exception can be pickled.
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
    """A worker has loaded the backbone; `versions` are of its programs."""

    host: str
    versions: dict[str, str]
    runtime: str


@dataclass(frozen=True, kw_only=True)
class RemoteError:
    """An error that was raised on `host`; `error` is the name of its class."""

    host: str
    error: str
    message: str
    trace: str


class Worker:
    """The process of one worker.

    Args:
        recipe: of the features.
        views: names of the views in the store.
        equip: makes the backbone and the reader of videos.
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

    def prepare(self) -> Ready | RemoteError:
        """Loads the backbone: takes seconds."""
        try:
            self._equipment = self._equip(self._files, self._threads)
            encoder = self._equipment.encoder
            if encoder.digest != self._recipe.backbone_digest:
                raise ToolError("the backbone came with other weights than were sent; run again")
        except Exception as error:  # noqa: BLE001 - the driver raises it
            return _as_text(error)
        return Ready(
            host=socket.gethostname(),
            versions=self._equipment.versions,
            runtime=type(encoder).__name__,
        )

    def embed(self, unit: Unit) -> UnitReport | RemoteError:
        """Embeds a work unit."""
        try:
            if self._equipment is None:
                raise ValueError("prepare must come first")
            return embed_unit(
                unit, self._recipe, self._views, self._equipment, threads=self._threads
            )
        except Exception as error:  # noqa: BLE001 - the driver raises it
            return _as_text(error)


def _as_text(error: Exception) -> RemoteError:
    return RemoteError(
        host=socket.gethostname(),
        error=type(error).__name__,
        message=str(error),
        trace=traceback.format_exc(),
    )


def raise_remote_error(error: RemoteError) -> None:
    """Raises on the driver what was raised on a worker."""
    kind = getattr(errors, error.error, None)
    if isinstance(kind, type) and issubclass(kind, UnmaskError) and kind is not errors.VideoError:
        raise kind(f"{error.host}: {error.message}")
    raise RuntimeError(f"a worker on {error.host} failed:\n{error.trace}")
