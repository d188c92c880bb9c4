package ecs

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/aclsetup"
	"github.com/lictor/lictor/internal/atomicfile"
	"github.com/lictor/lictor/internal/awsiam"
	"github.com/lictor/lictor/internal/ecsconfig"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// loginRequest is a login with the task's IAM role.
type loginRequest struct {
	method               string
	namespace, partition string
	datacenter           string
	meta                 map[string]string
	aws                  awsiam.BearerInput
	file                 string      // where the secret goes
	mode                 os.FileMode // of that file
	servers              servers     // where to log in, as far as extraLoginFlags say
}

// servers is how the servers are reached. What is empty is as configured.
type servers struct{ addr, caFile, name string }

// use makes the servers of extraLoginFlags those of the configuration: whoever logs in there renews the token and
// logs out there.
func (s servers) use(c *ecsconfig.Config) {
	c.ConsulHTTPAddr, c.ConsulCACertFile = cmp.Or(s.addr, c.ConsulHTTPAddr), cmp.Or(s.caFile, c.ConsulCACertFile)
	if s.name != "" {
		said := ecsconfig.Servers{}
		if c.ConsulServers != nil {
			said = *c.ConsulServers
		}
		said.HTTP.TLSServerName = s.name
		c.ConsulServers = &said
	}
}

// request is the login, described by the configuration of the task, whose token goes to file. What
// extraLoginFlags say counts last, apart from the method and the file of the agent's token; a flag that
// consul login does not have is errs.Invalid.
func (t *inTask) request(file string) (loginRequest, error) {
	region, err := t.region()
	if err != nil {
		return loginRequest{}, err
	}
	l := t.config.ConsulLogin
	cluster := t.task.Cluster
	if arn, err := t.task.ClusterARN(); err == nil {
		cluster = arn // so that what was told a short name finds the token, too
	}
	r := loginRequest{
		method:     l.Method,
		datacenter: l.Datacenter,
		meta:       map[string]string{aclsetup.MetaTask: t.task.ID(), aclsetup.MetaCluster: cluster},
		aws: awsiam.BearerInput{
			Region: region, STSEndpoint: l.STSEndpoint, ServerIDHeaderValue: l.ServerIDHeaderValue,
			IncludeEntity: l.IncludeEntity == nil || *l.IncludeEntity,
			Self:          &awsiam.Self{}, // attempts that AWS throttles do not ask it again
		},
		file: filepath.Join(t.config.BootstrapDir, serviceTokenFile),
		mode: 0o600,
	}
	maps.Copy(r.meta, l.Meta)
	if l.Region != "" {
		r.aws.Region = l.Region
	}
	err = r.extra(l.ExtraLoginFlags)
	if file == clientTokenFile {
		r.method, r.mode = aclsetup.DefaultClientMethod, 0o644 // for health-sync's logout
		r.file = filepath.Join(t.config.BootstrapDir, clientTokenFile)
	}
	return r, err
}

