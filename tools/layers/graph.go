package main

import (
	"go/ast"
	"go/types"
	"maps"
	"path/filepath"
	"slices"

	"golang.org/x/tools/go/packages"
)

// A graph holds the names that a file uses of other files: graph[from][to][name]. Each pair of files
// with at least one name is an arrow.
type graph map[string]map[string]map[string]bool

// usesOf returns the graph of a package. A method belongs to the file that declares it, which need
// not be the file of its type.
func usesOf(p *packages.Package) graph {
	owners := fieldOwners(p.Types.Scope())
	g := graph{}
	for _, file := range p.Syntax {
		from := filepath.Base(p.Fset.Position(file.Package).Filename)
		g[from] = map[string]map[string]bool{}
		ast.Inspect(file, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			obj := p.TypesInfo.Uses[id]
			if obj == nil || obj.Pkg() != p.Types {
				return true
			}
			to := filepath.Base(p.Fset.Position(obj.Pos()).Filename)
			if to == from {
				return true
			}
			if g[from][to] == nil {
				g[from][to] = map[string]bool{}
			}
			g[from][to][nameOf(obj, owners)] = true
			return true
		})
	}
	return g
}

// fieldOwners maps the fields of the package's struct types to the names of those types.
func fieldOwners(scope *types.Scope) map[*types.Var]string {
	owners := map[*types.Var]string{}
	for _, name := range scope.Names() {
		named, ok := scope.Lookup(name).(*types.TypeName)
		if !ok || named.IsAlias() {
			continue
		}
		if s, ok := named.Type().Underlying().(*types.Struct); ok {
			for field := range s.Fields() {
				owners[field] = name
			}
		}
	}
	return owners
}

// nameOf returns the name of an object. A method or field comes with the name of its type, as in
// Cache.Close.
func nameOf(obj types.Object, owners map[*types.Var]string) string {
	owner := ""
	switch obj := obj.(type) {
	case *types.Var:
		owner = owners[obj.Origin()]
	case *types.Func:
		if recv := obj.Signature().Recv(); recv != nil {
			t := recv.Type()
			if pointer, ok := t.(*types.Pointer); ok {
				t = pointer.Elem()
			}
			if named, ok := t.(*types.Named); ok {
				owner = named.Obj().Name()
			}
		}
	}
	if owner == "" {
		return obj.Name()
	}
	return owner + "." + obj.Name()
}

// names returns the names declared in to that from uses.
func (g graph) names(from, to string) []string { return slices.Sorted(maps.Keys(g[from][to])) }

// circles returns the groups of two or more files that all reach each other.
func (g graph) circles() (circles [][]string) {
	reach := map[string]map[string]bool{}
	for from := range g {
		reach[from] = map[string]bool{}
		g.walk(from, reach[from])
	}
	seen := map[string]bool{}
	for _, file := range slices.Sorted(maps.Keys(g)) {
		if seen[file] {
			continue
		}
		var circle []string
		for _, other := range slices.Sorted(maps.Keys(reach[file])) {
			if reach[other][file] {
				circle = append(circle, other)
				seen[other] = true
			}
		}
		if len(circle) > 0 {
			circles = append(circles, circle)
		}
	}
	return circles
}

// walk marks the files that from reaches. It marks from itself only if some file leads back to it.
func (g graph) walk(from string, reached map[string]bool) {
	for to := range g[from] {
		if !reached[to] {
			reached[to] = true
			g.walk(to, reached)
		}
	}
}
