"""The types of what `unmask store inspect --json` prints: their keys, with what each means.

`pipeline.cli.help.json_schemas` makes the published JSON Schema of them. Some keys have spaces, as
the terminal shows them; those are described by `Field`, since they are no names of Python.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from features.store.key import DType


class SpreadFacts(TypedDict):
    """A statistic over the D dimensions."""

    min: float  # of the dimension where it is smallest
    mean: float  # over all dimensions
    max: float  # of the dimension where it is largest


class DimensionsFacts(TypedDict, total=False):
    """Statistics over all frames; empty where there is no frame."""

    mean: SpreadFacts  # of each dimension's mean over frames
    std: SpreadFacts  # of each dimension's standard deviation, of the population
    smallest: float  # the smallest number in all embeddings
    largest: float  # the largest number in all embeddings
    dead_dimensions: int  # number of dimensions with one value in all frames


class EachDimensionFacts(TypedDict):
    """Statistics over all frames of every dimension: D numbers each."""

    mean: list[float]  # mean over frames
    std: list[float]  # standard deviation over frames, of the population
    smallest: list[float]  # smallest value over frames
    largest: list[float]  # largest value over frames


class FolderFacts(TypedDict):
    """What is known of every folder."""

    folder: str  # path of the folder
    videos: int  # number of videos; in a store, those of each recipe
    size_bytes: int  # of its shards, together


_SpacedShardsFacts = TypedDict(
    "_SpacedShardsFacts",
    {
        "frames per video": Annotated[str, Field(description='least and most, as "8 to 32"')],
        "faces seen": Annotated[
            str,
            Field(description='share of frames with a face, as "98.5% of frames"'),
        ],
        "frames recipe": Annotated[
            dict[str, Any], Field(description="which frames and crops, as params.yaml names it")
        ],
    },
)


class ShardsFacts(FolderFacts, _SpacedShardsFacts):
    """Shards of one recipe."""

    frames: int  # number of frames of all videos
    shards: int  # number of shards
    dim: int  # D, the length of one embedding
    mean: float  # mean of all numbers in all embeddings
    largest: float  # the largest number in all embeddings
    dimensions: DimensionsFacts  # statistics over all frames
    dtype: DType  # of the stored numbers
    backbone: str  # its name
    backbone_digest: str  # sha256 over its weights, hex
    recipe_digest: str  # sha256 over all that changes the numbers, hex
    pixels_version: int  # of the code that made the crops
    face_detector: str | None  # digest of the face finder; None where none is used
    versions: dict[str, str]  # program -> its version; several where several runs made the shards
    # every dimension's own statistics; left out where there is no frame
    each_dimension: NotRequired[EachDimensionFacts]


_SpacedFeatureSetFacts = TypedDict(
    "_SpacedFeatureSetFacts",
    {
        "augmented views": Annotated[
            int, Field(description="number of augmented sequences of training videos")
        ],
        "trained on": Annotated[
            dict[str, str],
            Field(description="split -> videos and groups that trained the backbone, in words"),
        ],
    },
)


class FeatureSetCounts(_SpacedFeatureSetFacts):
    """What a feature set has beside its shards."""

    views: int  # number of views of each training video, the video as it is among them
    failures: int  # number of videos that gave no features
    # what of the validation videos had trained the backbone, in words; left out if nothing
    mind: NotRequired[str]


class FeatureSetFacts(ShardsFacts, FeatureSetCounts):
    """A feature set."""


PartCounts = TypedDict(
    "PartCounts",
    {
        "staged videos": Annotated[
            int, Field(description="number of finished videos that are not yet in a shard")
        ],
        "unreadable shards": Annotated[
            int, Field(description="number of damaged shards, which nothing else here counts")
        ],
    },
)


class EmptyPartFacts(FolderFacts, PartCounts):
    """One recipe's part of a store, without a readable shard."""


class PartFacts(ShardsFacts, PartCounts):
    """One recipe's part of a store."""


class StoreFacts(FolderFacts):
    """A store, or one recipe's part of it."""

    recipes: list[PartFacts | EmptyPartFacts]  # of each recipe, its part