// extra applies flags of consul login.
func (r *loginRequest) extra(args []string) error {
	fs := flag.NewFlagSet("consulLogin.extraLoginFlags", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&r.method, "method", r.method, "")
	fs.StringVar(&r.partition, "partition", r.partition, "")
	fs.StringVar(&r.namespace, "namespace", r.namespace, "")
	fs.StringVar(&r.datacenter, "datacenter", r.datacenter, "")
	fs.StringVar(&r.file, "token-sink-file", r.file, "")
	fs.StringVar(&r.aws.Region, "aws-region", r.aws.Region, "")
	fs.StringVar(&r.aws.STSEndpoint, "aws-sts-endpoint", r.aws.STSEndpoint, "")
	fs.StringVar(&r.aws.ServerIDHeaderValue, "aws-server-id-header-value", r.aws.ServerIDHeaderValue, "")
	fs.StringVar(&r.aws.AccessKeyID, "aws-access-key-id", r.aws.AccessKeyID, "")
	fs.Func("aws-secret-access-key", "", func(text string) error { r.aws.SecretAccessKey = logging.Secret(text); return nil })
	fs.Func("aws-session-token", "", func(text string) error { r.aws.SessionToken = logging.Secret(text); return nil })
	fs.StringVar(&r.servers.addr, "http-addr", "", "")
	fs.StringVar(&r.servers.caFile, "ca-file", "", "")
	fs.StringVar(&r.servers.name, "tls-server-name", "", "")
	fs.BoolVar(&r.aws.IncludeEntity, "aws-include-entity", r.aws.IncludeEntity, "")
	fs.Bool("aws-auto-bearer-token", true, "") // always
	fs.String("type", "", "")                  // for the reader
	fs.Func("meta", "", func(pair string) error {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("%q is not key=value", pair)
		}
		r.meta[key] = value
		return nil
	})
	if err := fs.Parse(args); err != nil {
		return errs.Errorf(errs.Invalid, "invalid config: consulLogin.extraLoginFlags: %w", err)
	}
	if fs.NArg() > 0 {
		return errs.Errorf(errs.Invalid, "invalid config: consulLogin.extraLoginFlags: unexpected argument %q", fs.Arg(0))
	}
	return nil
}

// login logs in and writes the token's secret to the request's file.
func (r loginRequest) login(ctx context.Context, servers *api.Client) (*api.ACLToken, error) {
	bearer, err := awsiam.NewBearerToken(ctx, r.aws)
	if err != nil {
		if errs.KindOf(err) == errs.Invalid { // credentials may take a moment to be there
			err = errs.Errorf(errs.Unavailable, "%w", err)
		}
		return nil, err
	}
	params := &api.ACLLoginParams{AuthMethod: r.method, BearerToken: bearer.Reveal(), Meta: r.meta}
	opts := &api.WriteOptions{Namespace: r.namespace, Partition: r.partition, Datacenter: r.datacenter}
	token, _, err := servers.ACL().Login(params, opts.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	if err := atomicfile.Write(r.file, r.mode, false, strings.NewReader(token.SecretID)); err != nil {
		undo := &api.WriteOptions{Token: token.SecretID}
		_, err2 := servers.ACL().Logout(undo.WithContext(context.WithoutCancel(ctx)))
		return nil, errs.Errorf(errs.Invalid, "writing the token: %w", errors.Join(err, err2))
	}
	return token, nil
}

// obtainToken logs in until that succeeds, fails for good or ctx is done. Without servers they are those of
// the configuration, once the file with their CA is there.
func (t *inTask) obtainToken(ctx context.Context, r loginRequest, servers *api.Client) (logging.Secret, error) {
	var token *api.ACLToken
	err := retry(ctx, t.log, "login", func(ctx context.Context) (err error) {
		if servers == nil {
			if servers, err = serverClient(t.config, ""); err != nil {
				return err
			}
		}
		token, err = r.login(ctx, servers)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("login: %w", err)
	}
	t.log.Info("login success")
	return secretOf(token), nil
}

// logout ends the token in a file. One that is gone already is no error.
func logout(ctx context.Context, c *ecsconfig.Config, file string) error {
	secret, err := readToken(c.BootstrapDir, file)
	if err != nil {
		return errs.Errorf(errs.Invalid, "creating client for logout: %w", err)
	}
	servers, err := serverClient(c, secret)
	if err != nil {
		return err
	}
	_, err = servers.ACL().Logout((&api.WriteOptions{}).WithContext(ctx))
	if isGone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("logout failed: %w", err)
	}
	return nil
}

// isGone reports whether err says that the token does not exist.
func isGone(err error) bool {
	var status api.StatusError
	return errors.As(err, &status) && status.Code == 403 && strings.Contains(status.Body, "ACL not found")
}

// secretOf is the secret of a token.
func secretOf(t *api.ACLToken) logging.Secret { return logging.Secret(t.SecretID) }
