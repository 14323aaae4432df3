"""The command line: parse, call one stage, turn an error into an exit code.

Nothing is decided here. Each command hands its arguments to one function of `pipeline`,
which is imported inside the command, so that `unmask --help` answers without loading TensorFlow.
"""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from data.errors import UnmaskError, plain
from data.io import interrupts
from data.io.interrupts import INTERRUPTED, LINE, command_runs
from data.io.system_errors import as_users_error


class Commands(TyperGroup):
    """Maps errors to one line on stderr and the exit code of the table in the README."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with command_runs():
                result = super().invoke(ctx)
                if sys.stdout is not None:  # a full disk behind `>` is told here, or by no line
                    sys.stdout.flush()
                return result
        except UnmaskError as error:
            complain(error)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            typer.echo(LINE, err=True)
            raise typer.Exit(INTERRUPTED) from error
        except OSError as error:
            told = as_users_error(error)
            if told is None:  # a bug of ours, or a reader of our output that went away
                raise
            complain(told)
            raise typer.Exit(told.exit_code) from error


def complain(error: UnmaskError) -> None:
    """Writes the error and its notes to stderr, each on one line."""
    typer.echo(f"unmask: {plain(str(error))}", err=True)
    for note in getattr(error, "__notes__", []):
        typer.echo(f"  {plain(note)}", err=True)


app = typer.Typer(
    cls=Commands,
    name="unmask",
    help="Tell real face videos from deepfakes: features cached once, an LSTM trained in seconds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
store_app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    help="Look into folders of features and stores, and keep them in order.",
    rich_markup_mode=None,
)
app.add_typer(store_app, name="store")

ParamsOption = Annotated[
    Path | None,
    typer.Option("--params", metavar="FILE", help="A params.yaml; without it, the defaults."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one parameter; may be repeated."),
]
ManifestOption = Annotated[
    Path, typer.Option("--manifest", metavar="FILE", help="The manifest that `index` wrote.")
]
RootOption = Annotated[
    Path | None,
    typer.Option("--root", help="Folder of the videos, where it is not the manifest's own."),
]
StoreOption = Annotated[
    Path, typer.Option(help="Where finished features and crops are kept for every later run.")
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Parallel decoders; default: the cores.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
AllowSeenOption = Annotated[
    bool,
    typer.Option(
        "--allow-seen",
        help="Go on where validation people trained the backbone; marks the result.",
    ),
]


def version(wanted: bool) -> None:
    """Prints the version and ends."""
    if wanted:
        from importlib.metadata import version as installed

        typer.echo(f"unmask {installed('unmask')}")
        raise typer.Exit


@app.callback()
def unmask(
    _version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Set the tone: TensorFlow's and ffmpeg's own chatter stays off the terminal.

    A path that is no UTF-8 is printed with escapes, as stderr does, and ends nothing.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Folder to write; new, empty or an older demo.")],
    params: ParamsOption = None,
    set_: SetOption = None,
    workers: WorkersOption = None,
) -> None:
    """Render the demo data set: made-up people, real H.264, rendered forgeries.

    Example: unmask demo artifacts/demo
    """
    from pipeline.training import stages

    stages.render_demo(folder, params=load(params, set_), workers=workers)


@app.command()
def forge(
    reals: Annotated[
        Path, typer.Argument(metavar="REAL_DIR", help="Folder of real videos, or a manifest.")
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write; new, empty or an older forge.")],
    root: RootOption = None,
    params: ParamsOption = None,
    set_: SetOption = None,
    workers: WorkersOption = None,
) -> None:
    """Make training data from real videos alone: copies and self-made forgeries of them.

    Example: unmask forge reals forged --set forge.copies=2
    """
    from pipeline.datasets.forge import forge_videos

    forge_videos(reals, out, root=root, params=load(params, set_), workers=workers)


@app.command()
def index(
    root: Annotated[Path, typer.Argument(help="Folder with real/ and fake/, or a CSV of labels.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Manifest; default ROOT/manifest.csv."),
    ] = None,
    layout: Annotated[
        str, typer.Option(help="Layout of ROOT; auto finds it, docs/datasets.md lists them.")
    ] = "auto",
    compression: Annotated[
        list[str] | None,
        typer.Option("--compression", metavar="C23,...", help="Of FaceForensics++: only these."),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--methods", metavar="NAME,...", help="Only fakes of these methods."),
    ] = None,
    near_duplicates: Annotated[
        bool,
        typer.Option("--near-duplicates", help="Group look-alikes too; decodes 8 frames of each."),
    ] = False,
    group_by: Annotated[
        str,
        typer.Option(
            "--group-by",
            metavar="names|stem",
            help="stem: names that differ by a number alone, as ann_0 and ann_1, are one person.",
        ),
    ] = "names",
    params: ParamsOption = None,
    set_: SetOption = None,
    workers: WorkersOption = None,
) -> None:
    """Find, probe, digest, label, group and split the videos below ROOT.

    Example: unmask index videos -o manifest.csv
    """
    from pipeline.training import stages

    stages.index_videos(
        root,
        out,
        layout=layout,
        compression=compression or (),
        methods=methods or (),
        near_duplicates=near_duplicates,
        group_by=group_by,
        params=load(params, set_),
        workers=workers,
    )


@app.command()
def audit(
    manifest: Annotated[Path, typer.Argument(help="The manifest that `index` wrote.")],
    root: RootOption = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Page to write, as audit.html.")
    ] = None,
    no_hashes: Annotated[
        bool, typer.Option("--no-hashes", help="Decode nothing: no search for near-duplicates.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 10 where something is in two splits.")
    ] = False,
    json_: JsonOption = False,
    workers: WorkersOption = None,
) -> None:
    """Look for leaks: people, originals, near-duplicates in two splits; telling metadata.

    Example: unmask audit manifest.csv --root videos -o audit.html
    """
    from pipeline.evaluation.audit import audit_manifest
    from pipeline.machine import cores

    audit_manifest(
        manifest,
        root=root,
        out=out,
        hashes=not no_hashes,
        strict=strict,
        workers=workers or cores(),
        as_json=json_,
    )


@app.command()
def backbone(
    name: Annotated[
        str, typer.Argument(help="resnet50-imagenet, resnet50-thin, resnet50-random or a path.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write the weights to.")],
    params: ParamsOption = None,
    set_: SetOption = None,
) -> None:
    """Write a backbone's weights to a folder, fetching them once where they must be fetched.

    Example: unmask backbone resnet50-imagenet -o weights/imagenet
    """
    from pipeline.training import stages

    stages.export_backbone(name, out, params=load(params, set_))


@app.command()
def extract(
    source: Annotated[Path, typer.Argument(help="A manifest, a folder of videos, or one video.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of features to write.")],
    root: RootOption = None,
    backbone: Annotated[
        str | None, typer.Option(help="Name or path of the backbone; default: backbone.name.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Take frames and backbone from this bundle.")
    ] = None,
    params: ParamsOption = None,
    set_: SetOption = None,
    store: StoreOption = Path(".unmask/store"),
    max_failures: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of videos that may fail; default in params."),
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(help="Of the backbone: auto, tensorflow, openvino; default in params."),
    ] = None,
    workers: WorkersOption = None,
    engine: Annotated[str, typer.Option(help="local, or ray: a cluster's machines.")] = "local",
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Of the Ray cluster; default: this machine alone."),
    ] = None,
) -> None:
    """Turn videos into ResNet50 embedding sequences; what the store has is not made again.

    Example: unmask extract manifest.csv --root videos -o embeddings
    """
    from pipeline.extraction.extract import extract_features

    chosen = [f"extract.runtime={runtime}"] if runtime else []
    extract_features(
        source,
        out,
        root=root,
        backbone=backbone,
        bundle=bundle,
        params=load(params, [*(set_ or []), *chosen]),
        store=store,
        max_failures=max_failures,
        workers=workers,
        engine=engine,
        address=address,
    )


@app.command()
def finetune(
    manifest: Annotated[Path, typer.Argument(help="The manifest that `index` wrote.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write the weights to.")],
    root: RootOption = None,
    backbone: Annotated[
        str | None, typer.Option(help="Name or path of the backbone to start from.")
    ] = None,
    params: ParamsOption = None,
    set_: SetOption = None,
    store: StoreOption = Path(".unmask/store"),
    allow_seen: AllowSeenOption = False,
    workers: WorkersOption = None,
) -> None:
    """Fine-tune the backbone's last blocks on the training split's frames.

    Example: unmask finetune manifest.csv --root videos -o weights/finetuned
    """
    from pipeline.training import stages

    stages.finetune_backbone(
        manifest,
        out,
        root=root,
        backbone=backbone,
        params=load(params, set_),
        store=store,
        workers=workers,
        allow_seen=allow_seen,
    )


@app.command()
def train(
    features: Annotated[Path, typer.Argument(help="Folder of features that `extract` wrote.")],
    manifest: ManifestOption,
    out: Annotated[Path, typer.Option("-o", "--out", help="Bundle folder to write.")],
    params: ParamsOption = None,
    set_: SetOption = None,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write curves for TensorBoard there, too.")
    ] = None,
    allow_seen: AllowSeenOption = False,
) -> None:
    """Train the LSTM head, and its mean-pool baseline, on cached features.

    Example: unmask train embeddings --manifest manifest.csv -o bundle --set head.units=64
    """
    from pipeline.training import stages

    stages.train_bundle(
        features,
        out,
        manifest=manifest,
        params=load(params, set_),
        tensorboard=tensorboard,
        allow_seen=allow_seen,
    )


@app.command()
def sweep(
    features: Annotated[Path, typer.Argument(help="Folder of features that `extract` wrote.")],
    manifest: ManifestOption,
    out: Annotated[Path, typer.Option("-o", "--out", help="Sweep folder to write or go on with.")],
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", metavar="KEY=A,B", help="Values of one parameter; repeatable."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each setting.")] = 3,
    params: ParamsOption = None,
    set_: SetOption = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; default: the cores.")
    ] = None,
    allow_seen: AllowSeenOption = False,
    json_: JsonOption = False,
) -> None:
    """Train heads over a grid of parameters and seeds; rank them by validation alone.

    Example: unmask sweep embeddings --manifest manifest.csv -o sweep --grid head.units=64,128
    """
    from pipeline.search.sweep import sweep as run_sweep

    run_sweep(
        features,
        out,
        manifest=manifest,
        grid=grid or [],
        seeds=seeds,
        params=params,
        overrides=set_ or [],
        workers=workers,
        as_json=json_,
        allow_seen=allow_seen,
    )


@app.command()
def evaluate(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="BUNDLE FEATURES", help="A bundle and its features; with --on: BUNDLE..."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Report folder to write.")],
    manifest: Annotated[
        Path | None, typer.Option("--manifest", metavar="FILE", help="The manifest of FEATURES.")
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(
            "--on",
            metavar="[NAME=]FEATURES:MANIFEST",
            help="A data set to test on; repeat it for a cross-data-set matrix.",
        ),
    ] = None,
    root: RootOption = None,
    split: Annotated[str, typer.Option(help="Split: test, val, train or all.")] = "test",
    allow_seen: Annotated[
        bool, typer.Option("--allow-seen", help="Evaluate on seen people too; marks the report.")
    ] = False,
    params: ParamsOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Measure bundles on videos and people that they never saw; write metrics, plots, report.html.

    Example: unmask evaluate bundle embeddings --manifest manifest.csv -o report

    Example: unmask evaluate a b --on a-features:a.csv --on b-features:b.csv -o matrix
    """
    from pipeline.evaluation.evaluate import evaluate_any

    metrics = evaluate_any(
        sources,
        out,
        manifest=manifest,
        on=on or (),
        root=root,
        split=split,
        allow_seen=allow_seen,
        params=load(params, set_),
        quiet=json_,
    )
    if json_:
        typer.echo(json.dumps(metrics, indent=2, sort_keys=True))


