"""Linear models of a clip: statistics over its frames, who is compared with whom, the fit."""
