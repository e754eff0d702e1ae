package sdk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"unicode/utf8"
)

const (
	maxText  = 4 << 20
	maxNames = 20_000
)

// Tree is a folder that something hostile may have written. Paths have `/` between names; no link is followed.
type Tree struct{ base string }

// TreeAt gives the tree below a folder.
func TreeAt(folder string) Tree { return Tree{folder} }

// Text gives the text of a regular file of at most 4 MiB; false for anything else.
func (t Tree) Text(path string) (string, bool) {
	kind, ok := t.kind(path)
	if !ok || !kind.IsRegular() {
		return "", false
	}
	file, err := os.Open(filepath.Join(t.base, path))
	if err != nil {
		return "", false
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxText+1))
	if err != nil || len(content) > maxText || !utf8.Valid(content) {
		return "", false
	}
	return string(content), true
}

// unlisted is what Names panics with: a folder is there, and cannot be listed whole. The clause that looked into it fails.
type unlisted string

// Names gives the names in a folder, sorted; none for anything else. "" is the tree's own folder. Where it cannot tell all of
// them, the clause that asked fails.
func (t Tree) Names(path string) []string {
	kind, ok := t.kind(path)
	if !ok || !kind.IsDir() {
		return nil
	}
	folder, err := os.Open(filepath.Join(t.base, path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		panic(unlisted(fmt.Sprintf("the folder `%s` cannot be listed: %v", path, err)))
	}
	defer folder.Close()
	names, err := folder.Readdirnames(-1)
	if err != nil {
		panic(unlisted(fmt.Sprintf("the folder `%s` cannot be listed: %v", path, err)))
	}
	if len(names) > maxNames {
		panic(unlisted(fmt.Sprintf("the folder `%s` holds more than %d names", path, maxNames)))
	}
	sort.Strings(names)
	return names
}

// Holds tells whether anything is at the path, a broken link included.
func (t Tree) Holds(path string) bool {
	_, ok := t.kind(path)
	return ok
}

// Find gives the paths below folder whose last name is name, at most depth folders deep.
func (t Tree) Find(folder, name string, depth int) []string {
	budget := maxNames
	var found []string
	var look func(folder string, depth int)
	look = func(folder string, depth int) {
		for _, entry := range t.Names(folder) {
			budget--
			path := folder + "/" + entry
			switch {
			case budget < 0:
				panic(unlisted(fmt.Sprintf("there are more than %d names where `%s` is looked for", maxNames, name)))
			case entry == name:
				found = append(found, path)
			case depth > 0:
				look(path, depth-1)
			}
		}
	}
	look(folder, depth)
	return found
}

// kind says what is there, if every folder on the way is a real one and no name steps out.
func (t Tree) kind(path string) (fs.FileMode, bool) {
	at := t.base
	mode := fs.ModeDir
	for name := range strings.SplitSeq(path, "/") {
		if name == "" {
			continue
		}
		if name == "." || name == ".." || !mode.IsDir() {
			return 0, false
		}
		at = filepath.Join(at, name)
		info, err := os.Lstat(at)
		if err != nil {
			return 0, false
		}
		mode = info.Mode()
	}
	return mode, true
}
