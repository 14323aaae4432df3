"""The terms of all pages in plain words; docs/glossary.md is made of them."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Term:
    """One entry."""

    name: str  # as the glossary lists it
    forms: tuple[str, ...]  # regular expressions of what is linked, each within word boundaries
    text: str  # what it means, for somebody who knows no machine learning

    @property
    def anchor(self) -> str:
        """The id of its entry on a page."""
        return "term-" + re.sub(r"[^a-z0-9]+", "-", self.name.casefold()).strip("-")


def term(name: str, text: str, *forms: str) -> Term:
    """An entry, which is linked by its name where no forms are given."""
    return Term(name=name, forms=forms or (re.escape(name),), text=text)


_ALL = (
    term(
        "AUC",
        "How well a detector's scores set fakes apart from real videos: the share of pairs of a "
        "fake and a real video in which the fake has the higher score. 0.5 is what tossing a coin "
        "gives, 1 is perfect. It says nothing about the threshold.",
    ),
    term(
        "AP",
        "Average precision: how pure the top of a ranking is, from the share of fakes among the "
        "videos (no better than chance) to 1 (all fakes come first).",
    ),
    term(
        "backbone",
        "The network that turns each picture of a face into a list of numbers. It was trained on "
        "pictures of many kinds before. The head judges these numbers.",
        "backbones?",
    ),
    term(
        "balanced accuracy",
        "The mean of the share of fakes that are caught and the share of real videos that are "
        "cleared. 50 % is what tossing a coin gives, whatever the number of fakes.",
    ),
    term(
        "baseline",
        "A plainer way to judge the same videos. A detector that is no better than its baselines "
        "has learnt nothing that they do not have.",
        "baselines?",
    ),
    term(
        "bootstrap",
        "A way to see how much a number depends on which people happened to be tested: people are "
        "drawn again and again from those that were, and the number is computed anew each time.",
    ),
    term(
        "Brier score",
        "The mean squared error of P(fake): 0 is perfect, 0.25 is what always saying 0.5 gives.",
    ),
    term(
        "bundle",
        "A trained detector, as a folder: its networks, its threshold and a record of what it was "
        "trained on.",
        "bundles?",
    ),
    term(
        "calibration",
        "Turning scores into numbers that mean what they say: among videos with P(fake) 0.8, eight "
        "of ten should be fakes. It holds for videos like those on which it was fitted.",
        "calibration",
        "calibrated",
    ),
    term(
        "calibration error",
        "By how much, on average, P(fake) differs from the share of fakes among videos of that "
        "score. 0 is perfect.",
    ),
    term(
        "Cllr",
        "What it costs to believe the likelihood ratios: 0 is perfect, 1 is what a detector costs "
        "that says nothing, and above 1 the ratios mislead.",
    ),
    term(
        "Content Credentials",
        "A record of who made a file and with what, signed and stored in the file (C2PA). A "
        "signature that fits says that the file is as its signer left it, not that what it shows "
        "is true.",
        r"Content Credentials(?: \(C2PA\))?",
    ),
    term(
        "corruption",
        "What happens to videos on their way: compression, a smaller size, blur, noise.",
        "corruptions?",
        "corrupted",
    ),
    term(
        "CRF",
        "How strongly a video is compressed; higher is stronger. 23 is common, 40 hard to watch.",
    ),
    term(
        "edit list",
        "What of a recorded track a player shows. A cut without encoding anew leaves one; so do "
        "many cameras and editors.",
        "edit lists?",
    ),
    term(
        "EER",
        "Equal error rate: the share of errors at the threshold where as many fakes are missed as "
        "real videos are called fake. 50 % is what tossing a coin gives.",
    ),
    term(
        "embedding",
        "The list of numbers that the backbone makes of a picture.",
        "embeddings?",
    ),
    term(
        "epoch",
        "One pass through all training videos. Training takes several and keeps the best.",
        "epochs?",
    ),
    term(
        "forgery method",
        "The program or technique with which a fake was made. A detector often fails on methods "
        "that its training lacked.",
        "forgery methods?",
        "forgeries by methods",
        "methods of the fakes",
    ),
    term(
        "group",
        "Videos that belong together: of one person or from one source. A group is never in two "
        "splits, and intervals count groups, since ten videos of one person are not ten people.",
        "groups?",
    ),
    term(
        "head",
        "The small part of a detector that judges the numbers of the backbone over time. It is "
        "what `unmask train` trains.",
        "heads?",
    ),
    term(
        "heat map",
        "A picture of which parts of a face moved the score. It need not show where a forgery is.",
        "heat maps?",
    ),
    term(
        "held out",
        "Kept from training, so that a test on it is fair.",
        "held[- ]out",
        "hold-out",
    ),
    term(
        "interval",
        "A range in which a number may lie. A 95 % interval is made so that of a hundred such "
        "intervals about 95 hold the true number. A wide one says: too little was tested.",
        "intervals?",
    ),
    term(
        "leak",
        "A way in which a test gives away its answers: the same person in training and test, or a "
        "fake that can be told by its file alone.",
        "leaks?",
    ),
    term(
        "likelihood ratio",
        "How many times as likely such a score is if the video is fake than if it is real. 1 says "
        "nothing; 10 supports fake, 1/10 supports real. It is not the probability that the video "
        "is a fake: that depends on what else is known.",
        "likelihood ratios?",
    ),
    term(
        "log-odds",
        "Another scale for a probability, without ends: 0 is one half, +1 is 73 %, -1 is 27 %.",
    ),
    term(
        "log loss",
        "What wrong and overconfident values of P(fake) cost: 0 is perfect, 0.69 is what always "
        "saying 0.5 gives.",
    ),
    term(
        "validation loss",
        "How wrong a network is on videos that it does not learn from, as training counts it: what "
        "training makes smaller is the same on its own videos, the loss.",
        r"[Vv]alidation loss",
        r"[Tt]raining loss",
        "the loss",
    ),
    term(
        "LSTM",
        "A network that reads pictures in their order and keeps a memory. One kind of head.",
    ),
    term(
        "mean-pool",
        "A baseline that averages all frames before it judges, so that their order is lost.",
        "mean[- ]pool",
    ),
    term(
        "near-duplicate",
        "A copy of a video in another size or compression.",
        "[Nn]ear-duplicates?",
    ),
    term(
        "P(fake)",
        "The score: the detector's probability that a video is fake, from 0 (real) to 1 (fake), "
        "as fitted on the validation videos of its training. For other kinds of videos, or where "
        "fakes are rarer, it is no such probability.",
        r"P\(fake\)",
    ),
    term(
        "PED-ANOVA",
        "A way to say how much each parameter matters to whether a setting is among the good ones.",
    ),
    term(
        "prior",
        "The share of fakes among such videos, before this one is looked at.",
    ),
    term(
        "recall",
        "Of all videos of one kind, the share that is called so: of the fakes, the share that is "
        "caught.",
    ),
    term(
        "rendered",
        "Made by a program, as in a computer game: nobody was filmed.",
    ),
    term(
        "ROC",
        "The curve of how many fakes are caught against how many real videos are called fake, as "
        "the threshold moves.",
    ),
    term(
        "seal",
        "One number (a sha256) that stands for every byte of a case file and of the video. Whoever "
        "noted it can tell whether anything was changed.",
    ),
    term(
        "seed",
        "The number from which chance begins in a training. Other seeds give other results; their "
        "spread says how far to trust one.",
        "seeds?",
    ),
    term(
        "sha256",
        "A fingerprint of a file: 64 digits that change with every change of the file.",
    ),
    term(
        "split",
        "A part of the videos: training videos teach the detector, validation videos choose its "
        "threshold and settings, test videos measure it.",
        "splits?",
    ),
    term(
        "threshold",
        "The score at or above which a video is called FAKE. It was chosen on validation videos.",
        "thresholds?",
    ),
    term(
        "Tippett plot",
        "For each likelihood ratio: how many fakes, and how many real videos, have at least this.",
    ),
    term(
        "TPR at a small FPR",
        "The share of fakes that are caught if the threshold is set so that only 1 % (or 5 %) of "
        "real videos are called fake.",
        r"TPR at (?:\d+ % FPR|a small FPR)",
    ),
    term(
        "UNSURE",
        "No verdict: the score is too near the threshold, or the video is unlike those that the "
        "detector learnt from.",
    ),
    term(
        "validation",
        "Videos that training does not learn from, by which thresholds and settings are chosen.",
        "validation",
    ),
)  # fmt: skip
TERMS: tuple[Term, ...] = tuple(sorted(_ALL, key=lambda one: one.name.casefold()))
"""All terms, by name."""