@app.command()
def robustness(
    bundle: Annotated[Path, typer.Argument(help="Bundle that `train` wrote.")],
    manifest: Annotated[Path, typer.Argument(help="The manifest that `index` wrote.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of results to write.")],
    root: RootOption = None,
    split: Annotated[str, typer.Option(help="Split: test, val, train or all.")] = "test",
    rungs: Annotated[
        list[str] | None,
        typer.Option("--rungs", metavar="NAME,...", help="Only these; see docs/evaluation.md."),
    ] = None,
    store: Annotated[
        Path, typer.Option(help="Where finished features are kept for every later run.")
    ] = Path(".unmask/store"),
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Keep the degraded copies made now in a folder.")
    ] = None,
    allow_seen: Annotated[
        bool, typer.Option("--allow-seen", help="Measure on seen people too; marks the report.")
    ] = False,
    params: ParamsOption = None,
    set_: SetOption = None,
    workers: WorkersOption = None,
    json_: JsonOption = False,
) -> None:
    """Degrade the test videos step by step and measure what is left of the AUC.

    Example: unmask robustness bundle manifest.csv --root videos -o robustness
    """
    from pipeline.evaluation.robustness import measure_robustness

    measure_robustness(
        bundle,
        manifest,
        out,
        root=root,
        split=split,
        rungs=rungs or (),
        store=store,
        keep=keep,
        allow_seen=allow_seen,
        params=load(params, set_),
        workers=workers,
        as_json=json_,
    )


