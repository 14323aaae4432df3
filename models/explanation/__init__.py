"""Why a score: occlusion maps, and how far it moves with the frames that are taken."""
