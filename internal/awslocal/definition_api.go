package awslocal

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// familyKey says whose revisions are numbered together.
type familyKey struct{ account, region, family string }

// registered is a revision of a task definition.
type registered struct {
	*TaskDefinition
	arn      string
	revision int
	by       string
	at       epoch
}

func definitionARN(region, account, family string, revision int) string {
	return fmt.Sprintf("arn:aws:ecs:%s:%s:task-definition/%s:%d", region, account, family, revision)
}

func clientException(format string, args ...any) *apiError {
	return refuse(http.StatusBadRequest, "ClientException", format, args...)
}

func (s *Server) registerTaskDefinition(who caller, body []byte) (any, *apiError) {
	if err := who.require("ecs:RegisterTaskDefinition", "*"); err != nil {
		return nil, err
	}
	d, err := ParseTaskDefinition(body)
	if err != nil {
		return nil, clientException("%s", err)
	}
	if err := who.mayPass(d); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := familyKey{who.account, who.region, d.Family}
	r := &registered{TaskDefinition: d, revision: len(s.definitions[key]) + 1, by: who.callerARN(), at: epoch{s.now()}}
	r.arn = definitionARN(who.region, who.account, d.Family, r.revision)
	s.definitions[key] = append(s.definitions[key], r)
	return r.result(), nil
}

// mayPass refuses a caller who may not give tasks the roles of d.
func (c caller) mayPass(d *TaskDefinition) *apiError {
	for _, role := range []string{d.TaskRoleARN, d.ExecutionRoleARN} {
		if role == "" {
			continue
		}
		if err := c.require("iam:PassRole", role); err != nil {
			return err
		}
	}
	return nil
}

type definitionResult struct {
	Definition map[string]any `json:"taskDefinition"`
	Tags       []keyValue     `json:"tags"`
}

// result is the definition as it was registered, and what registering added.
func (r *registered) result() definitionResult {
	d := map[string]any{}
	for key, value := range r.document {
		if key != "tags" {
			d[key] = value
		}
	}
	d["taskDefinitionArn"], d["revision"], d["status"] = r.arn, r.revision, "ACTIVE"
	d["registeredAt"], d["registeredBy"] = r.at, r.by
	if _, ok := d["volumes"]; !ok {
		d["volumes"] = []string{}
	}
	return definitionResult{d, r.Tags}
}

type describeTaskDefinitionInput struct {
	Definition string   `json:"taskDefinition"`
	Include    []string `json:"include"`
}

func (s *Server) describeTaskDefinition(who caller, in describeTaskDefinitionInput) (any, *apiError) {
	if err := who.require("ecs:DescribeTaskDefinition", "*"); err != nil {
		return nil, err
	}
	r, err := s.findDefinition(who, in.Definition)
	if err != nil {
		return nil, err
	}
	result := r.result()
	if len(in.Include) == 0 {
		result.Tags = []keyValue{}
	}
	return result, nil
}

// findDefinition returns the revision that ref means: a family for the newest one, family:revision or
// an ARN.
func (s *Server) findDefinition(who caller, ref string) (*registered, *apiError) {
	name := strings.TrimPrefix(ref, who.arn("task-definition", ""))
	family, revision, numbered := strings.Cut(name, ":")
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.definitions[familyKey{who.account, who.region, family}]
	n := len(all)
	if numbered {
		var err error
		if n, err = strconv.Atoi(revision); err != nil {
			n = 0
		}
	}
	if n < 1 || n > len(all) {
		return nil, clientException("Unable to describe task definition.")
	}
	return all[n-1], nil
}

// RunRequest is one task that RunTask of the ECS API asks for.
type RunRequest struct {
	Definition *TaskDefinition
	Revision   int
	Cluster    string // name
	Region     string
	LaunchType string // "" for the default
	Tags       map[string]string
	Group      string
	StartedBy  string
}

// OnRunTask makes RunTask of the ECS API run tasks with run, which returns the id of the task that it
// started with StartTask. Until then RunTask answers that there is no capacity.
func (s *Server) OnRunTask(run func(RunRequest) (id string, err error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runTasks = run
}

type runTaskInput struct {
	Cluster       string          `json:"cluster"`
	Definition    string          `json:"taskDefinition"`
	Count         *int            `json:"count"`
	LaunchType    string          `json:"launchType"`
	Tags          []keyValue      `json:"tags"`
	Group         string          `json:"group"`
	StartedBy     string          `json:"startedBy"`
	PropagateTags string          `json:"propagateTags"`        // TASK_DEFINITION, NONE or ""
	Network       json.RawMessage `json:"networkConfiguration"` // there is one network only
	ClientToken   string          `json:"clientToken"`          // a call that is made again with it runs nothing more
}

func (s *Server) runTask(who caller, in runTaskInput) (any, *apiError) {
	cluster, err := who.cluster(in.Cluster)
	if err != nil {
		return nil, err
	}
	d, err := s.findDefinition(who, in.Definition)
	if err != nil {
		return nil, err
	}
	if err := who.require("ecs:RunTask", d.arn); err != nil {
		return nil, err
	}
	if err := who.mayPass(d.TaskDefinition); err != nil {
		return nil, err
	}
	count := 1
	if in.Count != nil {
		count = *in.Count
	}
	if count < 1 || count > 10 {
		return nil, invalidParameter("count should be between 1 and 10.")
	}
	request := RunRequest{
		Definition: d.TaskDefinition, Revision: d.revision, Cluster: cluster, Region: who.region,
		LaunchType: in.LaunchType, Group: in.Group, StartedBy: in.StartedBy, Tags: map[string]string{},
	}
	if in.PropagateTags == "TASK_DEFINITION" {
		addTags(request.Tags, d.Tags)
	}
	addTags(request.Tags, in.Tags)
	return s.once(in.ClientToken, func() describeTasksResult { return s.runRequested(request, count) }), nil
}

// once returns what run returned for the token before, if it did.
func (s *Server) once(token string, run func() describeTasksResult) describeTasksResult {
	if token == "" {
		return run()
	}
	s.running.Lock()
	defer s.running.Unlock()
	result, again := s.ran[token]
	if !again {
		result = run()
		s.ran[token] = result
	}
	return result
}

func addTags(to map[string]string, tags []keyValue) {
	for _, t := range tags {
		to[t.Key] = t.Value
	}
}

func (s *Server) runRequested(request RunRequest, count int) describeTasksResult {
	s.mu.Lock()
	run := s.runTasks
	s.mu.Unlock()
	result := describeTasksResult{Tasks: []taskDetail{}, Failures: []failure{}}
	for range count {
		if run == nil {
			result.Failures = append(result.Failures, failure{Reason: "RESOURCE:CPU"})
			continue
		}
		id, err := run(request)
		if err != nil {
			result.Failures = append(result.Failures, failure{Reason: err.Error()})
			continue
		}
		s.mu.Lock()
		detail := s.tasks[id].detail()
		s.mu.Unlock()
		detail.Tags = newKeyValues(request.Tags)
		result.Tasks = append(result.Tasks, detail)
	}
	return result
}
