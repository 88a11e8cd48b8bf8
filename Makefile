# Needs Go, gcc (for the race detector) and make; tools are pinned in tools/go.mod.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.PHONY: test lint figures unit outside modules examples fuzz bench bench-quick pictures page soak slow

# A number of inputs, and not a time: until Go 1.27 the end of the time can look like a failure (golang.org/issue/75804).
FUZZTIME   ?= 80000x
BENCHTIME  ?= 1s
HISTORIES  ?= 20000
BENCHCOUNT ?= 6

# CIRCLE is how many files of the root package may depend on each other in a circle.
CIRCLE ?= 1

# The modules of go.work are tested together. Those outside of it have dependencies that must not choose versions for the
# others.
MODULES := $(patsubst %/go.mod,%,$(shell find . -name node_modules -prune -o -name go.mod -print | sort))
INSIDE  := $(patsubst $(CURDIR)%,.%,$(shell cd -P . && go list -m -f '{{.Dir}}'))
OUTSIDE := $(filter-out $(INSIDE),$(MODULES))

TOOL        := GOWORK=off go tool -modfile=$(CURDIR)/tools/go.mod
GOFUMPT     := $(TOOL) gofumpt
STATICCHECK := $(TOOL) staticcheck
BENCHSTAT   := $(TOOL) benchstat
LAYERS      := cd tools && GOWORK=off go run ./layers -dir ..

# test is everything that a change has to pass. It stops at the first part that fails, and says how long each took.
PARTS := lint unit outside modules examples fuzz bench-quick

test:
	@table=; status=0; \
	for part in $(PARTS); do \
		start=$$SECONDS; result=; \
		$(MAKE) --no-print-directory $$part || { status=$$?; result='  failed'; }; \
		printf -v row '%-12s %5d s%s' $$part $$((SECONDS - start)) "$$result"; \
		table+="$$row"$$'\n'; \
		[ $$status = 0 ] || break; \
	done; \
	echo "== time of each part"; printf '%s' "$$table"; exit $$status

# lint also vets what other systems compile, because files and calls can differ there.
lint:
	@echo "== gofumpt, go vet, staticcheck, layers"
	@files=$$($(GOFUMPT) -l .); [ -z "$$files" ] || { echo "not formatted as gofumpt does:"; echo "$$files"; exit 1; }
	@go vet work
	@for os in darwin windows; do GOOS=$$os go vet work; done
	@for dir in $(OUTSIDE); do (cd $$dir && GOWORK=off go vet ./...); done
	@for dir in $(INSIDE) $(OUTSIDE); do (cd $$dir && $(STATICCHECK) ./...); done
	@$(LAYERS) -circle $(CIRCLE)

# figures prints the size of the library, and how much its files and packages depend on each other.
figures:
	@$(LAYERS) -figures

# The race detector itself crashes now and then, on a busy machine in programs with a thousand goroutines. A package in
# which it has is tested once more, and then once more; any other failure is one.
RACE    := go test -race -shuffle=on -timeout 20m
CRASHED := /ThreadSanitizer: CHECK failed/ { crash = 1 } \
	/^ok/ { crash = 0 } \
	$$1 == "FAIL" && NF > 1 { if (!crash) { failed = 1 } else { print $$2 }; crash = 0 } \
	END { exit failed }

unit:
	@echo "== go test, workspace"
	@log=$$(mktemp); trap 'rm -f "$$log"' EXIT; packages=work; \
	for try in 1 2 3; do \
		$(RACE) $$packages | tee "$$log" && break; \
		packages=$$(awk '$(CRASHED)' "$$log") && [ -n "$$packages" ] && [ $$try != 3 ] || exit 1; \
		echo "== the race detector crashed; once more: $$packages"; \
	done
	@go test -run '^Test(Allocations|MemoryPerUser|Concurrent|Simulation|APIThatRejectsAllUsers|RevocationOfAllUsers|RefusedPasswordsTakeLittleMemory|Rule)' . ./internal/simulation ./internal/worlds # what the race detector has no room or time for

