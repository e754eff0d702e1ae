// Every call of the contract, in Go.
package main

import (
	"fmt"
	"strings"

	"scenario/sdk"
)

var scenario = sdk.Scenario{
	Name:    "tour-go",
	Summary: "Every call.",
	Needs:   []string{"session"},
	Run:     run,
	Clauses: []sdk.Clause{{Code: "other-words", Requires: "It says what it should.", Check: said}},
}

func init() { sdk.Plugin(scenario) }

func main() {}

func said(it sdk.Evidence) *sdk.Finding {
	messages := strings.Join(it.Messages, "\n")
	if messages == "one\nzwei, drü" && it.FinalMessage == "zwei, drü" {
		return nil
	}
	return &sdk.Finding{Message: "it said something else", Evidence: messages}
}

func run() (sdk.Evidence, error) {
	sdk.Step("first stop")
	sdk.Note("a note ü")
	sdk.Metric("stops", 2.5, "count")
	sdk.Attach("map.txt", "text/plain", []byte("north\n"))
	session, err := sdk.StartSession("begin")
	if err != nil {
		return sdk.Evidence{}, err
	}
	seen := map[string]sdk.Event{}
	for {
		event, err := session.NextEvent()
		if err != nil {
			return sdk.Evidence{}, err
		}
		if event == nil {
			break
		}
		seen[event.Kind] = *event
	}
	call, used := seen["tool-call"]
	if !used {
		return sdk.Evidence{}, sdk.Skip("there was no tool call")
	}
	result := seen["tool-result"]
	ok := call.Text == "shell" && strings.Contains(call.Input, "echo out") && seen["raw"].Text == "no event"
	if !ok || result.ID != call.ID || result.Input != "out\n" {
		return sdk.Evidence{}, fmt.Errorf("unexpected: %v", seen)
	}
	if err := session.Send("more"); err != nil {
		return sdk.Evidence{}, err
	}
	return session.Conclude()
}
