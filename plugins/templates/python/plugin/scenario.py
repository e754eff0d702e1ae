"""The scenario `scenario-name`: the agent answers a letter."""

from scenario_sdk import Clause, Evidence, Scenario, Session, plugin, step

PROMPT = "Read letter.txt, and write a short answer that greets its writer into answer.txt. Leave the letter as it is."


def greets_the_writer(it: Evidence) -> str | None:
    answer = it.after.text("answer.txt")
    if answer is None or "Hello Ada" not in answer:
        return f"answer.txt says {answer!r}"


def keeps_the_letter(it: Evidence) -> str | None:
    letter = it.before.text("letter.txt")
    if letter is None or it.after.text("letter.txt") != letter:
        return "letter.txt was changed or removed"


def run() -> Evidence:
    step("the agent answers")
    return Session.run(PROMPT)


SCENARIO = Scenario(
    name="scenario-name",
    summary="The agent answers the letter in the root.",
    run=run,
    clauses=[
        Clause("no-answer", "`answer.txt` greets the writer of the letter.", greets_the_writer),
        Clause("letter-changed", "`letter.txt` is as it was.", keeps_the_letter),
    ],
)

Scenarios = plugin(SCENARIO)
