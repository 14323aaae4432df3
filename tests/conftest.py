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
    """A Ray cluster of two nodes, one core each, on this machine; tests may add and remove some.

    Starting it takes seconds: whoever can do without should.
    """
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'unmask[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 256 << 20}
    made = Cluster(
        initialize_head=True, head_node_args={**small, "num_gpus": 0, "include_dashboard": False}
    )
    made.add_node(**small, num_gpus=0)
    yield made
    made.shutdown()
