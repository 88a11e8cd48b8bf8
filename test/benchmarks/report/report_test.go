package report

import (
	"os"
	"path/filepath"
	"testing"
)

func TestIntoPageReplacesTheTableBetweenItsMarkers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(file, []byte("before\n<!-- begin x -->\nold\n<!-- end x -->\nafter\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	table := Table{Name: "x", Head: []string{"a", "b|c"}, Rows: [][]string{{"1", "2"}}, Note: "A note."}
	want := "before\n<!-- begin x -->\n\n| a | b\\|c |\n| --- | --- |\n| 1 | 2 |\n\nA note.\n\n<!-- end x -->\nafter\n"
	for range 2 {
		if err := IntoPage(file, []Table{table}); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(file); string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	table.Name = "y"
	if err := IntoPage(file, []Table{table}); err == nil {
		t.Error("a table without a place: got no error")
	}
}
