package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

// A module is a root package with all packages below it, without their tests.
type module struct {
	path    string              // import path of the root package
	lines   int                 // of the root package
	uses    graph               // between the files of the root package
	imports map[string][]string // of each package of the module, from the module alone
}

// load reads and type-checks the packages. It fails if one does not compile.
func load(dir string) (*module, error) {
	const names = packages.NeedName | packages.NeedImports
	const types = packages.NeedCompiledGoFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo
	root, err := loadPackages(dir, ".", names|types)
	if err != nil {
		return nil, err
	}
	if len(root) != 1 {
		return nil, fmt.Errorf("%s holds %d packages, want 1", dir, len(root))
	}
	all, err := loadPackages(dir, "./...", names)
	if err != nil {
		return nil, err
	}
	m := &module{path: root[0].PkgPath, uses: usesOf(root[0]), imports: map[string][]string{}}
	for _, file := range root[0].Syntax {
		m.lines += root[0].Fset.File(file.Pos()).LineCount()
	}
	for _, p := range all {
		m.imports[p.PkgPath] = nil
		for path := range p.Imports {
			if path == m.path || strings.HasPrefix(path, m.path+"/") {
				m.imports[p.PkgPath] = append(m.imports[p.PkgPath], path)
			}
		}
	}
	return m, nil
}

func loadPackages(dir, pattern string, mode packages.LoadMode) ([]*packages.Package, error) {
	pkgs, err := packages.Load(&packages.Config{Dir: dir, Mode: mode}, pattern)
	if err != nil {
		return nil, err
	}
	for _, p := range pkgs {
		if len(p.Errors) > 0 {
			return nil, p.Errors[0]
		}
	}
	return pkgs, nil
}

// circlesOver describes every circle of more than bound files, with the names that hold it together.
func (m *module) circlesOver(bound int) (problems []string) {
	for _, circle := range m.uses.circles() {
		if len(circle) <= bound {
			continue
		}
		var text strings.Builder
		fmt.Fprintf(&text, "circle of %d files, at most %d are allowed: %s", len(circle), bound, strings.Join(circle, " "))
		for _, from := range circle {
			for _, to := range circle {
				if names := m.uses.names(from, to); len(names) > 0 {
					fmt.Fprintf(&text, "\n\t%s -> %s: %s", from, to, strings.Join(names, ", "))
				}
			}
		}
		problems = append(problems, text.String())
	}
	return problems
}

// wrongImports describes every package and every import that breaks the order.
func (m *module) wrongImports() (problems []string) {
	for from, imports := range m.imports {
		name, inside := m.internal(from)
		if inside && !slices.Contains(order, name) && !slices.Contains(testsOnly, name) {
			problems = append(problems, from+" is missing from the list in tools/layers/order.go")
		}
		for _, to := range imports {
			if why := m.wrong(from, to); why != "" {
				problems = append(problems, fmt.Sprintf("%s imports %s: %s", from, to, why))
			}
		}
	}
	slices.Sort(problems)
	return problems
}

// wrong says why one package may not import another, or nothing if it may.
func (m *module) wrong(from, to string) string {
	importer, fromInside := m.internal(from)
	imported, toInside := m.internal(to)
	fromTests := fromInside && slices.Contains(testsOnly, importer)
	switch {
	case toInside && slices.Contains(testsOnly, imported):
		if setsHooks := from == m.path && imported == testhook; !fromTests && !setsHooks {
			return "only tests may import it"
		}
	case !fromInside:
	case !toInside:
		if importer != "simulation" {
			return "internal packages know nothing of the packages that use them"
		}
	case fromTests:
	case slices.Index(order, imported) >= slices.Index(order, importer):
		return fmt.Sprintf("%s is not below %s", imported, importer)
	}
	return ""
}

// internal returns the path below internal/.
func (m *module) internal(path string) (name string, ok bool) {
	return strings.CutPrefix(path, m.path+"/internal/")
}

// figures prints how large the module is. The packages that only tests import do not count.
func (m *module) figures(w io.Writer) {
	arrows, largest := 0, 0
	for _, to := range m.uses {
		arrows += len(to)
	}
	for _, circle := range m.uses.circles() {
		largest = max(largest, len(circle))
	}
	inside := map[string]int{}
	for from, imports := range m.imports {
		name, ok := m.internal(from)
		if !ok || slices.Contains(testsOnly, name) {
			continue
		}
		inside["packages"]++
		for _, to := range imports {
			if _, ok := m.internal(to); ok {
				inside["arrows"]++
			}
		}
	}
	for _, row := range []struct {
		what string
		n    int
	}{
		{"root: files", len(m.uses)},
		{"root: lines", m.lines},
		{"root: arrows between files", arrows},
		{"root: files in the largest circle", largest},
		{"internal: packages", inside["packages"]},
		{"internal: arrows between packages", inside["arrows"]},
	} {
		fmt.Fprintf(w, "%-36s%6d\n", row.what, row.n)
	}
}
