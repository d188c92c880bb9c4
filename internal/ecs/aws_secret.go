package ecs

import (
	"context"
	"strings"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// secretReader reads secrets by ARN (ecs.md section 13).
type secretReader struct {
	getenv func(string) string
	byARN  map[string]*awsAPI // service and region of those asked so far
}

// read returns the value of a secret of Secrets Manager or of a parameter of SSM. An ARN of Secrets
// Manager may go on with :json-key:version-stage:version-id, as in a task definition, of which the JSON
// key is not supported.
func (s *secretReader) read(ctx context.Context, arn string) (logging.Secret, error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[3] == "" {
		return "", errs.Errorf(errs.Invalid, "%q is not the ARN of a secret", arn)
	}
	switch parts[2] {
	case "secretsmanager":
		return s.secret(ctx, parts[3], arn)
	case "ssm":
		return s.parameter(ctx, parts[3], arn)
	}
	return "", errs.Errorf(errs.Invalid, "%q is neither a secret of Secrets Manager nor a parameter of SSM", arn)
}

func (s *secretReader) secret(ctx context.Context, region, arn string) (logging.Secret, error) {
	a, err := s.api(ctx, region, "secretsmanager", "SECRETS_MANAGER", "secretsmanager")
	if err != nil {
		return "", err
	}
	var out struct{ SecretString string }
	if err := a.call(ctx, "GetSecretValue", map[string]any{"SecretId": arn}, &out); err != nil {
		return "", err
	}
	if out.SecretString == "" {
		return "", errs.Errorf(errs.Invalid, "%s holds no text", arn)
	}
	return logging.Secret(out.SecretString), nil
}

func (s *secretReader) parameter(ctx context.Context, region, arn string) (logging.Secret, error) {
	a, err := s.api(ctx, region, "ssm", "SSM", "AmazonSSM")
	if err != nil {
		return "", err
	}
	var out struct {
		Parameter struct{ Value string }
	}
	if err := a.call(ctx, "GetParameter", map[string]any{"Name": arn, "WithDecryption": true}, &out); err != nil {
		return "", err
	}
	if out.Parameter.Value == "" {
		return "", errs.Errorf(errs.Invalid, "%s holds no text", arn)
	}
	return logging.Secret(out.Parameter.Value), nil
}

func (s *secretReader) api(ctx context.Context, region, service, name, target string) (*awsAPI, error) {
	key := service + " " + region
	if a := s.byARN[key]; a != nil {
		return a, nil
	}
	a, err := newAWSAPI(ctx, s.getenv, region, service, name, target)
	if err != nil {
		return nil, err
	}
	if s.byARN == nil {
		s.byARN = map[string]*awsAPI{}
	}
	s.byARN[key] = a
	return a, nil
}
