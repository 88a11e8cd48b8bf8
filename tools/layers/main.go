// Command layers checks what depends on what inside a module:
//
//   - File A depends on file B if A uses a package-level name, method or field that B declares. A
//     circle is a set of files that all depend on each other, directly or through others. In the root
//     package a circle may have at most as many files as the flag -circle says.
//   - A package of internal/ may import only those listed before it in order.go, and no other package
//     of the module.
//
// From the root of the repository:
//
//	cd tools && GOWORK=off go run ./layers -dir ..
//
// It prints a table of figures and then every problem. The exit status is 1 if there is a problem, and
// 2 if the packages cannot be loaded. With -figures it prints only the table.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	dir := flag.String("dir", ".", "`directory` of the root package")
	bound := flag.Int("circle", 1, "the largest `number` of files that a circle may have")
	onlyFigures := flag.Bool("figures", false, "print the figures and check nothing")
	flag.Parse()

	m, err := load(*dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "layers:", err)
		os.Exit(2)
	}
	m.figures(os.Stdout)
	if *onlyFigures {
		return
	}
	problems := append(m.circlesOver(*bound), m.wrongImports()...)
	for _, problem := range problems {
		fmt.Fprintln(os.Stderr, problem)
	}
	if len(problems) > 0 {
		os.Exit(1)
	}
}
