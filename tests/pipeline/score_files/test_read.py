"""Files of scores as other programs write them: shapes, matching, faults with their place."""

from __future__ import annotations

import json
import pickle
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import ConfigError, InputError, MismatchError, UnmaskError
from pipeline.score_files.csv_files import parse_columns, read_csv
from pipeline.score_files.read import read_scores
from pipeline.score_files.records import VideoScores
from tests.pipeline.score_files.made_up import (
    METHODS,
    REALS,
    frame_paths,
    made_up_scores,
    made_up_videos,
    sigmoid,
    write_csv,
    write_deepfakebench,
    write_workbench,
)

VIDEOS = made_up_videos(12)
PATHS = {video.path: row for row, video in enumerate(VIDEOS)}
REAL = f"{REALS}/000.mp4"


def read(*files: Path, **options) -> VideoScores:
    given_options = {"columns": {}, "higher": "fake", "aggregate": "mean", "match": None} | options
    return read_scores(files, VIDEOS, **given_options)


def written(folder: Path, text: str, name: str = "scores.csv") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


# shapes


def test_a_score_for_each_video_whatever_the_scale(tmp_path: Path) -> None:
    scores = made_up_scores(VIDEOS) * 1000
    found = read(write_csv(tmp_path / "s.csv", VIDEOS, scores.tolist()))
    assert found.scores.tolist() == scores.tolist()
    assert (found.unit, found.orientation, found.frames, found.unmatched) == (False, "", {}, 0)
    assert found.kinds == ("CSV",)


@pytest.mark.parametrize("cell", ["", "nan", "NaN", "None", " null ", "n/a", "-"])
def test_an_empty_score_is_none(tmp_path: Path, cell: str) -> None:
    found = read(written(tmp_path, f"path,score\n{REAL},{cell}\n"))
    assert np.isnan(found.scores).all()


@pytest.mark.parametrize("separator", [";", "\t"])
def test_columns_of_other_names_and_separators(tmp_path: Path, separator: str) -> None:
    text = separator.join(("Filename", "Prob")) + "\r\n" + separator.join((REAL, "0.25")) + "\r\n"
    assert read(written(tmp_path, text)).scores[PATHS[REAL]] == 0.25
    text = f"v,p\n{REAL},0.25\n"
    found = read(written(tmp_path, text), columns=parse_columns("path=v, score=P"))
    assert found.scores[PATHS[REAL]] == 0.25


def test_the_column_label_may_hold_the_score(tmp_path: Path) -> None:
    # as in the submissions to DFDC's challenge
    path = written(tmp_path, f"filename,label\n{REAL},0.7\n")
    with pytest.raises(InputError, match="no column score"):
        read(path)
    found = read(path, columns=parse_columns("score=label"))
    assert found.scores[PATHS[REAL]] == 0.7


def test_higher_is_real(tmp_path: Path) -> None:
    scores = sigmoid(made_up_scores(VIDEOS))
    path = write_csv(tmp_path / "s.csv", VIDEOS, scores.tolist())
    found = read(path, higher="real")
    assert found.scores.tolist() == (1 - scores).tolist()
    assert (found.unit, found.orientation) == (True, "taken from 1")
    path = write_csv(tmp_path / "s.csv", VIDEOS, (scores * 7).tolist())
    found = read(path, higher="real")
    assert found.scores.tolist() == (-scores * 7).tolist()
    assert (found.unit, found.orientation) == (False, "negated")
    # 1 - P would make these equal
    tiny = np.linspace(1, 2, len(VIDEOS)) * 1e-20
    found = read(write_csv(tmp_path / "s.csv", VIDEOS, tiny.tolist()), higher="real")
    assert found.scores.tolist() == (-tiny).tolist()


@pytest.mark.parametrize(("aggregate", "of"), [("mean", np.mean), ("median", np.median),
                                              ("max", np.max)])  # fmt: skip
