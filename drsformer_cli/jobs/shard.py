"""One part of the work out of several, for runs on several machines that know nothing of each other."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass

from drsformer_cli.errors import UsageError
from drsformer_cli.jobs.naming import Task

OTHERS = "of other shards"


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`, from 1.

    What belongs to it is told by each input's path below the folder the user named, not by its position in
    the list: a file that appears or goes while the machines make their lists moves no other file.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read "2/4". Raises UsageError."""
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        shard = cls(int(match[1]), int(match[2])) if match else cls(0, 0)
        if not 1 <= shard.index <= shard.count:
            raise UsageError(
                f"--shard {text} is no part of a whole: give I/N, from 1/4 to 4/4 for four parts."
            )
        return shard

    @property
    def part(self) -> str:
        """Return the name of this part's manifest."""
        return f"{self.index}-of-{self.count}"

    def owns(self, task: Task) -> bool:
        """Tell whether a task is for this part."""
        path = unicodedata.normalize("NFC", task.source.relative.as_posix())
        digest = hashlib.sha256(path.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1
