"""Every call of the contract, in Python."""

from scenario_sdk import Clause, Evidence, Finding, Scenario, Session, attach, metric, note, plugin, skip, step


def said(it: Evidence) -> Finding | None:
    if it.messages != ("one", "zwei, drü") or it.final_message != "zwei, drü":
        return Finding(f"it said {it.messages}", "\n".join(it.messages))


def run() -> Evidence:
    step("first stop")
    note("a note ü")
    metric("stops", 2.5, "count")
    attach("map.txt", "text/plain", b"north\n")
    session = Session("begin")
    events = []
    while (event := session.next_event()) is not None:
        events.append((type(event.kind).__name__.removeprefix("EventKind_"), event.kind.value))
    calls = {kind: value for kind, value in events}
    if "ToolCall" not in calls:
        skip("there was no tool call")
    call, result = calls["ToolCall"], calls["ToolResult"]
    assert call.name == "shell" and "echo out" in call.input, call
    assert result.id == call.id and result.output == "out\n", result
    assert calls["Raw"] == "no event", calls
    session.send("more")
    return session.conclude().evidence()


SCENARIO = Scenario("tour-python", "Every call.", run, [Clause("other-words", "It says what it should.", said)])
Scenarios = plugin(SCENARIO)