def test_frames_become_one_score(tmp_path: Path, aggregate: str, of) -> None:
    draw = np.random.default_rng(0)
    scores = draw.uniform(0, 1, (len(VIDEOS), 11))
    lines = [
        f"{video.path},{frame},{float(scores[row, frame])!r}"
        for row, video in enumerate(VIDEOS)
        for frame in draw.permutation(11)
    ]
    text = "\n".join(["path,frame,score", *lines, f"{VIDEOS[0].path},99,"])
    found = read(written(tmp_path, text), aggregate=aggregate)
    np.testing.assert_allclose(found.scores, of(scores, axis=1), rtol=1e-15)
    assert found.frames[1].tolist() == scores[1].tolist()  # 2 before 10
    assert np.isnan(found.frames[0][-1])


def test_the_most_fake_frame_is_the_lowest_where_higher_is_real(tmp_path: Path) -> None:
    text = f"path,frame,score\n{REAL},0,0.2\n{REAL},1,0.9\n"
    found = read(written(tmp_path, text), aggregate="max", higher="real")
    assert found.scores[PATHS[REAL]] == 0.8


def test_deepfakebench(tmp_path: Path) -> None:
    scores = np.random.default_rng(2).uniform(0, 1, (len(VIDEOS), 5))
    path = write_deepfakebench(tmp_path / "bench.json", VIDEOS, scores)
    found = read(path)
    np.testing.assert_allclose(found.scores, scores.mean(1), rtol=1e-15)
    assert found.kinds == ("JSON of DeepfakeBench",)
    # several data sets in one file, and (N, 1) as a network gives them
    facts = json.loads(path.read_text())
    facts["pred"] = [[one] for one in facts["pred"]]
    path.write_text(json.dumps({"FaceForensics++": facts}), "utf-8")
    assert read(path).scores.tolist() == found.scores.tolist()


def test_deepfakebench_clips(tmp_path: Path) -> None:
    images = [frame_paths(VIDEOS[0], 8)[:4], frame_paths(VIDEOS[0], 8)[4:]]
    text = json.dumps({"image": images, "pred": [0.25, 0.75], "label": [VIDEOS[0].label] * 2})
    assert read(written(tmp_path, text, "b.json")).scores[0] == 0.5


def test_deepfakebench_of_windows(tmp_path: Path) -> None:
    image = frame_paths(VIDEOS[0], 1)[0].replace("/", "\\")
    text = json.dumps({"image": [f"D:{image}"], "pred": [0.25]})
    assert read(written(tmp_path, text, "b.json")).scores[0] == 0.25


def test_workbench(tmp_path: Path) -> None:
    scores = sigmoid(made_up_scores(VIDEOS))
    scores[3] = np.nan
    found = read(write_workbench(tmp_path, VIDEOS, scores.tolist()))
    np.testing.assert_array_equal(found.scores, scores)
    assert found.kinds == ("score file of deepfake-workbench",)
    assert found.facts["detector, name"] == "tiny-cnn"
    assert found.facts["aggregation, clip to video"] == "mean-prob"


def test_workbench_frames_once_they_are_a_csv(tmp_path: Path) -> None:
    lines = ["dataset,key,compression,clip_index,frame_index,frame_score,clip_score"]
    lines += [f"ffpp,REAL/000,c23,{clip},{frame},{0.1 * clip + 0.01 * frame},0.5"
              for clip in range(2) for frame in range(3)]  # fmt: skip
    found = read(written(tmp_path, "\n".join(lines)))
    assert found.scores[PATHS[REAL]] == pytest.approx(0.06)
    assert len(found.frames[PATHS[REAL]]) == 6


def test_a_record_that_cannot_be_read_costs_its_facts_alone(tmp_path: Path) -> None:
    path = write_workbench(tmp_path, VIDEOS, [0.5] * len(VIDEOS))
    path.with_name(path.name.replace(".csv", ".meta.json")).write_text("{", "utf-8")
    assert read(path).facts == {}


@pytest.mark.parametrize(
    "tree", [{REAL: 0.25}, {REAL: [0.25]}, {REAL: [0.0, 0.5]}, [{"path": REAL, "score": 0.25}],
             [{"video": REAL, "prob": "0.25", "other": 1}]]
)  # fmt: skip
def test_plain_json(tmp_path: Path, tree: object) -> None:
    assert read(written(tmp_path, json.dumps(tree), "s.json")).scores[PATHS[REAL]] == 0.25


# which video


