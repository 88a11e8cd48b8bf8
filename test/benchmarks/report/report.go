// Package report renders tables as Markdown and inserts them into a page.
package report

import (
	"fmt"
	"os"
	"strings"
)

// A Table is a table with its title and an optional note.
type Table struct {
	Name  string     `json:"name"` // in the comments that mark the table's place in a page
	Title string     `json:"title"`
	Note  string     `json:"note,omitempty"`
	Head  []string   `json:"head"`
	Rows  [][]string `json:"rows"`
}

// Markdown returns the table and its note, without the title.
func (t Table) Markdown() string {
	var b strings.Builder
	line := func(cells []string) {
		for i, cell := range cells {
			if i == 0 {
				b.WriteString("|")
			}
			b.WriteString(" " + strings.ReplaceAll(cell, "|", "\\|") + " |")
		}
		b.WriteString("\n")
	}
	line(t.Head)
	rule := make([]string, len(t.Head))
	for i := range rule {
		rule[i] = "---"
	}
	line(rule)
	for _, row := range t.Rows {
		line(row)
	}
	if t.Note != "" {
		b.WriteString("\n" + t.Note + "\n")
	}
	return b.String()
}

// String returns the table as Markdown, under its title.
func (t Table) String() string { return "## " + t.Title + "\n\n" + t.Markdown() }

// IntoPage writes tables into a Markdown file. Each table replaces what is between the comments
// "<!-- begin NAME -->" and "<!-- end NAME -->", where NAME is the table's name. If a table has no
// such place, IntoPage returns an error and leaves the file unchanged.
func IntoPage(file string, tables []Table) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	page := string(text)
	for _, t := range tables {
		if page, err = replace(page, t); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return os.WriteFile(file, []byte(page), 0o644)
}

func replace(page string, t Table) (string, error) {
	begin, end := "<!-- begin "+t.Name+" -->\n", "<!-- end "+t.Name+" -->"
	head, rest, ok1 := strings.Cut(page, begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		return page, fmt.Errorf("no place for the table %q", t.Name)
	}
	return head + begin + "\n" + t.Markdown() + "\n" + end + tail, nil
}
