"""How fast does a head train? The LSTM against PyTorch's and Keras's, and one whole experiment.

    make bench-peers                       # PyTorch in an environment of its own, then this
    python benchmarks/train.py [--rounds 5] [--torch .venv-peers/bin/python]

An epoch is LSTM(128) on 1024 videos x 32 frames x 2048 float16 numbers in memory (`--dim 128`: as
many as conditioned features have), batches of 32, Adam, one sigmoid on the last state. They take
turns in one run and the medians count:

    unmask          FastLSTM in unmask's training step
    written_out     FastLSTM's weights in the step that conditioned frames have (without noise)
    keras_fit       keras.layers.LSTM, trained as Keras trains: `Model.fit` on float32
    keras_layer     keras.layers.LSTM in unmask's training step in FastLSTM's place
    torch           nn.LSTM, the plain loop
    matmul          the input's two matrix products alone (forward, kernel's gradient): the floor

Then, on a feature set of 1000 videos:

    experiment_seconds          `unmask train`, 30 epochs of LSTM and baseline, on conditioned
                                features; `unmask evaluate`
    experiment_auc              test AUC of its LSTM, mean of 3 seeds
    with_ratios_seconds         the same with likelihood ratios, for which five more heads are
                                trained on folds (`calibration.folds`, which is 0 above)
    left_out_seconds            the same where there is nothing to find, so that the LSTM is left
                                out, and likelihood ratios need no heads
    full_width_seconds, _auc    the same without conditioning
    auc_of_full_width           the first AUC minus the second
    sweep_seconds               `unmask sweep` of 32 settings with 3 seeds on conditioned features;
                                with `--quick`, sweep_seconds_estimated by 4 settings of the same
    experiment_over_extraction  that over what extracting 1000 videos like ../shared/clips takes
    step_cpu_ms_float32, _bfloat16  CPU time of a step on conditioned clips, by `train.precision`
    input_share_of_step         share of an epoch spent waiting for batches
    features_over_memory        size of features that were trained on, over the memory allowed

The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import train_experiment  # beside this script

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from models.matrix_units import matrix_unit  # noqa: E402

VIDEOS, STEPS, UNITS, BATCH = 1024, 32, 128, 32
PRODUCTS = "bfloat16" if matrix_unit("bfloat16") else "float32"
DIM = int(sys.argv[sys.argv.index("--dim") + 1]) if "--dim" in sys.argv else 2048


def data(count: int = VIDEOS) -> tuple[np.ndarray, np.ndarray]:
    """(N, T, D) float16 and (N,) labels."""
    draw = np.random.default_rng(0)
    labels = (np.arange(count) % 2).astype(np.int8)
    features = draw.standard_normal((count, STEPS, DIM), np.float32)
    features[..., :4] += 0.1 * labels[:, None, None]
    return features.astype(np.float16), labels


TORCH = f"""
import sys, time
import numpy as np, torch
torch.manual_seed(0)
torch.set_num_threads({len(os.sched_getaffinity(0))})
x = torch.from_numpy(np.random.default_rng(0).standard_normal(
    ({VIDEOS}, {STEPS}, {DIM}), np.float32).astype(np.float16))
y = (torch.arange({VIDEOS}) % 2).float()
lstm, dense = torch.nn.LSTM({DIM}, {UNITS}, batch_first=True), torch.nn.Linear({UNITS}, 1)
adam = torch.optim.Adam([*lstm.parameters(), *dense.parameters()], 1e-3)
loss_of = torch.nn.BCEWithLogitsLoss()
print("ready", torch.__version__, flush=True)
for _ in sys.stdin:
    begun = time.perf_counter()
    for rows in torch.randperm({VIDEOS}).split({BATCH}):
        adam.zero_grad()
        _, (h, _) = lstm(x[rows].float())
        loss_of(dense(h[-1])[:, 0], y[rows]).backward()
        adam.step()
    print(time.perf_counter() - begun, flush=True)
