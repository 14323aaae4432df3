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


@dataclass
class Worker:
    """The process of one worker."""

    recipe: Recipe  # of the features
    views: Views  # names of the views in the store
    equip: Equip  # makes the backbone and the reader of videos
    files: dict[str, bytes]  # of the backbone
    threads: int  # that it may use
    equipment: Equipment | None = None  # once it is prepared

    def prepare(self) -> Ready | RemoteError:
        """Loads the backbone: takes seconds."""
        try:
            self.equipment = self.equip(self.files, self.threads)
            encoder = self.equipment.encoder
            if encoder.digest != self.recipe.backbone_digest:
                raise ToolError("the backbone came with other weights than were sent; run again")
        except Exception as error:  # noqa: BLE001 - the driver raises it
            return _as_text(error)
        return Ready(
            host=socket.gethostname(),
            versions=self.equipment.versions,
            runtime=type(encoder).__name__,
        )

    def embed(self, unit: Unit) -> UnitReport | RemoteError:
        """Embeds a work unit."""
        try:
            if self.equipment is None:
                raise ValueError("prepare must come first")
            return embed_unit(unit, self.recipe, self.views, self.equipment, threads=self.threads)
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
