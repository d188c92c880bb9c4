# The habits of working here. `go run ./cmd/lictor dev` and `go test ./...` need none of this.
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@latest
FUZZTIME ?= 30s

.PHONY: build test test-race test-long compat bench fuzz fmt lint vuln check

build: ## stripped binaries in bin/
	go build -trimpath -ldflags '-s -w' -o bin/ ./cmd/...

test:
	go test ./...

test-race:
	go test -race ./...

test-long: ## adds the long runs: more logins, more kills, ten million ACL decisions
	LICTOR_LONG=1 go test -count=1 -v -run 'AuthorizerDecidesAsTheModelDoes' ./internal/acl
	LICTOR_LONG=1 go test -count=1 -timeout 60m ./test/...

compat: ## clients that others have published against our consul; needs the network for what they consist of
	go run ./test/compat/clienttests
	go run ./test/compat/thirdparty

bench:
	go test -run '^$$' -bench . -benchmem ./internal/...
	go run ./test/bench

fuzz: ## each fuzz target for FUZZTIME
	@grep -rlE '^func Fuzz' --include='*_test.go' internal | while read -r f; do \
		for t in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' $$f); do \
			echo "== $$t"; go test -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZTIME) ./$$(dirname $$f) || exit 1; \
		done; \
	done

fmt:
	gofmt -w $$(git ls-files '*.go')

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...

vuln: ## needs the vulnerability database over the network
	go run $(GOVULNCHECK) ./...

check: lint test-race vuln
