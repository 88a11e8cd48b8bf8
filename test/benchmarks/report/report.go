// Package report turns results into Markdown, and puts them into a page.
package report

import (
	"fmt"
	"os"
	"strings"
)

// A Table is one table with the words around it.
type Table struct {
	Name  string     `json:"name"` // of the place in the page
	Title string     `json:"title"`
	Note  string     `json:"note,omitempty"`
	Head  []string   `json:"head"`
	Rows  [][]string `json:"rows"`
}

// Markdown renders the table without its title.
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

// String is the table as it is printed.
func (t Table) String() string { return "## " + t.Title + "\n\n" + t.Markdown() }

// IntoPage puts tables into a page, each between the comments that name its place.
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
		return page, fmt.Errorf("no place for %s", t.Name)
	}
	return head + begin + "\n" + t.Markdown() + "\n" + end + tail, nil
}
