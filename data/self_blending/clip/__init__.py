"""Self-made forgeries of a face in a clip: frames and landmarks in, frames out.

`forge_clip` is fast enough to make new forgeries in each epoch of fine-tuning;
`data.self_blending.dataset` makes files.
"""

from data.self_blending.clip.drawing import draw_parameters
from data.self_blending.clip.forge_clip import forge_clip
from data.self_blending.clip.parameters import METHODS, ForgeryParameters, Method
from data.self_blending.clip.staging import Donor

__all__ = ["METHODS", "Donor", "ForgeryParameters", "Method", "draw_parameters", "forge_clip"]