@app.command()
def predict(
    bundle: Annotated[Path, typer.Argument(help="Bundle that `train` wrote.")],
    videos: Annotated[list[Path], typer.Argument(help="Videos, or folders of them.")],
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="PAGE_OR_DIR", help="Write a page for each video."),
    ] = None,
    json_: JsonOption = False,
    workers: WorkersOption = None,
) -> None:
    """Say for each video and face: REAL, FAKE or UNSURE, how probable, from how many frames.

    Example: unmask predict bundle interview.mp4 --report interview.html
    """
    from pipeline.inference.predict import predict_videos

    if predict_videos(bundle, videos, as_json=json_, workers=workers, report=report):
        raise typer.Exit(PARTLY_FAILED)


PARTLY_FAILED = 12
"""Exit code of `predict` and `scan` where some video gave no verdict."""


@app.command()
def scan(
    bundle: Annotated[Path, typer.Argument(help="Bundle that `train` wrote.")],
    folder: Annotated[Path, typer.Argument(help="Folder of videos, however many and deep.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder to write; a scan goes on in it.")
    ],
    store: Annotated[
        Path, typer.Option(help="Where finished features are kept for every later run.")
    ] = Path(".unmask/store"),
    retry: Annotated[
        bool, typer.Option("--retry", help="Try videos again that failed in an earlier run.")
    ] = False,
    json_: JsonOption = False,
    workers: WorkersOption = None,
) -> None:
    """Score a folder of thousands of videos, ranked; a scan that was ended goes on.

    Example: unmask scan bundle archive -o scan
    """
    from pipeline.inference.scan import scan_folder

    failed = scan_folder(
        bundle, folder, out, store=store, retry=retry, as_json=json_, workers=workers
    )
    if failed:
        raise typer.Exit(PARTLY_FAILED)


