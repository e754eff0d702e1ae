"""What a grader judges, and how."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

MAX_TEXT = 4 << 20
MAX_NAMES = 20_000
MAX_EVIDENCE = 4_000


class Unlisted(Exception):
    """A folder is there, and cannot be listed whole. The clause that looked into it fails."""


class Tree:
    """A folder that something hostile may have written. Paths have `/` between names; no link is followed."""

    def __init__(self, base: str | os.PathLike[str]) -> None:
        self._base = os.fspath(base)

    def text(self, path: str) -> str | None:
        """The text of a regular file of at most 4 MiB; None for anything else."""
        kind = self._kind(path)
        if kind is None or not stat.S_ISREG(kind.st_mode):
            return None
        try:
            with open(self._full(path), "rb") as file:
                content = file.read(MAX_TEXT + 1)
            return content.decode("utf-8") if len(content) <= MAX_TEXT else None
        except (OSError, UnicodeDecodeError):
            return None

    def names(self, path: str = "") -> list[str]:
        """The names in a folder, sorted; none for anything else. Raises Unlisted where it cannot tell all of them."""
        kind = self._kind(path)
        if kind is None or not stat.S_ISDIR(kind.st_mode):
            return []
        try:
            names = sorted(os.listdir(self._full(path)))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Unlisted(f"the folder `{path or '.'}` cannot be listed: {error.strerror}") from error
        if len(names) > MAX_NAMES:
            raise Unlisted(f"the folder `{path or '.'}` holds more than {MAX_NAMES} names")
        return names

    def holds(self, path: str) -> bool:
        """Whether anything is at the path, a broken link included."""
        return self._kind(path) is not None

    def find(self, folder: str, name: str, depth: int) -> list[str]:
        """The paths below `folder` whose last name is `name`, at most `depth` folders deep."""
        found, waiting, budget = [], [(folder, depth)], MAX_NAMES
        while waiting:
            folder, left = waiting.pop()
            for entry in self.names(folder):
                budget -= 1
                if budget < 0:
                    raise Unlisted(f"there are more than {MAX_NAMES} names where `{name}` is looked for")
                path = f"{folder}/{entry}"
                if entry == name:
                    found.append(path)
                elif left > 0:
                    waiting.append((path, left - 1))
        return found

    def _full(self, path: str) -> str:
        return os.path.join(self._base, path) if path else self._base

    def _kind(self, path: str) -> os.stat_result | None:
        """What is there, if every folder on the way is a real one and no name steps out."""
        try:
            kind = os.lstat(self._base)
            at = self._base
            for name in filter(None, path.split("/")):
                if name in (".", "..") or not stat.S_ISDIR(kind.st_mode):
                    return None
                at = os.path.join(at, name)
                kind = os.lstat(at)
            return kind
        except (OSError, ValueError):
            return None


@dataclass
class Evidence:
    """All that a grader may look at."""

    before: Tree
    """The fixture as it was."""
    after: Tree
    """The root as the agent left it."""
    final_message: str = ""
    """The agent's last message to the person."""
    messages: tuple[str, ...] = ()
    """Everything that it said to the person, in order."""


@dataclass
class Finding:
    """Why a clause does not hold, for a person, with the text that shows it."""

    message: str
    evidence: str | None = None

    def __post_init__(self) -> None:
        if self.evidence is not None and len(self.evidence) > MAX_EVIDENCE:
            more = len(self.evidence) - MAX_EVIDENCE
            self.evidence = f"{self.evidence[:MAX_EVIDENCE]}\n… ({more} more characters)"


@dataclass(frozen=True)
class Clause:
    """One clause of a grader. Its check gives nothing where it holds, else a message or a Finding."""

    code: str
    requires: str
    check: Callable[[Evidence], "Finding | str | None"]


def judge(clauses: list[Clause], evidence: Evidence) -> dict[str, Finding]:
    """Checks every clause, and gives the findings of those that fail by their codes."""
    findings = {}
    for clause in clauses:
        try:
            found = clause.check(evidence)
        except Unlisted as error:
            found = Finding(str(error))
        if isinstance(found, str):
            found = Finding(found)
        if not isinstance(found, Finding | None):
            # `True` and `False` say nothing of which is meant.
            raise TypeError(f"the check of `{clause.code}` gave {found!r}, and neither None nor a message")
        if found is not None:
            findings[clause.code] = found
    return findings
