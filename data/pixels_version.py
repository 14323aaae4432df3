"""The version of the code that turns a video into crops: a part of each feature's key.

Raise it with any change of code that gives other pixels for the same settings: which frames are
read (`data.video.probe`, `data.video.sampling`), how they are decoded and scaled
(`data.video.ffmpeg`, `data.video.frames`), where a face is found (`data.faces.detector`,
`data.faces.tracker`), how it is cropped (`data.faces.tracker.crop_faces`). Old features stay
readable; the next `extract` makes new ones and says so.

Tests hold crops and embeddings equal to those recorded for this version, `tests/golden`. They fail
when numbers move: then raise the version and record anew, `python -m tests.golden.record`.
"""

PIXELS_VERSION = 2
"""2: frames have the size that the decoder delivers, chosen among those that it shows. 1 stands in
no recipe: it is what there was before versions were told."""
