"""Self-made forgeries of a face in a clip: frames and landmarks in, frames out.

`forge_clip` is fast enough to forge anew in each epoch of a training; `data.forge` makes files.
"""

from data.forgery.clip import forge_clip
from data.forgery.drawing import draw_parameters
from data.forgery.parameters import METHODS, ForgeryParameters, Method
from data.forgery.staging import Donor

__all__ = ["METHODS", "Donor", "ForgeryParameters", "Method", "draw_parameters", "forge_clip"]
