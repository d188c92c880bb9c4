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

Their subject is not there yet, or has come after this list: prepared queries,
discovery chains and peering.

## Other people's clients

` + "`make compat`" + ` also runs clients that others have published, unchanged, against a server of their own
(` + "`go run ./test/compat/thirdparty`" + `; it needs the npm registry and a Debian with python3-consul, and leaves out what is not there).

| client | what it does | result |
| --- | --- | --- |
| the published Go client's ` + "`watch`" + ` package | a plan of each type, in ` + "`test/compat`" + ` and so in every run of the tests | passes |
| npm ` + "`consul`" + ` 2.0.1 | bootstrap, replication, keys, transactions, sessions and locks, registration, reports, maintenance, health, catalog, watches | passes |
| Debian's python3-consul 0.7.1 | keys, sessions and locks, registration, health, catalog, blocking queries | passes, but for what it sends with GET |

The python client is of 2017: it reports on checks and deregisters services with GET, which Consul has refused with 405 since 1.0, and so
do we. It names its token a second time in the bodies of catalog writes; that one does not count.

## What those tests do not cover

The module has no tests of roles, binding rules, templated policies, logins and logouts, expanded tokens, and admin partitions. Our
own tests cover them with the same client: ` + "`internal/httpapi`" + `, ` + "`test/compat`" + ` and ` + "`test/e2e`" + `.

Where a decision of ours differs from what a client may expect, it is recorded: a request that breaks a rule is a 400 and not a 500
([0002](decisions/0002-status-of-invalid-requests.md)). None of those tests depends on it.
`
