"""`derain eval`: how near restored pictures are to the truth, as the papers measure it."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drsformer_cli.cli import completion, options
from drsformer_cli.errors import UsageError

if TYPE_CHECKING:
    from drsformer_cli.quality.judge import Settings


class Protocol(str, Enum):
    """The ways of measuring."""

    RAIN200 = "rain200"
    DID_DDN = "did-ddn"
    RGB = "rgb"


class Dataset(str, Enum):
    """The data sets with published figures."""

    RAIN200L = "rain200l"
    RAIN200H = "rain200h"
    DID = "did"
    DDN = "ddn"
    SPA = "spa"


class Halves(str, Enum):
    """What is left and what is right in a picture that holds both."""

    RAINY_CLEAN = "rainy-clean"
    CLEAN_RAINY = "clean-rainy"


ProtocolOption = Annotated[
    Protocol | None,
    typer.Option(
        "--protocol",
        help="rain200 and did-ddn are the papers' (of luma), rgb is scikit-image's.  "
        "[default: the data set's, else rain200]",
    ),
]
AllowMissingOption = Annotated[
    bool,
    typer.Option(
        "--allow-missing", help="Missing, extra, doubled and differently sized ones are no failure."
    ),
]


def evaluate(
    restored: Annotated[
        str,
        typer.Option("--pred", metavar="FOLDER", help="The restored pictures: a folder, pattern or file."),
    ],
    clean: Annotated[
        str | None, typer.Option("--gt", metavar="FOLDER", help="The clean ones, the truth.")
    ] = None,
    rainy: Annotated[
        str | None,
        typer.Option(
            "--input", metavar="FOLDER", help="The rainy ones: scored, too, and shown in the report."
        ),
    ] = None,
    protocol: ProtocolOption = None,
    dataset: Annotated[
        Dataset | None,
        typer.Option("--dataset", help="Takes its protocol, and shows the figures published for it."),
    ] = None,
    scores: Annotated[
        list[str] | None,
        typer.Option(
            "--score",
            metavar="NAME",
            autocompletion=completion.SCORES,
            help="One more: lpips; brisque or niqe, which need no --gt; or a package's own. Repeatable.",
        ),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            "--pair", metavar="REGEX", help="Names belong together whose groups are equal, as '0*(\\d+)'."
        ),
    ] = None,
    halves: Annotated[
        Halves | None,
        typer.Option("--side-by-side", help="--gt holds pictures of two halves, from left to right."),
    ] = None,
    allow_missing: AllowMissingOption = False,
    report: Annotated[
        list[Path] | None,
        typer.Option(
            "--report", metavar="FILE", help="Write a .html, .json, .csv, .md or .tex file. Repeatable."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="TEXT", help="Of the method.  [default: the folder's]")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=1, help="Processes at work.  [default: one a processor]"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let a report replace a file that is no report.")
    ] = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    json_lines: options.JsonOption = False,
) -> None:
    """Measure restored pictures against clean ones.

    Pairs are found by name, whatever the extension: 1.png and 1.jpg, rain-001 and norain-001, 1_DR and 1_GT,
    sub-folders alike. Nothing is resized, and nothing passed over silently: what has no partner is listed and
    makes the exit status 1.

    \b
    Examples:
      derain eval --gt clean/ --pred out/
      derain eval --gt clean/ --pred out/ --input rainy/ --report report.html
      derain eval --gt Rain200H/norain/ --pred out/ --dataset rain200h --report row.tex
      derain eval --pred out/ --score brisque
    """
    options.refuse_contradiction(quiet=quiet, verbose=verbose)
    _check(clean, scores or [], protocol, dataset, halves)
    from drsformer_cli.cli.verdict import Verdict, check_reports
    from drsformer_cli.quality import extra
    from drsformer_cli.quality.folders import gather
    from drsformer_cli.quality.summary import Evaluation

    reports = report or []
    check_reports(reports, overwrite=overwrite)
    settings = _settings(protocol, dataset, scores or [], halves)
    for score in settings.scores:
        extra.check(score, truth=clean is not None)
        extra.better(score)  # loads what another package brings
    work = gather(restored, clean, rainy, pattern=pattern)
    method = name or _folder_of(restored).name
    evaluation = Evaluation(method, settings, problems=work.problems, dataset=dataset and dataset.value)
    verdict = Verdict(
        evaluation, work, reports, quiet=quiet, verbose=verbose, json_lines=json_lines, workers=workers
    )
    if verdict.reach(allow_missing=allow_missing):
        raise typer.Exit(1)


def _folder_of(restored: str) -> Path:
    """Return what the results are in; of a pattern, the folder it begins in."""
    path = Path(restored).absolute()
    if path.exists():
        return path
    return next((each for each in path.parents if not any(char in str(each) for char in "*?[")), path)


def _check(
    clean: str | None,
    scores: list[str],
    protocol: Protocol | None,
    dataset: Dataset | None,
    halves: Halves | None,
) -> None:
    """Refuse what makes no sense before anything heavy is loaded."""
    if clean is not None:
        return
    if not scores:
        raise UsageError(
            "without clean pictures only --score brisque and niqe can be measured: give --gt FOLDER, too."
        )
    for option, value in (("--protocol", protocol), ("--dataset", dataset), ("--side-by-side", halves)):
        if value is not None:
            raise UsageError(f"{option} is about clean pictures: give --gt FOLDER, too.")


def _settings(
    protocol: Protocol | None, dataset: Dataset | None, scores: list[str], halves: Halves | None
) -> Settings:
    from drsformer_cli.quality.judge import Settings
    from drsformer_cli.quality.published import DATASETS

    chosen = None if dataset is None else DATASETS[dataset.value].protocol
    if protocol is not None and chosen is not None and protocol.value != chosen:
        raise UsageError(
            f"--dataset {dataset and dataset.value} goes by --protocol {chosen}: leave one of the two out."
        )
    return Settings(
        protocol=chosen or (protocol.value if protocol is not None else "rain200"),
        scores=tuple(dict.fromkeys(scores)),
        side_by_side=None if halves is None else halves.value,
    )