@app.command()
def results(
    reports: Annotated[Path, typer.Argument(help="Folder of reports that `evaluate` wrote.")],
    json_: JsonOption = False,
) -> None:
    """Show the results of several reports side by side, and where their pages are.

    Example: unmask results artifacts/reports
    """
    from pipeline.evaluation.evaluate import show_results

    show_results(reports, as_json=json_)


@app.command()
def compare(
    a: Annotated[
        Path, typer.Argument(metavar="A", help="Report that `evaluate` wrote; with --on, a bundle.")
    ],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one, on the same videos.")],
    on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FEATURES:MANIFEST",
            help="Score two bundles on this data set; once more for features of B's backbone.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="lstm, mean, ... of A and B; default: the first of each.")
    ] = None,
    other: Annotated[
        str | None, typer.Option(help="B's model, where it is not the same as A's.")
    ] = None,
    split: Annotated[str, typer.Option(help="With --on: train, val, test or all.")] = "test",
    allow_seen: Annotated[
        bool, typer.Option("--allow-seen", help="With --on: score what was seen in training, too.")
    ] = False,
    params: ParamsOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Test whether two models differ: AUC by DeLong's test, and by a bootstrap of groups.

    Example: unmask compare reports/frozen reports/finetuned
    Example: unmask compare bundle-a bundle-b --on embeddings:manifest.csv
    """
    from pipeline.config import is_given
    from pipeline.evaluation.compare import compare_any

    compare_any(
        a,
        b,
        model=model,
        other=other,
        on=on or (),
        split=split,
        allow_seen=allow_seen,
        params=load(params, set_),
        as_json=json_,
        level_given=is_given(params, set_ or [], "evaluate.confidence"),
    )


@store_app.command()
def inspect(
    features: Annotated[Path, typer.Argument(help="Folder of features, or a store.")],
    json_: JsonOption = False,
) -> None:
    """Show what a folder of features holds: recipe, backbone, videos, sizes, versions.

    Example: unmask store inspect embeddings
    """
    from pipeline.upkeep.inspection import inspect_features

    inspect_features(features, as_json=json_)


@store_app.command()
def verify(
    features: Annotated[Path, typer.Argument(help="Folder of features, or a store.")],
    json_: JsonOption = False,
) -> None:
    """Read every byte of a folder of features and report all damage; exit 5 if there is any.

    Example: unmask store verify embeddings
    """
    from pipeline.upkeep.inspection import verify_features

    verify_features(features, as_json=json_)


DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show it and change nothing.")]
StoreArgument = Annotated[Path, typer.Argument(help="The store that `extract` fills.")]


@store_app.command()
def repair(
    features: Annotated[Path, typer.Argument(help="Folder of features, or a store.")],
    copies: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="Where intact copies may be; default: the store, and all features below here.",
        ),
    ] = None,
    dry_run: DryRunOption = False,
    json_: JsonOption = False,
) -> None:
    """Rescue the intact videos of damaged shards and list those to extract again.

    Example: unmask store repair embeddings
    """
    from pipeline.upkeep.upkeep import repair_features

    repair_features(features, copies=copies, dry_run=dry_run, as_json=json_)


@store_app.command()
def gc(
    store: StoreArgument = Path(".unmask/store"),
    keep: Annotated[
        list[Path] | None,
        typer.Option(
            "--keep",
            metavar="FEATURES",
            help="A folder of features that stays whole; default: all below the current folder.",
        ),
    ] = None,
    drop_linked: Annotated[
        bool, typer.Option("--drop-linked", help="Also remove what has hard links elsewhere.")
    ] = False,
    dry_run: DryRunOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    json_: JsonOption = False,
) -> None:
    """Show which shards no folder of features uses, then remove them.

    Example: unmask store gc --dry-run
    """
    from pipeline.upkeep.upkeep import collect_garbage

    collect_garbage(
        store, keep=keep, drop_linked=drop_linked, dry_run=dry_run, yes=yes, as_json=json_
    )


@store_app.command()
def compact(
    store: StoreArgument = Path(".unmask/store"),
    dry_run: DryRunOption = False,
    json_: JsonOption = False,
) -> None:
    """Merge the small shards that many small runs left.

    Example: unmask store compact
    """
    from pipeline.upkeep.upkeep import compact_store

    compact_store(store, dry_run=dry_run, as_json=json_)


@store_app.command()
def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="Folder of features.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    most: Annotated[int, typer.Option(min=0, help="How many videos to list.")] = 10,
    json_: JsonOption = False,
) -> None:
    """Compare two folders of features of the same videos: frozen with fine-tuned, say.

    Example: unmask store diff artifacts/features/frozen artifacts/features/finetuned
    """
    from pipeline.upkeep.inspection import diff_features

    diff_features(a, b, most=most, as_json=json_)


def load(params: Path | None, overrides: list[str] | None) -> Any:
    """Reads the parameters of a command: the file, then each `--set`."""
    from pipeline.config import load_params

    return load_params(params, overrides or [])


def main() -> None:
    """Runs the command line; `pipeline.entry` calls it."""
    interrupts.install()
    try:
        app(prog_name="unmask")
    finally:
        interrupts.end()


if __name__ == "__main__":
    main()
