"""`derain weights`: the models there are, and how to get, import and check them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drsformer_cli.cli import completion, options
from drsformer_cli.cli.refusals import Command, Group
from drsformer_cli.cli.words import printable, say
from drsformer_cli.errors import CheckpointError, WeightsError

if TYPE_CHECKING:
    from drsformer_cli.weights import Entry, Store
    from drsformer_cli.weights.transfer import Progress

weights_app = typer.Typer(
    name="weights",
    cls=Group,
    help="List, fetch, import and check models.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line, for scripts.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the model that is there.")]


@weights_app.command("list", cls=Command)
def list_models(as_json: Json = False, _verbose: options.DetailsOption = False) -> None:
    """List the models: those known by name, and those you imported.

    \b
    Examples:
      derain weights list
      derain weights list --json
    """
    from drsformer_cli.weights import Store, all_names, catalog

    store, known = Store(), catalog()
    rows = [_described(name, store, known.get(name)) for name in all_names(store, known)]
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row))
        return
    _print_table(rows)


@weights_app.command("get", cls=Command)
def get_model(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            autocompletion=completion.model_names,
            help="A name of `derain weights list`.",
        ),
    ],
    url: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="URL",
            help="Where to fetch it from: the address of the file, or, with a / at its end, of a folder that "
            "holds NAME.pth or NAME.safetensors.  [default: DERAIN_WEIGHTS_MIRROR, else Google Drive]",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Fetch it again, and accept a file that differs from the first one."),
    ] = False,
    as_json: Json = False,
    _verbose: options.DetailsOption = False,
) -> None:
    """Download a model, check it, and keep it in the cache.

    Nothing is downloaded if the model is here already, or if DERAIN_OFFLINE is set.

    \b
    Examples:
      derain weights get rain200h
      derain weights get rain200h --from https://example.org/models/
      derain weights get did --from https://example.org/did.safetensors
    """
    from drsformer_cli.weights import get

    with _progress(name) as progress:
        fetched = get(name, url=url, force=force, progress=progress, waiting=lambda: _waiting(name))
    if as_json:
        typer.echo(json.dumps({**asdict(fetched), "path": str(fetched.path)}))
    else:
        how = "downloaded" if fetched.downloaded else "already here"
        typer.echo(printable(f"{name}: {how}, {fetched.path}"))


@weights_app.command("import", cls=Command)
def import_model(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .pth or .safetensors checkpoint.")],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Its name from now on.  [default: the file's]"),
    ] = None,
    force: Force = False,
    as_json: Json = False,
    _verbose: options.DetailsOption = False,
) -> None:
    """Check a checkpoint file and keep a copy of it in the cache, under a name.

    Any DRSformer will do. A name of `derain weights list` takes only the file that belongs to it.

    \b
    Examples:
      derain weights import Rain200H.pth
      derain weights import ~/Downloads/net_g_latest.pth --name mine
      derain photos/ --model mine
    """
    from drsformer_cli.weights import Store, import_file

    record = import_file(file, name, force=force, waiting=lambda: _waiting(name or file.stem))
    path = Store().path(record.name)
    if as_json:
        typer.echo(json.dumps({**asdict(record), "path": str(path)}))
    else:
        typer.echo(printable(f"{record.name}: imported ({record.variant}), {path}"))


@weights_app.command("verify", cls=Command)
def verify_models(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            autocompletion=completion.model_names,
            help="Models to check.  [default: all that are here]",
        ),
    ] = None,
    as_json: Json = False,
    _verbose: options.DetailsOption = False,
) -> None:
    """Read models again: hash as recorded, every shape right, every value finite.

    \b
    Examples:
      derain weights verify
      derain weights verify rain200h
    """
    from drsformer_cli.weights import Store, catalog, verify

    bundled = [name for name, entry in catalog().items() if entry.bundled]
    chosen = names or [*bundled, *Store().names()]
    problems: dict[str, WeightsError] = {}
    for name in chosen:
        row: dict[str, Any] = {"name": name, "sound": True}
        try:
            found = verify(name)
            row |= {"variant": found.variant, "sha256": found.sha256, "path": str(found.path)}
            line = f"{name}: sound ({found.variant}), SHA-256 {found.sha256}"
        except WeightsError as error:  # told at the end too; one bad model must not hide the others
            problems[name] = error
            row |= {"sound": False, "problem": str(error)}
            line = f"{name}: {error}"
        if as_json or name not in problems or len(chosen) > 1:
            typer.echo(json.dumps(row) if as_json else printable(line))
    if len(problems) == 1:
        raise next(iter(problems.values()))
    if problems:
        raise CheckpointError(
            f"{len(problems)} of {len(chosen)} models are not sound: {', '.join(problems)}; "
            "get or import them again with --force"
        )


@weights_app.command("where", cls=Command)
def where(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            autocompletion=completion.model_names,
            help="A model; its file is printed.  [default: the folder]",
        ),
    ] = None,
    as_json: Json = False,
    _verbose: options.DetailsOption = False,
) -> None:
    """Print the folder models are kept in, or the file of one model.

    DERAIN_CACHE moves the folder.

    \b
    Examples:
      derain weights where
      derain weights where compact
    """
    from drsformer_cli.weights import cache_folder, resolve

    path = cache_folder() if name is None else resolve(name)
    typer.echo(json.dumps({"name": name, "path": str(path)}) if as_json else path)


def _described(name: str, store: Store, entry: Entry | None) -> dict[str, Any]:
    """One model as plain values."""
    if entry is not None and entry.bundled is not None:
        path, state = entry.bundled, "bundled" if entry.bundled.is_file() else "missing"
    else:
        path, state = store.path(name), "ready" if store.has(name) else "not downloaded"
    row = {"name": name, "state": state, "path": str(path) if state in {"bundled", "ready"} else None}
    if entry is not None:
        return row | {
            "variant": entry.variant,
            "about": entry.about,
            "source": entry.source,
            "licence": entry.licence,
            "megabytes": entry.megabytes,
            "citation": entry.citation,
            "figures": [asdict(figure) for figure in entry.figures],
        }
    try:
        record = store.record(name)
    except WeightsError:  # a list is no place to fail; `verify` tells what is wrong
        record, row["state"] = None, "damaged"
    return row | {
        "variant": record.variant if record else None,
        "about": f"Imported on {record.added[:10]}" if record else "No record",
        "source": record.source if record else None,
        "licence": None,
        "megabytes": round(record.size / 1e6) if record else 0,
        "citation": None,
        "figures": [],
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for title in ("Model", "State", "PSNR / SSIM", "For"):
        table.add_column(title, no_wrap=title != "For")
    licences: dict[str, list[str]] = {}
    for row in rows:
        waiting = row["state"] == "not downloaded"
        state = f"{row['state']}, {row['megabytes']} MB" if waiting else row["state"]
        figures = "\n".join(f"{one['psnr']:.2f} / {one['ssim']:.4f}" for one in row["figures"])
        table.add_row(*(Text(printable(cell)) for cell in (row["name"], state)), figures, Text(row["about"]))
        if row["licence"]:
            licences.setdefault(row["licence"], []).append(row["name"])
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(table)
    console.print()
    console.print("PSNR in dB / SSIM as the models' authors report them on their own test pictures.")
    for licence, names in licences.items():
        console.print(f"Licence of {', '.join(names)}: {licence}.")
    for citation in sorted({row["citation"] for row in rows if row["citation"]}):
        console.print(f"Cite: {citation}")


@contextmanager
def _progress(name: str) -> Iterator[Progress | None]:
    """A bar on stderr while bytes come; nothing where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _waiting(name: str) -> None:
    say(f"waiting for another process that is at work on {name}")
