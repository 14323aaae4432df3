"""Training data from real videos alone: files of real copies and of self-made forgeries."""

from data.forge.dataset import ForgeSummary, forge
from data.forge.plan import ForgeConfig

__all__ = ["ForgeConfig", "ForgeSummary", "forge"]
