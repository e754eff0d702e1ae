//go:build wasip1

package sdk

// Event is one event of a session.
type Event struct {
	// Kind is the name of the case in agent.wit: "message", "tool-call" and so on.
	Kind string
	// Text is a message's or a raw line's text; of a tool call the tool's name.
	Text string
	// ID is a tool call's; Input its arguments as JSON, or a tool result's output.
	ID, Input string
}

// Session is a live conversation with the lane's agent.
type Session struct {
	handle   int32
	messages []string
}

// StartSession starts the agent in the root and gives it its first prompt.
func StartSession(prompt string) (*Session, error) {
	answer := newBlock(20)
	sessionStart(textPointer(prompt), int32(len(prompt)), answer.pointer())
	if err := answer.fault(4); err != nil {
		return nil, err
	}
	return &Session{handle: int32(answer.u32(4))}, nil
}

var kinds = [...]string{"started", "message", "tool-call", "tool-result", "usage", "back-off", "raw"}

// NextEvent waits for the next event; nil when the agent waits for the person.
func (s *Session) NextEvent() (*Event, error) {
	// result<option<event>, session-fault>: the event's kind has its case at 24 and its payload at 32.
	answer := newBlock(96)
	sessionNextEvent(s.handle, answer.pointer())
	if err := answer.fault(8); err != nil {
		return nil, err
	}
	if answer.u8(8) == 0 {
		return nil, nil
	}
	event := &Event{Kind: kinds[answer.u8(24)]}
	switch event.Kind {
	case "message", "raw":
		event.Text = answer.text(32)
	case "tool-call":
		event.ID, event.Text, event.Input = answer.text(32), answer.text(40), answer.text(48)
	case "tool-result":
		event.ID, event.Input = answer.text(32), answer.text(44)
	}
	if event.Kind == "message" {
		s.messages = append(s.messages, event.Text)
	}
	return event, nil
}

func (s *Session) finishTurn() error {
	for {
		if event, err := s.NextEvent(); event == nil || err != nil {
			return err
		}
	}
}

// Send ends the turn, and gives the agent another message.
func (s *Session) Send(message string) error {
	if err := s.finishTurn(); err != nil {
		return err
	}
	answer := newBlock(20)
	sessionSend(s.handle, textPointer(message), int32(len(message)), answer.pointer())
	return answer.fault(4)
}

// Conclude waits for the end of the turn and ends the agent. The root does not change any more after this.
func (s *Session) Conclude() (Evidence, error) {
	if err := s.finishTurn(); err != nil {
		return Evidence{}, err
	}
	answer := newBlock(104)
	sessionConclude(s.handle, answer.pointer())
	if err := answer.fault(8); err != nil {
		return Evidence{}, err
	}
	final := answer.text(8)
	sessionDrop(s.handle)
	if count := len(s.messages); count == 0 || s.messages[count-1] != final {
		s.messages = append(s.messages, final)
	}
	return Evidence{TreeAt("/host/before"), TreeAt("/"), final, s.messages}, nil
}

// Step names the step that begins now.
func Step(name string) { reportStep(textPointer(name), int32(len(name))) }

// Note is a remark for whoever reads the run.
func Note(text string) { reportNote(textPointer(text), int32(len(text))) }

// Metric is a measured value, with its unit.
func Metric(name string, value float64, unit string) {
	reportMetric(textPointer(name), int32(len(name)), value, textPointer(unit), int32(len(unit)))
}

// Attach keeps a file with the attempt's artifacts.
func Attach(name, mediaType string, content []byte) {
	text := string(content)
	reportAttach(textPointer(name), int32(len(name)), textPointer(mediaType), int32(len(mediaType)),
		textPointer(text), int32(len(text)))
}
