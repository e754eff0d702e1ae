"""Scenarios for `host`, in Python: a grader is a list of clauses, a scenario one object, a plugin one call.

The same files load natively, for a grader's own tests; only a session needs the host.
"""

from .front_matter import front_matter
from .grading import Clause, Evidence, Finding, Tree, judge
from .plugin import Record, Scenario, Session, attach, metric, note, plugin, skip, step
from .wording import says

__all__ = [
    "Clause",
    "Evidence",
    "Finding",
    "Record",
    "Scenario",
    "Session",
    "Tree",
    "attach",
    "front_matter",
    "judge",
    "metric",
    "note",
    "plugin",
    "says",
    "skip",
    "step",
]
