package awslocal

// The account and the operator of [Demo]. The secret opens nothing but a
// local AWS.
const (
	DemoAccount   = "123456789012"
	DemoAccessKey = "AKIADEMOOPERATOR0001"
	DemoSecret    = "localSecretOfTheDemoOperator0000000001"
)

// Demo returns an account as the ECS set-up describes it: task roles under
// /consul-ecs/ that may read themselves and carry the service's tags, roles
// that break one rule each, the role "execution" that tasks' secrets are read with, the role
// "controller" of the ACL controller, and the user "operator", who may read
// and assume all of them and run tasks.
func Demo() Fixture {
	const service, namespace = "consul.hashicorp.com.service-name", "consul.hashicorp.com.namespace"
	untagged := demoRole("/consul-ecs/", "untagged", "AROADEMO0000UNTAGGED1", nil)
	mute := demoRole("/consul-ecs/", "no-getrole", "AROADEMO000NOGETROLE1", map[string]string{service: "mute"})
	mute.Permissions = nil
	return Fixture{Accounts: []Account{{
		ID: DemoAccount,
		Roles: []Role{
			demoRole("/consul-ecs/", "web", "AROADEMO000000000WEB1", map[string]string{service: "web", namespace: "team-1"}),
			demoRole("/consul-ecs/", "api", "AROADEMO000000000API1", map[string]string{service: "api"}),
			untagged,
			mute,
			demoRole("/other/", "outsider", "AROADEMO0000OUTSIDER1", map[string]string{service: "web"}),
			demoTaskRole("execution", "AROADEMO000EXECUTION1", "secretsmanager:GetSecretValue", "ssm:GetParameters"),
			demoTaskRole("controller", "AROADEMO00CONTROLLER1", "ecs:ListTasks", "ecs:DescribeTasks"),
		},
		Users: []User{{
			Name: "operator",
			Path: "/",
			ID:   "AIDADEMO0000OPERATOR1",
			Tags: map[string]string{"team": "platform"},
			Permissions: []Permission{{
				Action: []string{
					"iam:Get*", "iam:PassRole", "sts:AssumeRole", "ecs:*",
					"secretsmanager:GetSecretValue", "ssm:GetParameter*",
				},
				Resource: []string{"*"},
			}},
			AccessKeys: []AccessKey{{ID: DemoAccessKey, Secret: DemoSecret}},
		}},
	}}}
}

func demoRole(path, name, id string, tags map[string]string) Role {
	return Role{
		Name: name, Path: path, ID: id, Tags: tags,
		Permissions: []Permission{{
			Action:   []string{"iam:GetRole"},
			Resource: []string{"arn:aws:iam::" + DemoAccount + ":role" + path + name},
		}},
		Trust: Trust{
			Service: []string{tasksService},
			AWS:     []string{"arn:aws:iam::" + DemoAccount + ":user/operator"},
		},
	}
}

// demoTaskRole is a role of path "/" that may do actions on everything.
func demoTaskRole(name, id string, actions ...string) Role {
	r := demoRole("/", name, id, nil)
	r.Permissions = []Permission{{Action: actions, Resource: []string{"*"}}}
	return r
}
