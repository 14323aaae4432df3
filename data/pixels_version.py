"""The version of the code that turns a video into crops: a part of each feature's key.

Raise it with any change of code that gives other pixels for the same settings: which frames are
read (`data.video.probe`, `data.video.sampling`), how they are decoded and scaled
(`data.video.decoding`, `data.video.picture`), where a face is found (`data.faces.networks`,
`data.faces.detector`, `data.faces.tracker`), how it is cropped (`data.faces.crops`,
`data.faces.resampling`). Old features stay readable; the next `extract` makes new ones and says so.

`tests/golden` compares crops and embeddings with those recorded for this version. When they differ,
raise the version and run `python -m tests.golden.record`.
"""

PIXELS_VERSION = 4
"""4: the detector computes the parts of its inputs alone where there is something to see. Boxes of
183 videos differ by 0.003 of the face, 0.6 % of them by more than 0.02.
3: fast_image_resize scales crops and what the detector sees, where Pillow did. One value of 25
in a crop differs, by a grey level, and boxes by a thousandth of the face.
2: frames have the size that the decoder delivers, and are chosen among those that it shows.
1 stands in no key: it is the code from before versions were part of keys."""
