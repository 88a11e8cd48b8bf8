package moov_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestEveryTestNamedInTheDocumentationExists(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(text)
	}
	rows := regexp.MustCompile(`(?m)^//\t.* (Test\w+)$`).FindAllStringSubmatch(string(doc), -1)
	wantEqual(t, "rows", len(rows), 19)
	for _, row := range rows {
		if !strings.Contains(code.String(), "\nfunc "+row[1]+"(t *testing.T)") {
			t.Errorf("%s does not exist", row[1])
		}
	}
}