@pytest.mark.parametrize(
    "name", [REAL, f"/home/x/FF++/{REAL}", f"D:\\FF\\{REAL.replace('/', chr(92))}", "000",
             "000.mp4", "./youtube/c23/000.avi", f"{REALS.upper()}/000.MP4",
             "original_sequences/youtube/c23/000"]
)  # fmt: skip
def test_a_path_of_another_machine(tmp_path: Path, name: str) -> None:
    assert read(written(tmp_path, f"path,score\n{name},0.25\n")).scores[PATHS[REAL]] == 0.25


@pytest.mark.parametrize("name", ["Deepfakes/000.mp4", "x000.mp4", "youtube/raw/000.mp4", "/"])
def test_no_video_of_the_manifest_is_counted(tmp_path: Path, name: str) -> None:
    found = read(written(tmp_path, f"path,score\n{name},0.25\n{REAL},0.5\n"))
    assert (found.unmatched, found.unmatched_example, found.rows) == (1, name, 2)
    assert np.nansum(found.scores) == 0.5
    with pytest.raises(InputError, match="none of the 1 rows names a video of the manifest"):
        read(written(tmp_path, f"path,score\n{name},0.25\n"))


def test_by_name_folders_may_differ_and_other_columns_decide(tmp_path: Path) -> None:
    fake = f"F2F/{Path(next(v.path for v in VIDEOS if v.method == METHODS[1])).stem}"
    path = written(tmp_path, f"path,score,method\n{fake},0.25,FACE-2-FACE\n")
    found = read(path, match="name")
    row = next(row for row, video in enumerate(VIDEOS) if video.method == METHODS[1])
    assert found.scores[row] == 0.25
    path = written(tmp_path, f"path,score\n{fake},0.25\n")
    with pytest.raises(InputError, match=r"line 2: .* may be .* or .*; write the paths"):
        read(path, match="name")


def test_by_name_a_video_of_the_other_class_is_none(tmp_path: Path) -> None:
    path = written(tmp_path, f"path,score,label\nfake/000.mp4,0.25,1\n{REAL},0.5,0\n")
    assert read(path, match="name").unmatched == 1


def test_another_label_than_the_manifest_has(tmp_path: Path) -> None:
    for label in ("1", "fake", "3", "1.0", "Deepfakes"):
        path = written(tmp_path, f"path,score,label\n{REAL},0.25,{label}\n")
        with pytest.raises(MismatchError, match=r"line 2: .* fake in the file and real"):
            read(path)
    for label in ("0", "real", "", "youtube", "0.0"):
        read(written(tmp_path, f"path,score,label\n{REAL},0.25,{label}\n"))


# faults


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"path,score\n{REAL},high\n", "line 2: the score cannot be 'high'"),
        (f'path,score\n{REAL},"0,5"\n', "line 2: .*write numbers with a point"),
        (f"path,score\n{REAL},inf\n", "line 2: the score must be a finite number"),
        (f"path,score\n{REAL},-1e31\n", "line 2: the score must be a finite number"),
        (f"path,score\n{REAL},1_0\n", "line 2: the score cannot be '1_0'"),
        (f"path,score\n{REAL}\n", "line 2: the row is too short"),
        (f"path,score\n{REAL},1,2\n", "line 2: the row has 3 cells"),
        ("path,score\n,1\n", "line 2: the path is empty"),
        (f"path,score\n{REAL},1\n\n{REAL},2\n", "line 4: .* has a score already, in .* line 2"),
        (f"path,score\n{REAL},1\n000,2\n", "line 3: .* has a score already, in .* line 2"),
        (f"path,frame,score\n{REAL},1,1\n{REAL},2,1\n{REAL},1,2\n", "line 4: the frame '1' of"),
        (f"path,frame,score\n{REAL},,1\n", "line 2: the frame is empty"),
        ("path,score\n", "has no row"),
        ("", "has no column path"),
        ("a,b\n1,2\n", r"has no column path \(columns: a, b\)"),
        (f"path,prob,pred\n{REAL},1,2\n", "several columns that may be the score: prob, pred"),
        (f"path,score,score\n{REAL},1,2\n", "two columns called score"),
        (f'path,score\n"{REAL},1\n', "mend its quotes"),
        ("dataset,key,compression,label,score,status\nd,REAL/000,c23,0,,ok\n",
         "line 2: a video of status ok must have a score"),
        ("dataset,key,compression,label,score,status\nd,REAL/000,c23,0,0.5,error\n",
         "line 2: a video of status error must have no score"),
        ("dataset,key,compression,label,score,status\nd,REAL/000,c23,0,0.5,fine\n",
         "line 2: the status must be ok, missing or error"),
        ("{", "is not JSON"),
        ("{}", "holds no score"),
        ("[1]", "entry 1: it must be an object"),
        (f'[{{"path": "{REAL}"}}]', "has no column score"),
        (f'[{{"path": "{REAL}", "score": 1}}, {{"score": 1}}]', "entry 2: path must be a path"),
        (f'{{"{REAL}": "x"}}', "entry 1: the score cannot be 'x'"),
        (f'{{"{REAL}": true}}', "entry 1: the score must be a number, got True"),
        (f'{{"{REAL}": [[1, 2]]}}', "entry 1: the score must be a number"),
        (f'{{"{REAL}": 1e999}}', "entry 1: the score must be a finite number"),
        (f'{{"{REAL}": {"9" * 400}}}', "entry 1: the score must be a finite number"),
        ('{"image": ["a", "b"], "pred": [1]}', "image has 2 entries and pred has 1"),
        ('{"image": ["a"], "pred": [1], "label": 3}', "label has no list"),
        ('{"image": [3], "pred": [1]}', "entry 1: the image must be a path, got 3"),
    ],
)  # fmt: skip
def test_a_fault_is_one_line_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        read(written(tmp_path, text))
    assert re.search(words, str(caught.value)), caught.value
    assert "\n" not in str(caught.value)


