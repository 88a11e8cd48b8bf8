package main

// order lists the packages of internal/ from the bottom up. Each may import only those before it.
var order = []string{
	"clock",
	"emulator",
	"flight",
	"table",
	"origin",
	"fingerprint",
	"scrub",
	"replay",
	"rejection",
	"wire",
	"spent",
	"entry",
	"holdoff",
}

// testsOnly lists the packages of internal/ that exist for tests: only tests and the packages of
// this list may import them. They may import any package of internal/, and simulation may import the
// other packages of the module as well.
var testsOnly = []string{"simulation", "worlds", "rawhttp2", testhook}

// testhook is the package of testsOnly that the root package imports too, to set the hooks.
const testhook = "testhook"
