// The scenario `scenario-name`: the agent answers a letter.
package main

import (
	"strings"

	"scenario/sdk"
)

const prompt = "Read letter.txt, and write a short answer that greets its writer into answer.txt. " +
	"Leave the letter as it is."

var scenario = sdk.Scenario{
	Name:    "scenario-name",
	Summary: "The agent answers the letter in the root.",
	Needs:   []string{"session"},
	Run:     run,
	Clauses: []sdk.Clause{
		{Code: "no-answer", Requires: "`answer.txt` greets the writer of the letter.", Check: greetsTheWriter},
		{Code: "letter-changed", Requires: "`letter.txt` is as it was.", Check: keepsTheLetter},
	},
}

func init() { sdk.Plugin(scenario) }

func main() {} // a plugin has none

func run() (sdk.Evidence, error) {
	sdk.Step("the agent answers")
	return sdk.RunSession(prompt)
}

func greetsTheWriter(it sdk.Evidence) *sdk.Finding {
	answer, _ := it.After.Text("answer.txt")
	if !strings.Contains(answer, "Hello Ada") {
		return sdk.Failed("answer.txt says %q", answer)
	}
	return nil
}

func keepsTheLetter(it sdk.Evidence) *sdk.Finding {
	before, _ := it.Before.Text("letter.txt")
	after, ok := it.After.Text("letter.txt")
	if !ok || after != before {
		return sdk.Failed("letter.txt was changed or removed")
	}
	return nil
}
