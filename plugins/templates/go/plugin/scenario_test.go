package main

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"scenario/sdk"
)

const fixture = "../scenarios/scenario-name/root"

// findings gives the codes that the grader gives when the agent leaves these files.
func findings(t *testing.T, left map[string]string) (codes []string) {
	root := t.TempDir()
	for name, text := range left {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, finding := range scenario.Judge(sdk.Evidence{Before: sdk.TreeAt(fixture), After: sdk.TreeAt(root)}) {
		codes = append(codes, finding.Code)
	}
	return codes
}

func TestGrader(t *testing.T) {
	letter, err := os.ReadFile(fixture + "/letter.txt")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		left  map[string]string
		codes []string
	}{
		"an answer beside the letter is right": {map[string]string{"letter.txt": string(letter), "answer.txt": "Hello Ada!\n"}, nil},
		"no answer":                            {map[string]string{"letter.txt": string(letter)}, []string{"no-answer"}},
		"no letter":                            {map[string]string{"answer.txt": "Hello Ada!\n"}, []string{"letter-changed"}},
	} {
		t.Run(name, func(t *testing.T) {
			if codes := findings(t, test.left); !reflect.DeepEqual(codes, test.codes) {
				t.Errorf("%v, not %v", codes, test.codes)
			}
		})
	}
}
