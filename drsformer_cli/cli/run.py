"""`derain PATHS...`, in full `derain run PATHS...`: restore pictures."""

from __future__ import annotations

from typing import Annotated

import typer

from drsformer_cli.cli import options, work
from drsformer_cli.cli.evaluate import Protocol, ProtocolOption
from drsformer_cli.errors import UsageError


def run(
    inputs: options.PathsArgument,
    output: options.OutputOption = None,
    format: options.FormatOption = options.Format.SAME,
    quality: options.QualityOption = None,
    suffix: options.SuffixOption = "",
    report: options.ReportOption = None,
    model: options.ModelOption = "compact",
    device: work.DevicesOption = "auto",
    precision: options.PrecisionOption = options.Precision.AUTO,
    tile: options.TileOption = "auto",
    overlap: options.OverlapOption = None,
    memory: options.MemoryOption = None,
    ensemble: options.EnsembleOption = False,
    strength: options.StrengthOption = 1.0,
    overwrite: options.OverwriteOption = False,
    dry_run: options.DryRunOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    json_lines: options.JsonOption = False,
    clean: options.TruthOption = None,
    protocol: ProtocolOption = None,
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="Pictures with none in --gt, or a shared one, are no failure."),
    ] = False,
    shard: work.ShardOption = None,
    workers: work.WorkersOption = None,
    engine: work.EngineOption = work.EngineName.LOCAL,
    ray_address: work.RayAddressOption = None,
    gpus_per_worker: work.GpusOption = None,
    max_megapixels: work.MegapixelsOption = None,
) -> None:
    """Remove the rain from pictures.

    Folders are searched with all folders in them, and the results mirror their tree. A second run does only
    what is missing or has changed. No input is ever overwritten.

    \b
    Examples:
      derain photos/ -o clean/                  a folder, with all folders in it
      derain photos/ --dry-run                  only list what would be done
      derain rainy.jpg -o clear.png             one picture, as PNG
      derain '*.jpg' --suffix _clean            a pattern; the results go to derained/
      derain photos/ -m rain200h --memory 4G    another model, in no more memory than that
      derain photos/ -o out/ --gt clean/        restore, and measure
      derain - < in.png > out.png               in a pipe
    """
    options.refuse_contradiction(quiet=quiet, verbose=verbose)
    spread = work.Work.check(
        engine=engine,
        device=device,
        workers=workers,
        ray_address=ray_address,
        gpus_per_worker=gpus_per_worker,
        max_megapixels=max_megapixels,
    )
    chosen = options.ModelOptions.check(
        model=model,
        device=spread.devices[0],
        precision=precision,
        tile=tile,
        overlap=overlap,
        memory=memory,
        ensemble=ensemble,
        strength=strength,
    )
    from drsformer_cli.cli.order import Order

    if clean is None and (protocol is not None or allow_missing):
        raise UsageError("--protocol and --allow-missing are about clean pictures: give --gt FOLDER, too.")
    truth = None
    if clean is not None:
        from drsformer_cli.cli.truth import TruthOptions

        measured: Protocol = protocol or Protocol.RAIN200
        truth = TruthOptions(clean, measured.value, allow_missing)
    kind = None if format is options.Format.SAME else format.value
    from drsformer_cli.media.remote import local

    order = Order(
        inputs=[local(name) for name in inputs],
        output=None if output is None else local(output),
        format=kind,
        quality=quality,
        suffix=suffix,
        report=report,
        overwrite=overwrite,
        json_lines=json_lines,
        dry_run=dry_run,
        truth=truth,
        work=spread,
        shard=shard,
    )
    order.check()
    from drsformer_cli.cli.links import has_urls, plan_links
    from drsformer_cli.cli.session import Session

    plan = plan_links(order) if has_urls(order) else order.plan()

    session = Session(order, plan, quiet=quiet, verbose=verbose, model=model)
    failed = session.list_tasks(chosen) if dry_run else session.restore(chosen)
    if failed:
        raise typer.Exit(1)