# Of oidc-provider only what its lock file names is installed, and none of its scripts is run. Where there is no npm the
# tests that need it say so: they fail in CI and are skipped elsewhere.
OIDC_PROVIDER := test/interop/oidc-provider
$(OIDC_PROVIDER)/node_modules/.package-lock.json: $(OIDC_PROVIDER)/package-lock.json
	@echo "== npm ci, $(OIDC_PROVIDER)"
	@if command -v npm > /dev/null; then \
		cd $(OIDC_PROVIDER) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && touch node_modules/.package-lock.json; \
	else \
		echo "npm is not installed: the tests against oidc-provider cannot run"; \
	fi

outside: $(OIDC_PROVIDER)/node_modules/.package-lock.json
	@echo "== go test, modules outside of the workspace"
	@for dir in $(OUTSIDE); do (cd $$dir && GOWORK=off go test -race -shuffle=on ./...); done

# modules proves that every module stands alone, as its users see it.
modules:
	@echo "== every module by itself"
	@for dir in $(INSIDE) $(OUTSIDE); do (cd $$dir && GOWORK=off go build -o /dev/null ./...); done
	@for dir in $(MODULES); do (cd $$dir && GOWORK=off go mod tidy -diff); done

examples:
	@echo "== examples"
	@programs=$$(go list -f '{{if eq .Name "main"}}{{.ImportPath}}{{end}}' work); \
	for program in $$programs; do case $$program in */examples/*) \
		echo "$$program"; timeout 120 go run "$$program";; \
	esac; done

# fuzz pairs the names that "go test -list" prints with the package that follows them.
fuzz:
	@echo "== fuzzing, -fuzztime $(FUZZTIME) each"
	@for dir in $(INSIDE) $(OUTSIDE); do \
		cd $(CURDIR)/$$dir; export GOWORK=off; \
		targets=$$(go test -list '^Fuzz' ./... | \
			awk '/^Fuzz/ { name[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, name[i]; n = 0 }'); \
		while read -r package target; do \
			[ -z "$$target" ] || go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s "$$package"; \
		done <<< "$$targets"; \
	done

# bench runs tokencache side by side with other libraries; ONLY=NAME picks one part: behaviours, rejections, speed, users,
# day, or self, the library's own benchmarks.
ONLY ?=
SIDE_BY_SIDE := cd test/benchmarks && GOWORK=off go run .

bench:
ifneq ($(ONLY),self)
	@$(SIDE_BY_SIDE) $(if $(ONLY),-only $(ONLY))
endif
ifneq ($(filter $(ONLY),self)$(if $(ONLY),,all),)
	@go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -count $(BENCHCOUNT) work | tee /dev/stderr | $(BENCHSTAT) -
endif

# bench-quick fails if tokencache misses a row of the behaviour table; its times say nothing. As a part of test it keeps the
# comparison from rotting.
bench-quick:
	@echo "== side by side, in short"
	@$(SIDE_BY_SIDE) -quick $(if $(ONLY),-only $(ONLY))

# pictures draws docs/*.svg, and page puts new tables into docs/benchmarks.md.
pictures:
	@$(SIDE_BY_SIDE) -pictures ../../docs

page:
	@$(SIDE_BY_SIDE) -page ../../docs/benchmarks.md $(if $(ONLY),-only $(ONLY))

# soak lives through HISTORIES random histories and prints what was simulated. SOAKTIME bounds it; 0 is no bound.
SOAKTIME ?= 0

soak:
	@SOAK_HISTORIES=$(HISTORIES) go test -count=1 -timeout $(SOAKTIME) -v -run '^TestSimulation$$' ./internal/simulation | grep -vE '^(=== | *---)'

# slow is what takes too long for every change. CI runs it after test.
slow:
	@echo "== simulation, more histories"
	@$(MAKE) --no-print-directory soak SOAKTIME=20m
