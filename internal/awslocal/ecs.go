package awslocal

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
)

// Launch types.
const (
	fargate = "FARGATE"
	ec2     = "EC2"
)

const (
	maxListed    = 100 // tasks in an answer of ListTasks
	maxDescribed = 100
)

func invalidParameter(format string, args ...any) *apiError {
	return refuse(http.StatusBadRequest, "InvalidParameterException", format, args...)
}

// require refuses what the caller's permissions do not allow.
func (c caller) require(action, resource string) *apiError {
	if c.allows(action, resource) {
		return nil
	}
	return refuse(http.StatusBadRequest, "AccessDenied",
		"User: %s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action",
		c.callerARN(), action, resource, action)
}

// arn is the ARN of a thing of ECS in the caller's account and region.
func (c caller) arn(kind, name string) string {
	return "arn:aws:ecs:" + c.region + ":" + c.account + ":" + kind + "/" + name
}

// cluster returns the name of the cluster that ref, a name or an ARN, means. Clusters are not created:
// one without tasks is empty.
func (c caller) cluster(ref string) (string, *apiError) {
	name := strings.TrimPrefix(ref, c.arn("cluster", ""))
	if name == "" {
		name = "default"
	}
	if !ecsNamePattern.MatchString(name) {
		return "", refuse(http.StatusBadRequest, "ClusterNotFoundException", "Cluster not found.")
	}
	return name, nil
}

type listTasksInput struct {
	Cluster       string `json:"cluster"`
	Family        string `json:"family"`
	StartedBy     string `json:"startedBy"`
	DesiredStatus string `json:"desiredStatus"` // RUNNING when empty
	LaunchType    string `json:"launchType"`
	MaxResults    *int   `json:"maxResults"`
	NextToken     string `json:"nextToken"`
}

type listTasksResult struct {
	TaskARNs  []string `json:"taskArns"`
	NextToken string   `json:"nextToken,omitempty"`
}

func (s *Server) listTasks(who caller, in listTasksInput) (any, *apiError) {
	cluster, err := who.cluster(in.Cluster)
	if err != nil {
		return nil, err
	}
	if err := who.require("ecs:ListTasks", who.arn("container-instance", cluster+"/*")); err != nil {
		return nil, err
	}
	if in.DesiredStatus == "" {
		in.DesiredStatus = Running
	}
	if in.DesiredStatus != Running && in.DesiredStatus != Pending && in.DesiredStatus != Stopped {
		return nil, invalidParameter("desiredStatus should be one of [RUNNING,PENDING,STOPPED]")
	}
	size := maxListed
	if in.MaxResults != nil {
		size = *in.MaxResults
	}
	if size < 1 || size > maxListed {
		return nil, invalidParameter("maxResults should be between 1 and %d.", maxListed)
	}
	after, err := pageToken(in.NextToken)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	result := listTasksResult{TaskARNs: []string{}}
	last := uint64(0)
	for _, t := range s.ordered() {
		if t.sequence <= after || !who.sees(t, cluster) || !in.selects(t) {
			continue
		}
		if len(result.TaskARNs) == size {
			result.NextToken = base64.StdEncoding.EncodeToString([]byte(strconv.FormatUint(last, 10)))
			break
		}
		result.TaskARNs = append(result.TaskARNs, t.ARN)
		last = t.sequence
	}
	return result, nil
}

// pageToken is the number of the last task on the page before; tasks that come and go between two
// calls neither repeat nor hide another.
func pageToken(token string) (uint64, *apiError) {
	if token == "" {
		return 0, nil
	}
	text, err := base64.StdEncoding.DecodeString(token)
	if err == nil {
		var after uint64
		if after, err = strconv.ParseUint(string(text), 10, 64); err == nil {
			return after, nil
		}
	}
	return 0, invalidParameter("Invalid token: %s", token)
}

func (in listTasksInput) selects(t *task) bool {
	return t.desired == in.DesiredStatus &&
		(in.Family == "" || in.Family == t.spec.Family) &&
		(in.StartedBy == "" || in.StartedBy == t.spec.StartedBy) &&
		(in.LaunchType == "" || in.LaunchType == t.spec.LaunchType)
}

