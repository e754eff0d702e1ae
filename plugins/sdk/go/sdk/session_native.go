//go:build !wasip1

package sdk

import "errors"

// Session is a live conversation with the lane's agent, which only the host has.
type Session struct{}

// Event is one event of a session.
type Event struct{ Kind, Text, ID, Input string }

var errNative = errors.New("a session needs the host; natively only a grader runs")

// StartSession fails natively.
func StartSession(string) (*Session, error) { return nil, errNative }

// NextEvent fails natively.
func (*Session) NextEvent() (*Event, error) { return nil, errNative }

// Send fails natively.
func (*Session) Send(string) error { return errNative }

// Conclude fails natively.
func (*Session) Conclude() (Evidence, error) { return Evidence{}, errNative }

// Step does nothing natively.
func Step(string) {}

// Note does nothing natively.
func Note(string) {}

// Metric does nothing natively.
func Metric(string, float64, string) {}

// Attach does nothing natively.
func Attach(string, string, []byte) {}
