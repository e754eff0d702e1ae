// Package sdk writes scenarios for `host` in Go: a grader is a list of clauses, a scenario one value, a plugin one call.
//
// All but a session works natively too, for a grader's own tests.
package sdk

// Scenario is a named test.
type Scenario struct {
	// Name is lower-case letters, digits and `-`; Summary is one sentence.
	Name, Summary string
	// Tags are words to select by.
	Tags []string
	// Needs are the grants that it cannot do without, such as "session".
	Needs []string
	// Run talks to the agent and gives the evidence, which the clauses judge. It passes a session's error on.
	Run     func() (Evidence, error)
	Clauses []Clause
}

// Skip is the error of a scenario that does not apply here; it says why.
type Skip string

func (reason Skip) Error() string { return string(reason) }

// SessionFault is the error of a session that broke. The host has noted it: what a scenario returns after one does not
// count.
type SessionFault struct{ Class, Message string }

func (fault SessionFault) Error() string { return fault.Message }

var contained []Scenario

// Plugin makes the program a plugin that contains these scenarios. Call it from `init`.
func Plugin(scenarios ...Scenario) { contained = scenarios }

// RunSession runs one prompt to its end, and gives the evidence.
func RunSession(prompt string) (Evidence, error) {
	session, err := StartSession(prompt)
	if err != nil {
		return Evidence{}, err
	}
	return session.Conclude()
}
