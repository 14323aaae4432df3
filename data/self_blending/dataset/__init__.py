"""Training data from real videos alone: files of real copies and of self-made forgeries."""

from data.self_blending.dataset.forge_dataset import ForgeSummary, forge
from data.self_blending.dataset.plan import ForgeConfig

__all__ = ["ForgeConfig", "ForgeSummary", "forge"]
