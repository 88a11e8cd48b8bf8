// Package docs_test checks what the documentation says against the code.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// read returns the text of all files that match.
func read(t *testing.T, patterns ...string) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range patterns {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: no files, %v", pattern, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(text)
		}
	}
	return all.String()
}

// testFiles returns the test files of all modules.
func testFiles(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "node_modules":
			return filepath.SkipDir
		case strings.HasSuffix(path, "_test.go"):
			names = append(names, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestEveryTestThatTheDocumentationNamesExists(t *testing.T) {
	t.Chdir("..") // the root of the repository
	tests := read(t, testFiles(t)...)
	for _, name := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(read(t, "README.md", "docs/*.md"), -1) {
		if !strings.Contains(tests, "func "+name+"(") {
			t.Errorf("%s does not exist", name)
		}
	}
}

func TestEverySnippetOfTheReadmeIsPartOfAnExample(t *testing.T) {
	t.Chdir("..") // the root of the repository
	flat := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	examples := flat(read(t, "example_test.go", "*/example_test.go"))
	snippets := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(read(t, "README.md"), -1)
	if len(snippets) == 0 {
		t.Fatal("no snippets")
	}
	for _, snippet := range snippets {
		if !strings.Contains(examples, flat(snippet[1])) {
			t.Errorf("not in any example:\n%s", snippet[1])
		}
	}
}

func TestEveryFileThatTheDocumentationLinksExists(t *testing.T) {
	t.Chdir("..") // the root of the repository
	for _, dir := range []string{"README.md", "docs/*.md"} {
		for _, link := range regexp.MustCompile(`\]\(([^)#]+)[)#]`).FindAllStringSubmatch(read(t, dir), -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(dir), link[1])); err != nil {
				t.Errorf("%s links to %s, which does not exist", dir, link[1])
			}
		}
	}
}

// The table of layers on the page and the one in doc.go list every file of the root package.
func TestEveryFileOfTheRootIsListed(t *testing.T) {
	t.Chdir("..") // the root of the repository
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	page, layers := read(t, "docs/architecture.md"), read(t, "doc.go")
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "doc.go" {
			continue
		}
		if !strings.Contains(page, "| ["+file+"](../"+file+") |") {
			t.Errorf("docs/architecture.md does not list %s", file)
		}
		if !regexp.MustCompile(`(?m)^//\t.*\b` + regexp.QuoteMeta(file) + ` `).MatchString(layers) {
			t.Errorf("doc.go does not list %s", file)
		}
	}
}

// declaredIn returns the files of the root and of internal that declare each function, with and without
// the name of its package: "Entry.Age" and "entry.Entry.Age".
func declaredIn(t *testing.T) map[string][]string {
	files := map[string][]string{}
	function := regexp.MustCompile(`(?m)^func (?:\(\w* ?\*?(\w+)(?:\[\w+\])?\) )?(\w+)[\[(]`)
	names, _ := filepath.Glob("*.go")
	inside, _ := filepath.Glob("*/*/*.go")
	public, _ := filepath.Glob("challenge/*.go")
	for _, file := range append(append(names, inside...), public...) {
		for _, m := range function.FindAllStringSubmatch(read(t, file), -1) {
			name := strings.TrimPrefix(m[1]+"."+m[2], ".")
			files[name] = append(files[name], file)
			name = filepath.Base(filepath.Dir(file)) + "." + name
			files[name] = append(files[name], file)
		}
	}
	return files
}

// The page writes functions as name() and files as `name.go`. A function in a row of a table is
// declared in one of the row's files.
func TestEveryFunctionThatTheArchitectureNamesExists(t *testing.T) {
	t.Chdir("..") // the root of the repository
	declared := declaredIn(t)
	for _, line := range strings.Split(read(t, "docs/architecture.md"), "\n") {
		var files []string
		for _, m := range regexp.MustCompile("`([\\w/]+\\.go)`").FindAllStringSubmatch(line, -1) {
			files = append(files, m[1])
			if _, err := os.Stat(m[1]); err != nil {
				t.Errorf("%s does not exist", m[1])
			}
		}
		for _, m := range regexp.MustCompile(`([\w.]+)\(\)`).FindAllStringSubmatch(line, -1) {
			found := declared[m[1]]
			here := slices.ContainsFunc(found, func(file string) bool { return slices.Contains(files, file) })
			if isRow := strings.HasPrefix(line, "|") && len(files) > 0; len(found) == 0 || isRow && !here {
				t.Errorf("%s is declared in %q, not in %q", m[1], found, files)
			}
		}
	}
}
