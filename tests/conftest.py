"""For all tests: no deadline on Hypothesis, since two busy cores make any late; a Ray cluster."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("unmask", deadline=None)
settings.load_profile("unmask")


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """A Ray cluster of one node with one core on this machine; tests may add and remove some.

    Starting it takes seconds: whoever can do without should.
    """
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'unmask[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 256 << 20}
    made = Cluster(initialize_head=True, head_node_args={**head, "include_dashboard": False})
    yield made
    made.shutdown()
