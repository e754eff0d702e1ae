package sdk

import (
	"regexp"
	"strings"
)

// Field is a key of a front matter: its value without quotes and comment, and its whole line.
type Field struct{ Value, Line string }

var (
	fieldLine   = regexp.MustCompile(`^([\w-]+):(?:[ \t]+(.*))?$`)
	quotedValue = regexp.MustCompile(`^(?:"([^"]*)"|'([^']*)')\s*(?:#.*)?$`)
)

// FrontMatter reads the block of `key: value` lines between two `---` at the start of a file; nil for a text without
// such a block, or with a key twice. What YAML calls null is empty.
func FrontMatter(text string) map[string]Field {
	fields := map[string]Field{}
	first := true
	for line := range strings.SplitAfterSeq(text, "\n") {
		content := strings.TrimRight(line, " \t\r\n")
		switch {
		case first && content != "---":
			return nil
		case first:
			first = false
		case content == "---":
			return fields
		case content == "" || strings.ContainsAny(content[:1], " \t-#"):
		default:
			match := fieldLine.FindStringSubmatch(content)
			if match == nil {
				return nil
			}
			if _, twice := fields[match[1]]; twice {
				return nil
			}
			fields[match[1]] = Field{value(strings.TrimSpace(match[2])), line}
		}
	}
	return nil
}

func value(text string) string {
	if quoted := quotedValue.FindStringSubmatch(text); quoted != nil {
		text = quoted[1] + quoted[2]
	} else if strings.HasPrefix(text, "#") {
		text = ""
	} else {
		text, _, _ = strings.Cut(text, " #")
		text = strings.TrimRight(text, " \t")
	}
	if text == "~" || text == "null" {
		return ""
	}
	return text
}