"""


class Torch:
    """PyTorch in its own process and environment; it waits while the others run."""

    def __init__(self, python: Path) -> None:
        self.child = subprocess.Popen(
            [python, "-c", TORCH], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.child.stdout is not None
        print("PyTorch", self.child.stdout.readline().split()[1])

    def __call__(self) -> float:
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write("epoch\n")
        self.child.stdin.flush()
        return float(self.child.stdout.readline())

    def close(self) -> None:
        self.child.communicate()


def timed(epoch: Callable[[], Any]) -> Callable[[], float]:
    """An epoch as a function that gives its seconds."""

    def run() -> float:
        begun = time.perf_counter()
        epoch()
        return time.perf_counter() - begun

    return run


def ways() -> dict[str, Callable[[], float]]:
    """Every way to train an epoch that runs in this process."""
    from models.heads.descent.adam import Adam
    from models.heads.descent.lstm_step import can_step, lstm_step
    from models.heads.descent.step import of_scores, train_step
    from models.layers.fast_lstm import FastLSTM
    from models.tf_runtime import keras, tf

    features, labels = data()
    draw = np.random.default_rng(1)

    def by_step(layer: type, *, written_out: bool = False) -> Callable[[], None]:
        inputs = keras.Input((None, DIM), name="features")
        mask = keras.Input((None,), dtype="bool", name="mask")
        frames = keras.layers.Rescaling(1.0)(inputs)
        state = layer(UNITS, name="lstm")(frames, mask=mask)
        answer = keras.layers.Dense(1, activation="sigmoid")(keras.layers.Dropout(0.0)(state))
        scores = keras.layers.Reshape(())(answer)
        model = keras.Model({"features": inputs, "mask": mask}, scores)
        adam = Adam(model.trainable_variables)
        if written_out:
            assert can_step(model)
            step = lstm_step(model, adam, losses_of=of_scores, products=PRODUCTS)
        else:
            if layer is FastLSTM:
                model.get_layer("lstm").products = PRODUCTS
            step = train_step(model, adam, dtype="float16")
        every, ones = np.ones((BATCH, STEPS), bool), np.ones(BATCH, np.float32)

        def epoch() -> None:
            order = draw.permutation(VIDEOS)
            for start in range(0, VIDEOS, BATCH):
                rows = order[start : start + BATCH]
                losses, _ = step(
                    tf.constant(features[rows]),
                    tf.constant(every),
                    tf.constant(labels[rows], tf.float32),
                    tf.constant(ones),
                )
                losses.numpy()

        return epoch

    fitted = keras.Sequential(
        [
            keras.Input((STEPS, DIM)),
            keras.layers.LSTM(UNITS),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    fitted.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy")
    wide = features.astype(np.float32)
    kernel = tf.random.normal((DIM, 4 * UNITS))

    @tf.function  # type: ignore[untyped-decorator]
    def products(x: Any) -> Any:
        x = tf.reshape(x, (-1, DIM))
        return tf.matmul(x, tf.matmul(x, kernel), transpose_a=True)

    def floor() -> None:
        for start in range(0, VIDEOS, BATCH):
            products(tf.constant(wide[start : start + BATCH])).numpy()

    return {
        "unmask": timed(by_step(FastLSTM)),
        "written_out": timed(by_step(FastLSTM, written_out=True)),
        "keras_fit": timed(lambda: fitted.fit(wide, labels, batch_size=BATCH, verbose=0)),
        "keras_layer": timed(by_step(keras.layers.LSTM)),
        "matmul": timed(floor),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch", type=Path, default=ROOT / ".venv-peers/bin/python")
    parser.add_argument("--clips", type=Path, default=ROOT.parent / "shared" / "clips")
    parser.add_argument("--parts", default="epochs,experiment,full,sweep,steps,input,memory")
    parser.add_argument("--dim", type=int, default=DIM, help="of the epochs' features")
    parser.add_argument("--quick", action="store_true", help="one seed, and a part of the sweep")
    parser.add_argument("--limited", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.limited:
        train_experiment.train_limited(arguments.limited)
        return
    parts, seeds = arguments.parts.split(","), 1 if arguments.quick else 3
    figures = compare_epochs(arguments) if "epochs" in parts else {}
    if "experiment" in parts:
        conditioned, shift = train_experiment.CONDITION, train_experiment.NO_SHIFT
        alone = (*conditioned, *train_experiment.NO_RATIOS)
        seconds = measure_experiment("experiment", figures, alone, seeds)
        measure_experiment("with_ratios", figures, conditioned, 1)
        measure_experiment("left_out", figures, conditioned, 1, shift=shift)
        needed = train_experiment.extraction(arguments.clips)
        if needed is not None:
            figures["experiment_over_extraction"] = seconds / needed
            print(f"extraction   {needed:8.0f} s, 1/{needed / seconds:.0f}")
    if "full" in parts:
        measure_experiment("full_width", figures, train_experiment.NO_RATIOS, seeds)
    if {"experiment", "full"} <= {*parts}:
        difference = figures["experiment_auc"] - figures["full_width_auc"]
        figures["auc_of_full_width"] = difference
    if "sweep" in parts and arguments.quick:
        found = train_experiment.sweep(grid=train_experiment.QUICK_GRID)
        figures["sweep_seconds_estimated"] = 8 * found
        print(
            f"sweep        {found:8.1f} s of 4 settings, 3 seeds; of 32 at most {8 * found:.0f} s"
        )
    elif "sweep" in parts:
        figures["sweep_seconds"] = train_experiment.sweep()
        print(f"sweep        {figures['sweep_seconds']:8.1f} s of 32 settings, 3 seeds")
    if "steps" in parts:
        spent = {one: train_experiment.step_cpu_ms(one) for one in ("float32", "bfloat16")}
        figures |= {f"step_cpu_ms_{one}": value for one, value in spent.items()}
        print(", ".join(f"step {one} {value:.1f} ms of CPU" for one, value in spent.items()))
    if "input" in parts:
        figures["input_share_of_step"] = train_experiment.input_share()
        print(f"input        {figures['input_share_of_step']:8.1%} of a step")
    if "memory" in parts:
        figures["features_over_memory"] = train_experiment.larger_than_memory()
    print(train_experiment.cores_and_load())
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


def measure_experiment(
    name: str,
    figures: dict[str, float],
    options: tuple[str, ...],
    seeds: int,
    *,
    shift: float = train_experiment.SHIFT,
) -> float:
    """Adds the figures of one experiment, prints them and returns its seconds."""
    found = train_experiment.experiment(options=options, seeds=seeds, shift=shift)
    seconds, train, cpu, auc = (
        found[key] for key in ("seconds", "train_seconds", "cpu_seconds", "auc")
    )
    figures |= {f"{name}_seconds": seconds, f"{name}_auc": auc}
    print(
        f"{name:12} {seconds:8.1f} s ({train:.1f} of train, {seconds - train:.1f} of evaluate; "
        f"{cpu:.1f} of CPU), AUC {auc:.4f}, "
        + (f"LSTM of {found['epochs']:.0f} epochs" if found["epochs"] else "LSTM left out")
    )
    return seconds


def compare_epochs(arguments: argparse.Namespace) -> dict[str, float]:
    """The epoch's ways in turns; prints their table."""
    figures: dict[str, float] = {}
    epochs = ways()
    peer = Torch(arguments.torch) if arguments.torch.exists() else None
    if peer:
        epochs["torch"] = peer
    else:
        print(f"no PyTorch at {arguments.torch}: run `make bench-peers`")
    seconds: dict[str, list[float]] = {name: [] for name in epochs}
    for turn in range(arguments.rounds + 1):
        for name, epoch in epochs.items():
            spent = epoch()
            if turn:  # the first one compiles
                seconds[name].append(spent)
    if peer:
        peer.close()
    medians = {name: statistics.median(one) for name, one in seconds.items()}
    ours = medians["unmask"]
    print(f"{'epoch':12} {'seconds':>8} {'best':>8} {'/ unmask':>9}")
    for name, value in sorted(medians.items(), key=lambda item: item[1]):
        print(f"{name:12} {value:8.3f} {min(seconds[name]):8.3f} {value / ours:9.2f}")
    if peer:
        figures["lstm_vs_torch"] = medians["torch"] / ours
    figures["lstm_vs_keras"] = medians["keras_fit"] / ours
    figures["lstm_vs_keras_layer"] = medians["keras_layer"] / ours
    figures["written_out_vs_keras_layer"] = medians["keras_layer"] / medians["written_out"]
    figures["epoch_seconds"] = ours
    return figures


if __name__ == "__main__":
    main()
