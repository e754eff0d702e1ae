"""What a plugin exports, and its conversation with the lane's agent."""

from collections.abc import Callable
from dataclasses import dataclass, field

try:
    from componentize_py_types import Err
    from wit_world.exports import scenarios as exported
    from wit_world.imports import agent, report
except ModuleNotFoundError:  # natively, in a test of a grader
    Err = exported = agent = report = None

from .grading import Clause, Evidence, Tree, judge


@dataclass
class Record:
    """What a whole session showed."""

    events: list
    """Every event, as the host's `agent.Event`."""
    conclusion: object
    """The host's `agent.Conclusion`."""

    def evidence(self) -> Evidence:
        """The evidence inside an attempt: the fixture as it was, the root as it is, and what was said."""
        said = [event.kind.value for event in self.events if isinstance(event.kind, agent.EventKind_Message)]
        final = self.conclusion.final_message
        if said[-1:] != [final]:
            said.append(final)
        return Evidence(Tree("/host/before"), Tree("/"), final, tuple(said))


class Session:
    """A live conversation. A session that breaks raises, which the scenario need not catch: the host has noted it."""

    def __init__(self, prompt: str) -> None:
        self._session = agent.Session.start(prompt)
        self._events: list = []

    @staticmethod
    def run(prompt: str) -> Evidence:
        """Runs one prompt to its end, and gives the evidence."""
        return Session(prompt).conclude().evidence()

    def next_event(self) -> object | None:
        """Waits for the next event; None when the agent waits for the person."""
        event = self._session.next_event()
        if event is not None:
            self._events.append(event)
        return event

    def send(self, message: str) -> None:
        """Ends the turn, and gives the agent another message."""
        while self.next_event() is not None:
            pass
        self._session.send(message)

    def conclude(self) -> Record:
        """Waits for the end of the turn and ends the agent. The root does not change any more after this."""
        while self.next_event() is not None:
            pass
        return Record(self._events, self._session.conclude())


class _Skipped(Exception):
    pass


def skip(reason: str) -> None:
    """Ends the scenario as one that does not apply here."""
    raise _Skipped(reason)


@dataclass(frozen=True)
class Scenario:
    """A named test. `run` talks to the agent and gives the evidence, which the clauses judge."""

    name: str
    summary: str
    run: Callable[[], Evidence]
    clauses: list[Clause] = field(default_factory=list)
    tags: tuple[str, ...] = ()
    needs: tuple[str, ...] = ("session",)

    def judge(self, evidence: Evidence) -> dict:
        """The findings of the clauses that do not hold, by their codes."""
        return judge(self.clauses, evidence)


def plugin(*contained: Scenario) -> type:
    """The class that a plugin exports, to be named `Scenarios`."""

    class Scenarios:
        def list(self) -> list:
            return [
                exported.ScenarioInfo(
                    scenario.name,
                    scenario.summary,
                    [*scenario.tags],
                    [*scenario.needs],
                    [exported.Clause(clause.code, clause.requires) for clause in scenario.clauses],
                )
                for scenario in contained
            ]

        def run(self, name: str) -> object:
            scenario = next(scenario for scenario in contained if scenario.name == name)
            try:
                evidence = scenario.run()
                if not isinstance(evidence, Evidence):
                    # What an `async def` gives has not run yet.
                    raise TypeError(f"`run` of `{name}` gave {type(evidence).__name__}, and no Evidence")
                findings = scenario.judge(evidence)
            except _Skipped as reason:
                return exported.Verdict_Skip(str(reason))
            except Err as fault:
                # The host has noted the fault: what is returned after one does not count.
                return exported.Verdict_Skip(fault.value.message)
            if not findings:
                return exported.Verdict_Pass()
            return exported.Verdict_Fail(
                [exported.Finding(code, found.message, found.evidence) for code, found in findings.items()]
            )

    return Scenarios


def step(name: str) -> None:
    """Names the step that begins now."""
    report.step(name)


def note(text: str) -> None:
    """A remark for whoever reads the run."""
    report.note(text)


def metric(name: str, value: float, unit: str) -> None:
    """A measured value, with its unit."""
    report.metric(name, value, unit)


def attach(name: str, media_type: str, content: bytes) -> None:
    """Keeps a file with the attempt's artifacts."""
    report.attach(name, media_type, content)