func (c caller) sees(t *task, cluster string) bool {
	return t.role.account == c.account && t.spec.Region == c.region && t.spec.Cluster == cluster
}

type describeTasksInput struct {
	Cluster string   `json:"cluster"`
	Tasks   []string `json:"tasks"`   // ids or ARNs
	Include []string `json:"include"` // TAGS
}

type describeTasksResult struct {
	Tasks    []taskDetail `json:"tasks"`
	Failures []failure    `json:"failures"`
}

type failure struct {
	ARN    string `json:"arn,omitempty"`
	Reason string `json:"reason"`
}

func (s *Server) describeTasks(who caller, in describeTasksInput) (any, *apiError) {
	cluster, err := who.cluster(in.Cluster)
	if err != nil {
		return nil, err
	}
	if len(in.Tasks) == 0 {
		return nil, invalidParameter("Tasks cannot be empty.")
	}
	if len(in.Tasks) > maxDescribed {
		return nil, invalidParameter("Tasks cannot have more than %d elements.", maxDescribed)
	}
	for _, include := range in.Include {
		if include != "TAGS" {
			return nil, invalidParameter("Invalid value '%s' for parameter include; it should be one of [TAGS]", include)
		}
	}
	result := describeTasksResult{Tasks: []taskDetail{}, Failures: []failure{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ref := range in.Tasks {
		arn, t := s.findTask(who, cluster, ref)
		if err := who.require("ecs:DescribeTasks", arn); err != nil {
			return nil, err
		}
		if t == nil {
			result.Failures = append(result.Failures, failure{arn, "MISSING"})
			continue
		}
		d := t.detail()
		if len(in.Include) > 0 {
			d.Tags = newKeyValues(t.spec.Tags)
		}
		result.Tasks = append(result.Tasks, d)
	}
	return result, nil
}

// findTask returns the ARN that ref, an id or an ARN, means, and the task if there is one. s.mu is held.
func (s *Server) findTask(who caller, cluster, ref string) (string, *task) {
	arn := ref
	if !strings.HasPrefix(ref, "arn:") {
		arn = who.arn("task", cluster+"/"+ref)
	}
	t := s.tasks[arn[strings.LastIndexByte(arn, '/')+1:]]
	if t == nil || t.ARN != arn || !who.sees(t, cluster) {
		return arn, nil
	}
	return arn, t
}

type stopTaskInput struct {
	Cluster string `json:"cluster"`
	Task    string `json:"task"`
	Reason  string `json:"reason"`
}

type stopTaskResult struct {
	Task taskDetail `json:"task"`
}

func (s *Server) stopTask(who caller, in stopTaskInput) (any, *apiError) {
	cluster, err := who.cluster(in.Cluster)
	if err != nil {
		return nil, err
	}
	if len(in.Reason) > 1024 {
		return nil, invalidParameter("reason can have at most 1024 characters.")
	}
	s.mu.Lock()
	arn, t := s.findTask(who, cluster, in.Task)
	s.mu.Unlock()
	if err := who.require("ecs:StopTask", arn); err != nil {
		return nil, err
	}
	if t == nil {
		return nil, invalidParameter("The referenced task was not found.")
	}
	reason := in.Reason
	if reason == "" {
		reason = "Task stopped by user"
	}
	s.BeginStop(t.ID, reason, "UserInitiated")
	if t.spec.Stop == nil {
		s.StopTask(t.ID)
	} else {
		go t.spec.Stop(reason)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return stopTaskResult{t.detail()}, nil
}

// keyValue is a tag or a variable as the ECS API has them.
type keyValue struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func newKeyValues(m map[string]string) []keyValue {
	all := make([]keyValue, 0, len(m))
	for _, key := range sortedKeys(m) {
		all = append(all, keyValue{key, m[key]})
	}
	return all
}

// taskDetail is a task in answers of the ECS API.
type taskDetail struct {
	ARN              string            `json:"taskArn"`
	ClusterARN       string            `json:"clusterArn"`
	DefinitionARN    string            `json:"taskDefinitionArn"`
	Group            string            `json:"group"`
	StartedBy        string            `json:"startedBy,omitempty"`
	LastStatus       string            `json:"lastStatus"`
	DesiredStatus    string            `json:"desiredStatus"`
	HealthStatus     string            `json:"healthStatus"`
	LaunchType       string            `json:"launchType"`
	AvailabilityZone string            `json:"availabilityZone"`
	CreatedAt        epoch             `json:"createdAt"`
	StartedAt        epoch             `json:"startedAt"`
	StoppingAt       epoch             `json:"stoppingAt"`
	StoppedAt        epoch             `json:"stoppedAt"`
	StoppedReason    string            `json:"stoppedReason,omitempty"`
	StopCode         string            `json:"stopCode,omitempty"`
	Attachments      []attachment      `json:"attachments"`
	Containers       []containerDetail `json:"containers"`
	Tags             []keyValue        `json:"tags"`
}

// attachment is the task's network interface.
type attachment struct {
	ID      string      `json:"id"`
	Type    string      `json:"type"`
	Status  string      `json:"status"`
	Details []nameValue `json:"details"`
}

type nameValue struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type containerDetail struct {
	ARN          string             `json:"containerArn"`
	TaskARN      string             `json:"taskArn"`
	Name         string             `json:"name"`
	RuntimeID    string             `json:"runtimeId,omitempty"`
	LastStatus   string             `json:"lastStatus"`
	ExitCode     *int               `json:"exitCode,omitempty"`
	Reason       string             `json:"reason,omitempty"`
	HealthStatus string             `json:"healthStatus"`
	Interfaces   []networkInterface `json:"networkInterfaces"`
}

type networkInterface struct {
	AttachmentID string `json:"attachmentId"`
	PrivateIPv4  string `json:"privateIpv4Address"`
}

func (t *task) definitionARN() string {
	return definitionARN(t.spec.Region, t.role.account, t.spec.Family, t.spec.Revision)
}

// detail is the task without its tags. The server's mutex is held.
func (t *task) detail() taskDetail {
	attached := "ATTACHED"
	if t.ended {
		attached = "DELETED"
	}
	d := taskDetail{
		ARN: t.ARN, ClusterARN: t.clusterARN(), DefinitionARN: t.definitionARN(),
		Group: t.spec.Group, StartedBy: t.spec.StartedBy,
		LastStatus: t.status(), DesiredStatus: t.desired, HealthStatus: t.health(),
		LaunchType: t.spec.LaunchType, AvailabilityZone: t.spec.Region + "a",
		CreatedAt: epoch{t.created}, StartedAt: epoch{t.started}, StoppingAt: epoch{t.stopping}, StoppedAt: epoch{t.stopped},
		StoppedReason: t.reason, StopCode: t.code, Tags: []keyValue{},
		Attachments: []attachment{{
			ID: t.attachmentID(), Type: "ElasticNetworkInterface", Status: attached,
			Details: []nameValue{
				{"privateDnsName", Hostname(t.spec.IPv4, t.spec.Region)},
				{"privateIPv4Address", t.spec.IPv4},
			},
		}},
	}
	for i, c := range t.containers {
		state := containerDetail{
			ARN: t.containerARN(i), TaskARN: t.ARN, Name: c.Name, RuntimeID: t.runtimeID(i),
			LastStatus: c.Known, Reason: c.Reason, HealthStatus: c.Health,
			Interfaces: []networkInterface{{t.attachmentID(), t.spec.IPv4}},
		}
		if c.Health == "" {
			state.HealthStatus = Unknown
		}
		if c.Known == Stopped && !c.started.IsZero() {
			state.ExitCode = &c.ExitCode
		}
		d.Containers = append(d.Containers, state)
	}
	return d
}

func (t *task) attachmentID() string {
	id := t.ID
	return id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
}
