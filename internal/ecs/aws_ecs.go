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
	ecsCallTime = 10 * time.Second
	ecsMaxBytes = 8 << 20
)

// ecsAPI makes the two calls of ECS that the controller needs, in the service's JSON 1.1
// protocol. The SDK's client for ECS would add 3 MiB to a binary that every task copies.
type ecsAPI struct {
	cfg      aws.Config // credentials and region
	endpoint string
	cluster  string // ARN
}

// newECSAPI finds credentials as the SDK does. AWS_ENDPOINT_URL_ECS and AWS_ENDPOINT_URL
// change where calls go.
func newECSAPI(ctx context.Context, getenv func(string) string, region, cluster string) (*ecsAPI, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(region))
	if err != nil {
		return nil, err
	}
	suffix := "amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		suffix += ".cn"
	}
	e := &ecsAPI{cfg: cfg, cluster: cluster, endpoint: "https://ecs." + region + "." + suffix}
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_ECS"} {
		if url := getenv(name); url != "" {
			e.endpoint = url
		}
	}
	return e, nil
}

// meshTasks returns the tasks of the cluster that should be running and take part in the mesh.
func (e *ecsAPI) meshTasks(ctx context.Context) ([]meshTask, error) {
	var found []meshTask
	next := ""
	for {
		var page struct {
			TaskARNs  []string `json:"taskArns"`
			NextToken string   `json:"nextToken"`
		}
		input := map[string]any{"cluster": e.cluster}
		if next != "" {
			input["nextToken"] = next
		}
		if err := e.call(ctx, "ListTasks", input, &page); err != nil {
			return nil, err
		}
		tasks, err := e.describe(ctx, page.TaskARNs)
		if err != nil {
			return nil, err
		}
		found = append(found, tasks...)
		if next = page.NextToken; next == "" {
			return found, nil
		}
	}
}

func (e *ecsAPI) describe(ctx context.Context, arns []string) ([]meshTask, error) {
	if len(arns) == 0 {
		return nil, nil
	}
	var described struct {
		Tasks []struct {
			TaskARN string `json:"taskArn"`
			Tags    []struct{ Key, Value string }
		}
	}
	input := map[string]any{"cluster": e.cluster, "tasks": arns, "include": []string{"TAGS"}}
	if err := e.call(ctx, "DescribeTasks", input, &described); err != nil {
		return nil, err
	}
	var found []meshTask
	for _, t := range described.Tasks {
		tags := map[string]string{}
		for _, tag := range t.Tags {
			tags[tag.Key] = tag.Value
		}
		if tags[taskTagMesh] == "true" {
			id := t.TaskARN[strings.LastIndexByte(t.TaskARN, '/')+1:]
			found = append(found, meshTask{id: id, partition: tags[taskTagPartition], namespace: tags[taskTagNamespace]})
		}
	}
	return found, nil
}

// call makes one call. It returns errs.Throttled where AWS asks to slow down.
func (e *ecsAPI) call(ctx context.Context, action string, input, output any) error {
	ctx, cancel := context.WithTimeout(ctx, ecsCallTime)
	defer cancel()
	body, err := json.Marshal(input)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113."+action)
	req.Header.Set("User-Agent", "consul-ecs-controller/"+version.Lictor)
	creds, err := e.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("%s: no AWS credentials found: %w", action, err)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), "ecs", e.cfg.Region, time.Now()); err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return errs.Errorf(errs.Unavailable, "%s: %w", action, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, ecsMaxBytes))
	if err != nil {
		return errs.Errorf(errs.Unavailable, "%s: %w", action, err)
	}
	if res.StatusCode != http.StatusOK {
		return ecsError(action, res.Status, answer)
	}
	if err := json.Unmarshal(answer, output); err != nil {
		return errs.Errorf(errs.Unavailable, "%s: %w", action, err)
	}
	return nil
}

func ecsError(action, status string, answer []byte) error {
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
