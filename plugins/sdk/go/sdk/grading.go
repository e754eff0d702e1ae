package sdk

import (
	"fmt"
	"strings"
)

const maxEvidence = 4_000

// Evidence is all that a grader may look at.
type Evidence struct {
	// Before is the fixture as it was, After the root as the agent left it.
	Before, After Tree
	// FinalMessage is the agent's last message to the person.
	FinalMessage string
	// Messages is everything that it said to the person, in order.
	Messages []string
}

// Finding says why a clause does not hold, for a person, with the text that shows it (or "").
type Finding struct {
	Code, Message, Evidence string
}

// Failed gives a finding without a text that shows it. The clause adds its code.
func Failed(format string, args ...any) *Finding {
	return &Finding{Message: fmt.Sprintf(format, args...)}
}

// Clause is one clause of a grader. Its check gives nil where it holds.
type Clause struct {
	// Code is lower-case letters, digits and `-`; Requires one sentence.
	Code, Requires string
	Check          func(it Evidence) *Finding
}

// Judge checks every clause, and gives the findings of those that fail.
func (s Scenario) Judge(it Evidence) []Finding {
	var findings []Finding
	for _, clause := range s.Clauses {
		if found := clause.checked(it); found != nil {
			findings = append(findings, Finding{clause.Code, found.Message, shortened(found.Evidence)})
		}
	}
	return findings
}

// checked is a finding as well where a folder could not be listed.
func (c Clause) checked(it Evidence) (found *Finding) {
	defer func() {
		if broken := recover(); broken != nil {
			why, ok := broken.(unlisted)
			if !ok {
				panic(broken)
			}
			found = &Finding{Message: string(why)}
		}
	}()
	return c.Check(it)
}

func shortened(text string) string {
	if len(text) <= maxEvidence {
		return text
	}
	kept := strings.ToValidUTF8(text[:maxEvidence], "")
	return fmt.Sprintf("%s\n… (%d more bytes)", kept, len(text)-len(kept))
}
