"""Plans the takes of the demo data set and renders one: settings in, frames out, no files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from data.demo.compositing import render
from data.demo.expression import Face
from data.demo.forgery import METHODS, Method, draw_forgery, forge
from data.demo.light import draw_light
from data.demo.motion import perform
from data.demo.person import Person, draw_person
from data.demo.portrait import paint_portrait
from data.demo.scene import Shot, draw_camera
from data.demo.texture import Picture
from data.io.settings import Settings


def even(pixels: int) -> int:
    """Refuses an odd size, which yuv420p cannot hold."""
    if pixels % 2:
        raise ValueError("must be even")
    return pixels


DONORS = 12
"""Random people of whom a swap takes the one with the most similar skin."""


class DemoConfig(Settings):
    """What the demo data set holds."""

    section: ClassVar[str] = "demo"

    # Number of people; each gives one real video and one fake.
    people: Annotated[int, Field(ge=1, le=10_000)] = 60
    # Of everything that is drawn; equal settings give equal bytes on one machine.
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    # Mean length of a video; single ones vary by 20 % either way.
    seconds: Annotated[float, Field(ge=0.2, le=600)] = 2.6
    fps: Annotated[float, Field(ge=1, le=120)] = 25.0  # frames per second
    # Of the frames in pixels, even.
    width: Annotated[int, Field(ge=96, le=4096), AfterValidator(even)] = 320
    # Of the frames in pixels, even; head and hair fill most of it.
    height: Annotated[int, Field(ge=96, le=2160), AfterValidator(even)] = 240
    # Quality of the H.264 encoder, the same for every video; lower is better.
    crf: Annotated[int, Field(ge=0, le=51)] = 23


@dataclass(frozen=True, kw_only=True)
class Take:
    """One video of a person, real or by a method of forgery."""

    person: int
    method: Method | None  # None for a real one

    @property
    def group(self) -> str:
        return f"person_{self.person:03d}"

    @property
    def label(self) -> str:
        return "real" if self.method is None else "fake"

    @property
    def path(self) -> str:
        """Relative to the data set's folder, POSIX."""
        return f"{self.label}/{self.group}.mp4"


def plan(config: DemoConfig) -> list[Take]:
    """Lists every video, reals first; each method is as frequent as the others, in random order.

    A plan of more people begins with that of fewer, so that a data set can grow.
    """
    rng = np.random.default_rng((config.seed, 0))
    methods: list[Method] = []
    while len(methods) < config.people:
        methods += [METHODS[int(index)] for index in rng.permutation(len(METHODS))]
    reals = [Take(person=person, method=None) for person in range(config.people)]
    fakes = [Take(person=person, method=methods[person]) for person in range(config.people)]
    return reals + fakes


def render_take(take: Take, config: DemoConfig) -> Iterator[NDArray[np.uint8]]:
    """Renders one video.

    Yields:
        frames, (height, width, 3) uint8 RGB; at least 2.
    """
    # Both takes of a person have the same length and the same camera, whose noise decides the bit
    # rate: within any set of people both labels then have the same distribution of sizes. All else
    # is drawn for each take.
    shared = np.random.default_rng((config.seed, 1, take.person))
    person = draw_person(shared)
    camera = draw_camera(shared)
    frames = max(2, round(config.seconds * config.fps * shared.uniform(0.8, 1.2)))
    rng = np.random.default_rng((config.seed, 2, take.person, 0 if take.method is None else 1))
    portrait = paint_portrait(person, draw_light(rng))
    performance = perform(rng, frames=frames, fps=config.fps)
    scene, forging = rng.spawn(2)
    picture_at: Callable[[int], Picture]
    if take.method is None:
        face = Face(portrait)

        def picture_at(index: int) -> Picture:
            return face.show(performance.expression(index))
    else:
        picture_at = forge(
            forging,
            draw_forgery(forging, take.method),
            host=portrait,
            donor=_donor(forging, person),
            performance=performance,
            fps=config.fps,
        )
    shot = Shot(width=config.width, height=config.height)
    return render(portrait, performance, picture_at, camera, shot, scene)


def _donor(rng: np.random.Generator, host: Person) -> Person:
    """A random person of similar skin: real swaps are of similar faces, too."""
    candidates = [draw_person(rng) for _ in range(DONORS)]
    return min(candidates, key=lambda other: float(np.abs(np.log(other.skin / host.skin)).sum()))
