package ecs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/version"
)

const (
	awsCallTime = 10 * time.Second
	awsMaxBytes = 8 << 20
)

// awsAPI makes calls of one AWS service in the JSON 1.1 protocol. The SDK's clients for the services
// that are called here would add several MiB to a binary that every task copies.
type awsAPI struct {
	cfg      aws.Config // credentials and region
	service  string     // as signatures say it
	target   string     // before the name of an action
	endpoint string
}

// newAWSAPI finds credentials as the SDK does. AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_ with name
// change where calls go.
func newAWSAPI(ctx context.Context, getenv func(string) string, region, service, name, target string) (*awsAPI, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(region))
	if err != nil {
		return nil, err
	}
	suffix := "amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		suffix += ".cn"
	}
	a := &awsAPI{cfg: cfg, service: service, target: target, endpoint: "https://" + service + "." + region + "." + suffix}
	for _, variable := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_" + name} {
		if url := getenv(variable); url != "" {
			a.endpoint = url
		}
	}
	return a, nil
}

// call makes one call. It returns errs.Throttled where AWS asks to slow down.
func (a *awsAPI) call(ctx context.Context, action string, input, output any) error {
	ctx, cancel := context.WithTimeout(ctx, awsCallTime)
	defer cancel()
	body, err := json.Marshal(input)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", a.target+"."+action)
	req.Header.Set("User-Agent", "consul-ecs/"+version.Lictor)
	creds, err := a.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("%s: no AWS credentials found: %w", action, err)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), a.service, a.cfg.Region, time.Now()); err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return errs.Errorf(errs.Unavailable, "%s: %w", action, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, awsMaxBytes))
	if err != nil {
		return errs.Errorf(errs.Unavailable, "%s: %w", action, err)
	}
	if res.StatusCode != http.StatusOK {
		return awsError(action, res.Status, answer)
	}
	if err := json.Unmarshal(answer, output); err != nil {
		return errs.Errorf(errs.Unavailable, "%s: %w", action, err)
	}
	return nil
}

func awsError(action, status string, answer []byte) error {
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(answer, &e) // the status says enough where it is no JSON
	kind := errs.Unavailable
	switch {
	case strings.Contains(e.Type, "Throttl") || strings.Contains(e.Type, "TooManyRequests"):
		kind = errs.Throttled
	case strings.Contains(e.Type, "AccessDenied"):
		kind = errs.Denied
	}
	return errs.Errorf(kind, "%s: %s %s: %s", action, status, e.Type, e.Message)
}
