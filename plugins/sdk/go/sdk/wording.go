package sdk

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	listItem = regexp.MustCompile(`^(?:[-*+#>|]|\d+[.)])`)
	lastWord = regexp.MustCompile(`[.!?;]["')]*$`)
	plain    = strings.NewReplacer("*", "", "_", "", "`", "", "’", "'", "‘", "'", "“", `"`, "”", `"`)
)

// Says tells whether some sentence of the text has one phrase of every group, and none of unless.
//
// Phrases are lower case and match at the start of a word, so `approv` is in "Approve" but not in "disapprove".
func Says(text string, groups [][]string, unless []string) bool {
	return slices.ContainsFunc(sentences(text), func(sentence string) bool {
		isIn := func(phrase string) bool { return has(sentence, phrase) }
		for _, group := range groups {
			if !slices.ContainsFunc(group, isIn) {
				return false
			}
		}
		return !slices.ContainsFunc(unless, isIn)
	})
}

// sentences gives them plain and in lower case. A list item, a heading and a paragraph end a sentence.
func sentences(text string) []string {
	var found, words []string
	end := func() {
		if len(words) > 0 {
			found = append(found, strings.Join(words, " "))
		}
		words = nil
	}
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || listItem.MatchString(line) {
			end()
		}
		for _, word := range strings.Fields(strings.ToLower(plain.Replace(line))) {
			words = append(words, word)
			if lastWord.MatchString(word) {
				end()
			}
		}
		if strings.HasPrefix(line, "#") {
			end()
		}
	}
	end()
	return found
}

func has(sentence, phrase string) bool {
	isLetter := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }
	first, _ := utf8.DecodeRuneInString(phrase)
	for at := 0; ; {
		next := strings.Index(sentence[at:], phrase)
		if next < 0 {
			return false
		}
		at += next
		before, _ := utf8.DecodeLastRuneInString(sentence[:at])
		if at == 0 || !isLetter(first) || !isLetter(before) {
			return true
		}
		at++
	}
}
