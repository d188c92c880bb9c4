// Package httpapi is the public HTTP API: it decodes a request, calls an
// operation of package endpoint and encodes the answer (spec: acl.md section
// 1, agent.md sections 15 and 16, catalog.md section 1, tenancy.md section 4).
//
// Every operation is a row of one table (route.go). What all of them need is
// done once, around the handler: path and method, limits, the caller, the
// scope, the datacenter, headers, and the mapping of errors to a status. A handler
// holds no rules; an answer that was made without a decision is not sent.
package httpapi
