"""Set-up of all tests: a cache of their own, no deadlines for Hypothesis, a Ray cluster."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from tests import requirements
from tests.pipeline.browser import CHROMIUM

settings.register_profile("unmask", deadline=None)
settings.load_profile("unmask")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests, and the commands that they start, leave the cache of who runs them alone."""
    os.environ["UNMASK_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def chromium() -> None:
    """A browser on the PATH, for tests that look at pages; see `tests.pipeline.browser`."""
    if CHROMIUM is None:
        requirements.missing("chromium", "chromium is not on the PATH")


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """A Ray cluster of one node with one core on this machine; tests may add and remove some.

    Starting it takes seconds: whoever can do without should.
    """
    requirements.module("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    made = Cluster()
    add_node(made, num_cpus=1, num_gpus=0, include_dashboard=False)
    yield made
    made.shutdown()


def add_node(cluster: Any, **options: Any) -> Any:
    """Adds a node to a cluster; Ray gives it 30 seconds, which a busy machine may need thrice."""
    for attempt in range(3):
        try:
            return cluster.add_node(object_store_memory=256 << 20, **options)
        except Exception as error:
            if attempt == 2 or "timed out" not in str(error):
                raise
    return None


LONGEST = ("test_dvc.py", "test_how_to.py", "test_readme.py", "test_extract.py", "test_kill.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first: left to the end, one process would work on them alone."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
