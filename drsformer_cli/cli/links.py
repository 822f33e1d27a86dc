"""`derain s3://...`: the places of inputs and results that are behind URLs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath

from drsformer_cli.cli.order import Order, Plan
from drsformer_cli.errors import SetupError, UsageError
from drsformer_cli.jobs.listing import FolderListing, Naming, Tasks, Walks, as_tasks
from drsformer_cli.jobs.naming import Task, absolute, plan_outputs, single_task
from drsformer_cli.media.discover import Discovery, Source, Walk, discover
from drsformer_cli.media.images import SUPPORTED_EXTENSIONS
from drsformer_cli.media.remote import RemoteWalk, is_url, look, metadata_at


def has_urls(order: Order) -> bool:
    """Tell whether anything of an order is behind a URL."""
    return any(is_url(name) for name in (*order.inputs, order.output or ""))


def plan_links(order: Order) -> Plan:
    """Search, and give each input its output, as `Order.plan` does for what is on disks.

    Raises UsageError for what is not there, or has no place, and SetupError where a store cannot be reached.
    """
    if order.output is None:
        raise UsageError(f"{order.inputs[0]} has no folder beside it for results: say where they go with -o.")
    if order.to_stream or "-" in order.inputs:
        raise UsageError("a pipe and a URL do not go together: name a file.")
    if len(order.inputs) > 1 and any(is_url(name) for name in order.inputs):
        raise UsageError(f"{order.inputs[0]}: a URL stands alone; leave the other paths out.")
    if order.truth is not None:
        raise UsageError("--gt scores files on a disk: leave it out with a URL, and use derain eval later.")
    remote = is_url(order.output)
    if remote:
        metadata_at(order.output)
    found = Discovery()
    one = _the_one(order)
    if one is not None and PurePath(order.output).suffix.lower() in SUPPORTED_EXTENSIONS:
        format = order.format_of(order.output, one)
        base, _, name = order.output.rpartition("/") if remote else ("", "", order.output)
        task = Task(one, Path("/"), PurePosixPath(name), base=base) if remote else single_task(one, name)
        return Plan([task], found, format, order.quality, task.place, remote)
    folder = absolute("/") if remote else absolute(order.output)
    tasks = _tasks(order, one, folder, found)
    if remote:
        tasks = _sent(tasks, order.output.rstrip("/"))
    where = order.output.rstrip("/") + "/"
    return Plan(tasks, found, order.format, order.quality, where, remote)


def _the_one(order: Order) -> Source | None:
    """Return the input if it is one file. Raises UsageError if nothing is there, SetupError if it may not."""
    name = order.inputs[0]
    if is_url(name):
        try:
            seen = look(name.rstrip("/"))
        except PermissionError as error:
            raise SetupError(f"{name} may not be read: {error.strerror}.") from error
        if seen is None:
            raise UsageError(f"{name} does not exist; check the spelling.")
        leaf = PurePosixPath(name.rstrip("/").rpartition("/")[2])
        return None if seen.folder else Source(None, leaf, None, True, url=name)
    path = Path(name)
    if len(order.inputs) > 1 or not path.is_file():
        return None
    return Source(path, PurePath(path.name), path.parent, True)


def _tasks(order: Order, one: Source | None, folder: Path, found: Discovery) -> Tasks:
    """Return the tasks below a folder on a disk, or below one that stands for a URL."""
    name = order.inputs[0]
    owns = order.owns(found)
    if one is not None:
        return [task for task in _planned(order, [one], folder) if owns(task)]
    walk: Walks
    root = None
    if is_url(name):
        if order.output is not None and order.output.rstrip("/") == name.rstrip("/"):
            raise UsageError(f"the results of {name} would go among its own files: choose another -o.")
        walk = RemoteWalk(name, [order.output or ""], found)
    elif len(order.inputs) == 1 and Path(name).is_dir():
        root = Path(name)
        walk = Walk(root, [], found)
    else:
        several = discover(order.inputs)
        found.skipped.update(several.skipped)
        found.passed_over += several.passed_over
        found.unnamed += several.unnamed
        return [task for task in _planned(order, several.sources, folder) if owns(task)]
    naming = Naming(folder, folder, order.format, order.suffix)
    return as_tasks(iter(FolderListing(walk, naming, found, root=root, owns=owns)), root)


def _planned(order: Order, sources: list[Source], folder: Path) -> list[Task]:
    return plan_outputs(sources, output=folder, format=order.format, suffix=order.suffix)


def _sent(tasks: Tasks, base: str) -> Tasks:
    """Return the same tasks with results behind a URL."""

    def send(some: Iterable[Task]) -> Iterator[Task]:
        return (replace(task, base=base) for task in some)

    if isinstance(tasks, list):
        return list(send(tasks))
    return as_tasks(send(tasks), None)
