package ecs

import (
	"context"
	"strings"

	"github.com/lictor/lictor/internal/ecsconfig"
)

// ecsAPI asks ECS for the tasks of a cluster.
type ecsAPI struct {
	*awsAPI
	cluster string // ARN
}

func newECSAPI(ctx context.Context, getenv func(string) string, region, cluster string) (*ecsAPI, error) {
	a, err := newAWSAPI(ctx, getenv, region, "ecs", "ECS", "AmazonEC2ContainerServiceV20141113")
	return &ecsAPI{awsAPI: a, cluster: cluster}, err
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
		if tags[ecsconfig.TagMesh] == "true" {
			id := t.TaskARN[strings.LastIndexByte(t.TaskARN, '/')+1:]
			found = append(found, meshTask{id: id, partition: tags[ecsconfig.TagPartition], namespace: tags[ecsconfig.TagNamespace]})
		}
	}
	return found, nil
}