def test_a_score_in_two_files(tmp_path: Path) -> None:
    one, two = (written(tmp_path, f"path,score\n{REAL},1\n", name) for name in ("a.csv", "b.csv"))
    with pytest.raises(InputError, match=r"b\.csv, line 2: .* in .*a\.csv, line 2"):
        read(one, two)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was opened",))


@pytest.mark.parametrize("name", ["metric_dict_best.pickle", "scores.csv", "result.pkl", "x.pth"])
@pytest.mark.parametrize("protocol", [2, 5])
def test_a_pickle_is_never_opened(tmp_path: Path, name: str, protocol: int) -> None:
    path = tmp_path / name
    path.write_bytes(pickle.dumps({"pred": Bomb(), "label": [1]}, protocol))
    with pytest.raises(InputError, match=r"is a pickle, which runs code .*docs/detectors.md"):
        read(path)


def test_other_binary_files_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    np.savez(tmp_path / "a.npz", np.zeros(3))
    (tmp_path / "a.parquet").write_bytes(b"PAR1....")
    (tmp_path / "a.csv.gz").write_bytes(b"\x1f\x8b\x08")
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04")
    (tmp_path / "a.csv").write_bytes(b"\xff\x00\x81")
    for name, words in {
        "a.npy": "numbers without the videos", "a.npz": "numbers without the videos",
        "a.parquet": "Parquet", "a.csv.gz": "compressed", "a.h5": "HDF5", "a.xlsx": "workbook",
        "a.csv": "not a CSV in UTF-8", "none.csv": "do not exist", ".": "folder",
    }.items():  # fmt: skip
        with pytest.raises(InputError, match=words):
            read(tmp_path / name)


@pytest.mark.parametrize("text", ["path", "path=", "paths=a", "path=a,path=b", "=a", ""])
def test_columns_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(ConfigError, match="--columns must be"):
        parse_columns(text)


def test_a_named_column_must_be_there(tmp_path: Path) -> None:
    path = written(tmp_path, f"path,score\n{REAL},1\n")
    with pytest.raises(InputError, match="has no column 'p'; it has path, score"):
        read_csv(path, {"score": "p"})


@settings(max_examples=200, deadline=None)
@given(st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from(["path", "score", "frame", ",", "\n", REAL, "0.5", '"', "{", "[", "]",
                              "}", ":", "nan", "image", "pred", "\\", ";"]), max_size=30)
    .map(lambda parts: "".join(parts).encode()),
))  # fmt: skip
def test_any_file_is_read_or_refused(tmp_path_factory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "scores.csv"
    path.write_bytes(content)
    with suppress(UnmaskError):
        read(path)
