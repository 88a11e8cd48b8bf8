package main

import (
	"slices"
	"strings"
	"testing"
)

func mustLoad(t *testing.T, dir string) *module {
	t.Helper()
	m, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestCircleOverTheBoundIsReportedWithItsNames(t *testing.T) {
	got := mustLoad(t, "testdata/circle").circlesOver(2)
	want := []string{`circle of 3 files, at most 2 are allowed: a.go b.go c.go
	a.go -> b.go: b, b.run
	b.go -> c.go: limit
	c.go -> a.go: a, a.run`}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCircleWithinTheBoundIsNoProblem(t *testing.T) {
	if got := mustLoad(t, "testdata/circle").circlesOver(3); got != nil {
		t.Errorf("got %q", got)
	}
}

func TestFieldOfAGenericTypeCountsForTheFileThatDeclaresIt(t *testing.T) {
	got := mustLoad(t, "testdata/circle").uses.names("d.go", "e.go")
	if want := []string{"pair", "pairOf.first"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEveryWrongImportIsReported(t *testing.T) {
	m := mustLoad(t, "testdata/order")
	got := m.wrongImports()
	want := []string{
		"internal/origin imports order: internal packages know nothing of the packages that use them",
		"internal/table imports internal/holdoff: holdoff is not below table",
		"internal/testhook imports client: internal packages know nothing of the packages that use them",
		"internal/unlisted is missing from the list in tools/layers/order.go",
		"internal/wire imports internal/testhook: only tests may import it",
		"provider imports internal/simulation: only tests may import it",
		"provider imports internal/testhook: only tests may import it",
	}
	for i := range got {
		got[i] = strings.ReplaceAll(got[i], m.path+"/", "")
		got[i] = strings.ReplaceAll(got[i], m.path, "order")
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestFiguresCountFilesLinesAndArrows(t *testing.T) {
	for dir, want := range map[string]string{
		"testdata/circle": `
root: files                              5
root: lines                             26
root: arrows between files               7
root: files in the largest circle        3
internal: packages                       0
internal: arrows between packages        0
`,
		"testdata/order": `
root: files                              1
root: lines                              7
root: arrows between files               0
root: files in the largest circle        0
internal: packages                       6
internal: arrows between packages        3
`,
	} {
		var got strings.Builder
		mustLoad(t, dir).figures(&got)
		if got.String() != want[1:] {
			t.Errorf("%s: got\n%swant\n%s", dir, got.String(), want[1:])
		}
	}
}

func TestPackageThatDoesNotCompileIsAnError(t *testing.T) {
	if _, err := load("testdata/broken"); err == nil || !strings.Contains(err.Error(), "undefined: missing") {
		t.Errorf("got %v", err)
	}
}
