package cli

import (
	"context"
	"flag"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/awsiam"
	"github.com/lictor/lictor/internal/logging"
)

// undoTimeout bounds the logout after a login whose token could not be kept.
const undoTimeout = 10 * time.Second

// bearerFunc makes a bearer token from AWS credentials.
type bearerFunc func(context.Context, awsiam.BearerInput) (logging.Secret, error)

func login(newBearer bearerFunc) *Command {
	var b base
	var method, sinkFile, bearerFile, kind string
	meta := pairsFlag{sep: "="}
	var auto awsFlags
	return &Command{
		Name: "login", Short: "Exchange a credential for an ACL token",
		Long: "The credential is proven to an auth method of the server, either the content of\n" +
			"-bearer-token-file or one made from AWS credentials with -aws-auto-bearer-token. The token's secret\n" +
			"goes to -token-sink-file.",
		Flags: func(fs *flag.FlagSet) {
			b.acl(fs)
			fs.StringVar(&method, "method", "", "auth method's `name` (required)")
			fs.StringVar(&kind, "type", "", "auth method's `type`, for the reader; the server knows it")
			fs.StringVar(&sinkFile, "token-sink-file", "", "`file` to write the token's secret to, readable by its owner only (required)")
			fs.StringVar(&bearerFile, "bearer-token-file", "", "`file` that holds the bearer token")
			fs.Var(&meta, "meta", "`key=value` for the token's description; repeat for more")
			auto.register(fs)
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			switch {
			case len(args) > 0:
				return complain("Should have no non-flag arguments.")
			case method == "":
				return misuse("Missing required '-method' flag")
			case sinkFile == "":
				return misuse("Missing required '-token-sink-file' flag")
			}
			if err := auto.check(bearerFile); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
			defer stop()
			sink, err := openSink(sinkFile)
			if err != nil {
				return complain("Error writing token to file sink: %w", err)
			}
			defer sink.Close()

			bearer, err := readBearer(bearerFile)
			if auto.use {
				if bearer, err = newBearer(ctx, auto.input()); err != nil {
					return complain("Error with aws-iam auth method: %w", err)
				}
			}
			if err != nil {
				return err
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			var token api.ACLToken
			header, err := b.raw(ctx, env, call{method: http.MethodPost, path: "/v1/acl/login", body: api.ACLLoginParams{
				AuthMethod: method, BearerToken: bearer.Reveal(), Meta: meta.pairs,
			}}, &token)
			if err != nil {
				return complain("Error logging in: %w%s", err, howToExplain(header))
			}
			if err := writeSink(sink, token.SecretID); err != nil {
				undo(ctx, client, token.SecretID)
				return complain("Error writing token to file sink: %w", err)
			}
			return nil
		},
	}
}

// howToExplain says, on a line of its own, how whoever may read ACLs finds out
// why a server refused a login; nothing if the server did not name it.
func howToExplain(answer http.Header) string {
	id := answer.Get("X-Lictor-Login-Id")
	if id == "" {
		return ""
	}
	return "\nTo see why: consul acl auth-method explain -login-id " + id
}

// undo logs out, so that a login which failed here leaves no token behind.
func undo(ctx context.Context, client *api.Client, secret string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	_, _ = client.ACL().Logout((&api.WriteOptions{Token: secret}).WithContext(ctx))
}

// readBearer returns the trimmed content of file; nothing if file is empty.
func readBearer(file string) (logging.Secret, error) {
	if file == "" {
		return "", nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	bearer := strings.TrimSpace(string(data))
	if bearer == "" {
		return "", complain("No bearer token found in %s", file)
	}
	return logging.Secret(bearer), nil
}

// awsFlags say how to make a bearer token from AWS credentials.
type awsFlags struct {
	use, includeEntity            bool
	region, stsEndpoint, serverID string
	keyID, secretKey, session     string
}

func (a *awsFlags) register(fs *flag.FlagSet) {
	fs.BoolVar(&a.use, "aws-auto-bearer-token", false, "make the bearer token from AWS credentials, for the type aws-iam")
	fs.BoolVar(&a.includeEntity, "aws-include-entity", false, "let the server read the IAM role or user with the caller's signature")
	fs.StringVar(&a.region, "aws-region", "", "AWS `region`; the AWS configuration's if empty")
	fs.StringVar(&a.stsEndpoint, "aws-sts-endpoint", "", "`URL` of STS; the region's if empty")
	fs.StringVar(&a.serverID, "aws-server-id-header-value", "", "`text` of the header X-Consul-IAM-ServerID that the auth method demands")
	fs.StringVar(&a.keyID, "aws-access-key-id", "", "AWS access key `ID`; the AWS configuration's if empty")
	fs.StringVar(&a.secretKey, "aws-secret-access-key", "", "AWS secret access `key`")
	fs.StringVar(&a.session, "aws-session-token", "", "AWS session `token`")
}

// check refuses combinations that cannot be meant.
func (a *awsFlags) check(bearerFile string) error {
	if !a.use {
		switch {
		case *a != awsFlags{}:
			return complain("Missing '-aws-auto-bearer-token' flag")
		case bearerFile == "":
			return misuse("Missing required '-bearer-token-file' flag")
		}
		return nil
	}
	switch {
	case bearerFile != "":
		return complain("Cannot use '-bearer-token-file' flag with '-aws-auto-bearer-token'")
	case a.session != "" && a.keyID == "" && a.secretKey == "":
		return complain("Missing '-aws-access-key-id' and '-aws-secret-access-key' flags")
	case a.keyID != "" && a.secretKey == "":
		return complain("Missing '-aws-secret-access-key' flag")
	case a.keyID == "" && a.secretKey != "":
		return complain("Missing '-aws-access-key-id' flag")
	}
	return nil
}

func (a *awsFlags) input() awsiam.BearerInput {
	return awsiam.BearerInput{
		Region: a.region, STSEndpoint: a.stsEndpoint, ServerIDHeaderValue: a.serverID, IncludeEntity: a.includeEntity,
		AccessKeyID: a.keyID, SecretAccessKey: logging.Secret(a.secretKey), SessionToken: logging.Secret(a.session),
	}
}
