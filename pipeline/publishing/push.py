"""`unmask push`: a bundle as a repository of the Hugging Face Hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.bundle import Bundle
from pipeline.bundle_card import bundle_card
from pipeline.evaluation.bundle_test_result import read_result
from pipeline.publishing.hub import upload
from pipeline.publishing.repository import HubName


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """A bundle that is on the Hub."""

    name: HubName  # with the commit as its revision
    public: bool  # as a new repository was made
    people: int  # whose names, of groups, are in the record that was published


def push_bundle(folder: Path, repository: str, *, public: bool) -> Pushed:
    """Puts a bundle on the Hub, under owner/name, with its model card.

    Raises:
        ConfigError: the name is no owner/name.
        InputError, StoreError: the bundle cannot be read whole.
        ToolError: the Hub cannot be reached, or refuses.
    """
    name = HubName.parse(repository)
    bundle = Bundle.load(folder)
    card = bundle_card(bundle, result=read_result(folder), name=str(name))
    commit = upload(folder, name.repository, card, public=public)
    people = {group for part in bundle.trained_on.values() for group in part.get("groups", ())}
    return Pushed(
        name=HubName(repository=name.repository, revision=commit),
        public=public,
        people=len(people),
    )
