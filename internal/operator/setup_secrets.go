package operator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smtypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/lictor/lictor/internal/logging"
)

// secret is one that tasks need: what its name ends with, and the file that it comes from.
type secret struct{ suffix, file string }

func (s *Secrets) list() []secret {
	all := []secret{{"ca-cert", s.CAFile}, {"https-ca-cert", s.HTTPSCAFile}, {"gossip-key", s.GossipKeyFile}}
	return slices.DeleteFunc(all, func(one secret) bool { return one.file == "" })
}

func (s *Secrets) nameOf(one secret) string { return s.Prefix + "-" + one.suffix }

// vault is where secrets are kept. get returns nil for one that does not exist.
type vault interface {
	get(ctx context.Context, name string) (*logging.Secret, error)
	create(ctx context.Context, name string, value logging.Secret) error
	set(ctx context.Context, name string, value logging.Secret) error
	remove(ctx context.Context, name string) error
}

func (f *SetupFile) vault(ctx context.Context) (vault, error) {
	var opts []func(*awsconfig.LoadOptions) error
	if f.Region != "" {
		opts = append(opts, awsconfig.WithRegion(f.Region))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		return nil, errors.New("region: required for secrets, here or as AWS_REGION")
	}
	if f.Secrets.Store == parameterStore {
		return &ssmVault{ssm.NewFromConfig(cfg)}, nil
	}
	return &smVault{secretsmanager.NewFromConfig(cfg)}, nil
}

// change is one difference and how to remove it. Change of ACL objects and of secrets look alike to
// who reads a plan.
type change struct {
	sign    string // + ~ -
	text    string
	details []string
	apply   func(context.Context) error
}

// planSecrets compares the files with what is kept. Values are never shown.
func (f *SetupFile) planSecrets(ctx context.Context, destroy bool) ([]change, error) {
	if f.Secrets == nil {
		return nil, nil
	}
	v, err := f.vault(ctx)
	if err != nil {
		return nil, err
	}
	var plan []change
	for _, one := range f.Secrets.list() {
		name := f.Secrets.nameOf(one)
		have, err := v.get(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("read secret %q: %w", name, err)
		}
		if destroy {
			if have != nil {
				plan = append(plan, change{"-", fmt.Sprintf("delete secret %q", name), nil, func(ctx context.Context) error { return v.remove(ctx, name) }})
			}
			continue
		}
		content, err := os.ReadFile(one.file)
		if err != nil {
			return nil, err
		}
		want := logging.Secret(strings.TrimSpace(string(content)))
		switch {
		case want == "":
			return nil, fmt.Errorf("%s is empty", one.file)
		case have == nil:
			plan = append(plan, change{"+", fmt.Sprintf("create secret %q", name), []string{"from " + one.file}, func(ctx context.Context) error { return v.create(ctx, name, want) }})
		case !have.Equal(want):
			plan = append(plan, change{"~", fmt.Sprintf("update secret %q", name), []string{"it differs from " + one.file}, func(ctx context.Context) error { return v.set(ctx, name, want) }})
		}
	}
	return plan, nil
}

type smVault struct{ client *secretsmanager.Client }

func (v *smVault) get(ctx context.Context, name string) (*logging.Secret, error) {
	out, err := v.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(name)})
	var missing *smtypes.ResourceNotFoundException
	if errors.As(err, &missing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	value := logging.Secret(aws.ToString(out.SecretString))
	return &value, nil
}

func (v *smVault) create(ctx context.Context, name string, value logging.Secret) error {
	_, err := v.client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String(name), SecretString: aws.String(value.Reveal())})
	return err
}

func (v *smVault) set(ctx context.Context, name string, value logging.Secret) error {
	_, err := v.client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: aws.String(name), SecretString: aws.String(value.Reveal())})
	return err
}

func (v *smVault) remove(ctx context.Context, name string) error {
	_, err := v.client.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: aws.String(name)})
	return err
}

type ssmVault struct{ client *ssm.Client }

func (v *ssmVault) get(ctx context.Context, name string) (*logging.Secret, error) {
	out, err := v.client.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(name), WithDecryption: aws.Bool(true)})
	var missing *ssmtypes.ParameterNotFound
	if errors.As(err, &missing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	value := logging.Secret(aws.ToString(out.Parameter.Value))
	return &value, nil
}

func (v *ssmVault) put(ctx context.Context, name string, value logging.Secret, overwrite bool) error {
	_, err := v.client.PutParameter(ctx, &ssm.PutParameterInput{
		Name: aws.String(name), Value: aws.String(value.Reveal()), Type: ssmtypes.ParameterTypeSecureString, Overwrite: aws.Bool(overwrite),
	})
	return err
}

func (v *ssmVault) create(ctx context.Context, name string, value logging.Secret) error {
	return v.put(ctx, name, value, false)
}

func (v *ssmVault) set(ctx context.Context, name string, value logging.Secret) error {
	return v.put(ctx, name, value, true)
}

func (v *ssmVault) remove(ctx context.Context, name string) error {
	_, err := v.client.DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: aws.String(name)})
	return err
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
