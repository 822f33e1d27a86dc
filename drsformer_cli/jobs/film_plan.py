"""What is done with one film, settled and said before the work starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from drsformer_cli import __version__
from drsformer_cli.errors import UsageError
from drsformer_cli.jobs.film_record import without_memory
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.record import plain
from drsformer_cli.media.video import Film, probe
from drsformer_cli.media.video_codec import CODECS, Encoding, check_options, choose, container_of
from drsformer_cli.media.video_pixels import Pixels
from drsformer_cli.media.video_tracks import Company, Cut, keep_company

#: Pixels of a segment: what a crash may cost is the work on so many, or on LEAST pictures.
SEGMENT_PIXELS = 20_000_000
LEAST, MOST = 24, 250


@dataclass(frozen=True)
class Wish:
    """What the user asks of the encoding: "auto" and None leave it to the film. Times are in seconds."""

    codec: str = "auto"
    crf: int | None = None
    preset: str | None = None
    start: Fraction | None = None
    end: Fraction | None = None

    def check(self) -> None:
        """Raise UsageError for what no film can have."""
        if self.codec in CODECS:
            check_options(self.codec, self.crf, self.preset)


@dataclass(frozen=True)
class FilmPlan:
    """One film, how its pictures are encoded, and what becomes of everything else in it."""

    task: Task
    film: Film
    pixels: Pixels
    encoding: Encoding
    company: Company
    cut: Cut

    @property
    def container(self) -> str:
        """The muxer of the result."""
        return self.company.container

    @property
    def segment(self) -> int:
        """Pictures in a segment."""
        area = self.film.width * self.film.height
        return max(LEAST, min(MOST, SEGMENT_PIXELS // area))

    @property
    def as_picture(self) -> bool:
        """Tell whether it is an animation that is restored as the picture file it is, frame by frame."""
        return self.film.container == "gif" and self.container == "gif" and self.cut.whole

    @property
    def frames(self) -> int | None:
        """How many pictures there are to restore, about; None if nothing says so."""
        film, cut = self.film, self.cut
        if film.frames is None or cut.whole or not film.seconds:
            return film.frames
        end = min(film.seconds, float(cut.end) if cut.end is not None else film.seconds)
        share = max(0.0, end - float(cut.start or 0)) / film.seconds
        return max(1, round(film.frames * share))

    @property
    def notes(self) -> list[str]:
        """What is converted, dropped or taken for granted, in words."""
        if self.as_picture:
            return []
        return [
            *self.film.cautions,
            *self.pixels.notes,
            *self.encoding.notes,
            *self.company.notes,
            *self._of_timing(),
        ]

    def _of_timing(self) -> list[str]:
        if self.film.chapters and not self.cut.whole:
            dropped = f"{self.film.chapters} chapters dropped: they are of the whole film"
            return [dropped, *self._milliseconds()]
        return self._milliseconds()

    def _milliseconds(self) -> list[str]:
        base = self.film.time_base
        if self.container in ("matroska", "webm") and (1000 * base).denominator != 1:
            return ["timestamps are rounded to milliseconds: Matroska has no finer ones"]
        return []

    def settings(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """Return all that decides the bytes of the result besides the input."""
        return {**model, "film": {**self.encoding.to_dict(), **self.company.to_dict(), "cut": self._cut()}}

    def _cut(self) -> list[str | None]:
        return [None if time is None else str(time) for time in (self.cut.start, self.cut.end)]

    def head(
        self, source: Mapping[str, Any], model: Mapping[str, Any], plan: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return what must be the same for segments of two runs to go together; `source` identifies the film.

        How much memory there is decides nothing where pictures are done whole, nor which of several GPUs.
        """
        import av

        settings = self.settings(model)
        plan = {**plan, "device": str(plan.get("device")).partition(":")[0]}
        if plan.get("whole") is True:
            settings = without_memory(settings)
            plan = {name: value for name, value in plan.items() if name not in ("limit", "memory")}
        return plain(
            {
                "input": dict(source),
                "settings": settings,
                "plan": dict(plan),
                "segment": self.segment,
                "versions": {"derain": __version__, "av": av.__version__, **_libraries(av.library_versions)},
            }
        )

    def words(self) -> list[str]:
        """Return in lines what is kept, converted and dropped."""
        film, encoding = self.film, self.encoding
        turned = f", turned by {90 * film.turn[1] % 360} degrees" if film.turn[1] else ""
        turned += ", mirrored" if film.turn[0] else ""
        count = f"{self.frames} pictures" if self.frames else "as many pictures as there are"
        if self.as_picture:
            return [f"{count} of {film.width} x {film.height}, palettes made anew, delays and loop kept"]
        pixels = film.pixels.replace("yuvj", "yuv")
        kept = "kept" if encoding.pixels == pixels else f"become {encoding.pixels}"
        lines = [
            f"{count} of {film.width} x {film.height}{turned}, {film.track.codec} to {encoding.codec}"
            + (f", crf {encoding.options['crf']}" if "crf" in encoding.options else "")
            + f"; {pixels} {kept}"
        ]
        copied = [copy.track.words for copy in self.company.copies if copy.encoder == "copy"]
        if copied:
            lines.append("copied: " + ", ".join(copied))
        return lines + self.notes


def _libraries(versions: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    wanted = ("libavcodec", "libswscale")
    return {name: ".".join(map(str, versions[name])) for name in wanted if name in versions}


def plan_film(task: Task, wish: Wish) -> FilmPlan:
    """Read what a film is and settle what is done with it.

    Raises UsageError for wishes that cannot be had, InputError for what cannot be restored, OSError.
    """
    assert task.source.path is not None
    container = container_of(task.path)
    film = probe(task.source.path)
    if wish.start is not None and film.seconds is not None and wish.start >= film.seconds:
        raise UsageError(
            f"--start lies behind the end of {film.path}, which lasts {film.seconds:.2f} seconds."
        )
    cut = Cut(wish.start, wish.end)
    pixels = Pixels(film)
    encoding = choose(film, pixels, container, codec=wish.codec, crf=wish.crf, preset=wish.preset)
    return FilmPlan(task, film, pixels, encoding, keep_company(film, container), cut)
