"""The embedded demo data set: people, scenes and forgeries rendered by code."""

from data.demo.dataset import DemoSummary, write_demo
from data.demo.take import DemoConfig

__all__ = ["DemoConfig", "DemoSummary", "write_demo"]
