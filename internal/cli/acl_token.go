package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/hashicorp/consul/api"
)

func aclToken() *Command {
	return &Command{
		Name:  "token",
		Short: "Manage ACL tokens",
		Sub: []*Command{
			aclTokenClone(), aclTokenCreate(), aclTokenDelete(), aclTokenList(), aclTokenRead(), aclTokenRenew(), aclTokenUpdate(),
		},
	}
}

// tokenRef is how a command line names one token.
type tokenRef struct{ accessor, id string }

func (r *tokenRef) flags(fs *flag.FlagSet) {
	fs.StringVar(&r.accessor, "accessor-id", "", "token's `accessor` ID, the beginning of it, or the word anonymous")
	fs.StringVar(&r.id, "id", "", "deprecated `spelling` of -accessor-id")
}

// resolve returns the token's accessor ID. missing is the complaint if the
// command line names no token.
func (r *tokenRef) resolve(env *Env, client *api.Client, q *api.QueryOptions, missing string) (string, error) {
	prefix := r.accessor
	if prefix == "" && r.id != "" {
		prefix = r.id
		fmt.Fprintln(env.Err, "Use the -accessor-id parameter to specify token by Accessor ID")
	}
	if prefix == "" {
		return "", complain("%s", missing)
	}
	accessor, err := tokenAccessor(client, q, prefix)
	if err != nil {
		return "", complain("Error determining token ID: %w", err)
	}
	return accessor, nil
}

const (
	missingAccessor       = "Must specify the -accessor-id parameter"
	missingUpdateAccessor = "Cannot update a token without specifying the -accessor-id parameter"
)

func aclTokenClone() *Command {
	var b base
	var ref tokenRef
	var description string
	return &Command{
		Name: "clone", Short: "Make a token with the same links as another",
		Flags: func(fs *flag.FlagSet) {
			b.acl(fs)
			b.formatFlag(fs)
			ref.flags(fs)
			fs.StringVar(&description, "description", "", "`words` for the new token; the old token's if empty")
		},
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			accessor, err := ref.resolve(env, client, b.read(ctx), missingUpdateAccessor)
			if err != nil {
				return err
			}
			token, _, err := client.ACL().TokenClone(accessor, description, b.write(ctx))
			if err != nil {
				return complain("Error cloning token: %w", err)
			}
			return b.print(env.Out, token, jsonIndent, func(w io.Writer) { writeToken(w, token, b.meta) })
		}),
	}
}

func aclTokenDelete() *Command {
	var b base
	var ref tokenRef
	return &Command{
		Name: "delete", Short: "Delete a token",
		Flags: func(fs *flag.FlagSet) { b.acl(fs); ref.flags(fs) },
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			accessor, err := ref.resolve(env, client, b.read(ctx), missingAccessor)
			if err != nil {
				return err
			}
			if _, err := client.ACL().TokenDelete(accessor, b.write(ctx)); err != nil {
				return complain("Error deleting token %q: %w", accessor, err)
			}
			fmt.Fprintf(env.Out, "Token %q deleted successfully\n", accessor)
			return nil
		}),
	}
}

func aclTokenList() *Command {
	var b base
	var limit int
	var after string
	return &Command{
		Name: "list", Short: "List all tokens",
		Long: "With -limit, lists a part of them, in the order of their accessor IDs, and says on stderr how to go on.",
		Flags: func(fs *flag.FlagSet) {
			b.acl(fs)
			b.formatFlag(fs)
			b.metaFlag(fs, "meta")
			fs.IntVar(&limit, "limit", 0, "list at most `n` tokens, from 1 to 10000; all of them if 0")
			fs.StringVar(&after, "after", "", "the `place` to go on from, as an earlier list with -limit said")
		},
		Run: b.calling(func(ctx context.Context, env *Env, client *api.Client) error {
			var tokens []*api.ACLTokenListEntry
			var next string
			var err error
			if limit != 0 || after != "" {
				tokens, next, err = tokenPage(ctx, env, &b, limit, after)
			} else {
				tokens, _, err = client.ACL().TokenList(b.read(ctx))
			}
			if err != nil {
				return complain("Failed to retrieve the token list: %w", err)
			}
			if next != "" {
				fmt.Fprintf(env.Err, "There are more tokens: -after %s\n", next)
			}
			return b.print(env.Out, tokens, jsonIndent, func(w io.Writer) {
				for _, t := range tokens {
					writeToken(w, tokenOfEntry(t), b.meta)
				}
			})
		}),
	}
}

// tokenPage returns a part of the list of tokens, and the place to go on from.
func tokenPage(ctx context.Context, env *Env, b *base, limit int, after string) (tokens []*api.ACLTokenListEntry, next string, err error) {
	query := url.Values{}
	if limit != 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	if after != "" {
		query.Set("after", after)
	}
	header, err := b.raw(ctx, env, call{method: http.MethodGet, path: "/v1/acl/tokens", query: query}, &tokens)
	return tokens, header.Get("X-Lictor-Next-Page"), err
}

// tokenOfEntry returns the same token as a read would give it.
func tokenOfEntry(t *api.ACLTokenListEntry) *api.ACLToken {
	return &api.ACLToken{
		AccessorID: t.AccessorID, SecretID: t.SecretID, Description: t.Description, Name: t.Name,
		Policies: t.Policies, Roles: t.Roles, ServiceIdentities: t.ServiceIdentities,
		NodeIdentities: t.NodeIdentities, TemplatedPolicies: t.TemplatedPolicies, Local: t.Local,
		AuthMethod: t.AuthMethod, AuthMethodNamespace: t.AuthMethodNamespace,
		ExpirationTime: t.ExpirationTime, CreateTime: t.CreateTime, Hash: t.Hash,
		CreateIndex: t.CreateIndex, ModifyIndex: t.ModifyIndex, Namespace: t.Namespace, Partition: t.Partition,
	}
}

const tokenWidth = 18

// writeToken ends with a blank line.
func writeToken(w io.Writer, t *api.ACLToken, meta bool) {
	writeTokenHead(w, t, meta)
	tokenGrants(t).write(w)
	fmt.Fprintln(w)
}

func writeTokenHead(w io.Writer, t *api.ACLToken, meta bool) {
	out := block{w, tokenWidth}
	out.line("AccessorID", t.AccessorID)
	out.line("SecretID", t.SecretID)
	out.tenancy(t.Partition, t.Namespace)
	out.line("Description", t.Description)
	out.line("Local", t.Local)
	if t.AuthMethod != "" {
		out.line("Auth Method", fmt.Sprintf("%s (Namespace: %s)", t.AuthMethod, t.AuthMethodNamespace))
	}
	out.line("Create Time", t.CreateTime)
	if t.ExpirationTime != nil && !t.ExpirationTime.IsZero() {
		out.line("Expiration Time", *t.ExpirationTime)
	}
	if meta {
		out.indexes(t.Hash, t.CreateIndex, t.ModifyIndex)
	}
}

func tokenGrants(t *api.ACLToken) grants {
	return grants{
		policies: t.Policies, roles: t.Roles, services: t.ServiceIdentities, nodes: t.NodeIdentities,
		templates: t.TemplatedPolicies,
	}
}

// setTokenGrants makes g everything that t grants.
func setTokenGrants(t *api.ACLToken, g grants) {
	t.Policies, t.Roles, t.ServiceIdentities = g.policies, g.roles, g.services
	t.NodeIdentities, t.TemplatedPolicies = g.nodes, g.templates
}
