package main

const pageHead = `# Compatibility with the published Go client

The tests of ` + "`github.com/hashicorp/consul/api`" + ` start the ` + "`consul`" + ` that they find on PATH. ` + "`make compat`" + ` runs them against
ours and compares the outcomes with ` + "`test/compat/clienttests/expected.txt`" + `, from which this page is made
(` + "`go test ./test/compat/clienttests -update`" + `). The copy of the module is made while it runs; the first run downloads
the modules that those tests need.

Tests behind the build tag ` + "`consulent`" + ` are those of the client for the enterprise edition. The module does not ship the file with
their two constants (the name of the default namespace and partition, "default"), so the runner adds one.

| group | build tag | tests | pass |
| --- | --- | --- | --- |
`

const pageMiddle = `
## What does not pass, and why

| group | test | reason |
| --- | --- | --- |
`

const pageTail = `
## Groups that are not run

Their subject is not there yet: services and checks of an agent, the key-value store, transactions, sessions,
locks, semaphores, events, prepared queries, config entries, intentions, configuration of the mesh CA, discovery chains,
peering, debug, monitor and metrics.

## What those tests do not cover

The module has no tests of roles, binding rules, templated policies, logins and logouts, expanded tokens, and admin partitions. Our
own tests cover them with the same client: ` + "`internal/httpapi`" + `, ` + "`test/compat`" + ` and ` + "`test/e2e`" + `.

Where a decision of ours differs from what a client may expect, it is recorded: a request that breaks a rule is a 400 and not a 500
([0002](decisions/0002-status-of-invalid-requests.md)). None of those tests depends on it.
`
