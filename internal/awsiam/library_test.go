package awsiam

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// recorded is testdata/library/verdicts.json; see the README beside it.
type recorded struct {
	Tokens   map[string]string
	Configs  map[string]map[string]any
	STS, IAM reply
	Cases    []struct {
		Name, Token, Config, Verdict string
		Endpoints                    bool
		STS, IAM                     *reply
		Identity                     *struct {
			EntityName, EntityId, AccountId, EntityPath string
			EntityTags                                  map[string]string
		}
	}
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestTokensTheLibraryAccepted pins our tokens to those that the library accepted.
func TestTokensTheLibraryAccepted(t *testing.T) {
	var r recorded
	readJSON(t, "testdata/library/verdicts.json", &r)
	full, plain, session, user := builderFor("ecs-task-web"), builderFor("ecs-task-web"), builderFor("ecs-task-web"), builderFor("jo@example")
	plain.serverID, plain.entity = "", nil
	session.creds.SessionToken = "exampleSessionToken/+=="
	user.entity.kind = "user"
	accepted := map[string]bool{}
	for _, c := range r.Cases {
		if c.Verdict == "" && c.Identity != nil {
			accepted[c.Token] = true
		}
	}
	for name, b := range map[string]bearerBuilder{"full": full, "plain": plain, "session": session, "user": user} {
		if !accepted[name] {
			t.Errorf("the library did not accept token %s", name)
		}
		if got := mustBuild(t, b).Reveal(); got != r.Tokens[name] {
			t.Errorf("token %s differs:\ngot  %s\nwant %s", name, got, r.Tokens[name])
		}
	}
}

// stricter are the cases where we say more than the library, or say it sooner.
var stricter = map[string]string{
	"answer: STS is broken": "received error code 503: ", // the library names its retries
	"array":                 "invalid token: json: cannot unmarshal array into Go value of type awsiam.bearerToken",
	"number for the URL":    "invalid token: json: cannot unmarshal number into Go struct field bearerToken.iam_request_url of type string",
}

// TestVerdictsAgree gives us every token that the library was given.
func TestVerdictsAgree(t *testing.T) {
	var r recorded
	readJSON(t, "testdata/library/verdicts.json", &r)
	for _, c := range r.Cases {
		t.Run(c.Name, func(t *testing.T) {
			fake := &fakeAWS{sts: []reply{r.STS}, iam: []reply{r.IAM}}
			if c.STS != nil {
				fake.sts = []reply{*c.STS}
			}
			if c.IAM != nil {
				fake.iam = []reply{*c.IAM}
			}
			config := map[string]any{}
			for k, v := range r.Configs[c.Config] {
				config[k] = v
			}
			if c.Endpoints {
				config["STSEndpoint"], config["IAMEndpoint"] = "http://127.0.0.1:1/sts", "http://127.0.0.1:1/iam"
			}
			token := c.Token
			if known, ok := r.Tokens[token]; ok {
				token = known
			}
			id, err := open(t, config, fake).Verify(t.Context(), logging.Secret(token))
			if want, ok := stricter[c.Name]; ok {
				if err == nil || !strings.HasPrefix(err.Error(), want) {
					t.Fatalf("got error %v, want %q", err, want)
				}
				return
			}
			wantError(t, err, errs.KindOf(err), c.Verdict)
			if c.Identity == nil {
				return
			}
			a := id.Attributes
			if a["entity_name"] != c.Identity.EntityName || a["entity_id"] != c.Identity.EntityId ||
				a["account_id"] != c.Identity.AccountId || a["entity_path"] != c.Identity.EntityPath {
				t.Errorf("got identity %v, want %+v", a, *c.Identity)
			}
		})
	}
}

// TestTokensOfTheLibrary verifies tokens that the library made, with their signatures.
func TestTokensOfTheLibrary(t *testing.T) {
	var tokens []struct {
		Name, Token, At, ServerID, STS string
		Entity                         bool
	}
	readJSON(t, "testdata/library/tokens.json", &tokens)
	var r recorded
	readJSON(t, "testdata/library/verdicts.json", &r)
	regions := map[string]string{"role in China": "cn-north-1"}
	for _, c := range tokens {
		t.Run(c.Name, func(t *testing.T) {
			at, err := time.Parse(dateLayout, c.At)
			if err != nil {
				t.Fatal(err)
			}
			config := map[string]any{"BoundIAMPrincipalARNs": "arn:aws:iam::123456789012:role/ecs-task-web", "ServerIDHeaderValue": c.ServerID}
			if c.Entity {
				config = map[string]any{
					"BoundIAMPrincipalARNs":  []any{"arn:aws:iam::123456789012:role/consul-ecs/ecs-task-web", "arn:aws:iam::123456789012:user/staff/*"},
					"EnableIAMEntityDetails": true, "ServerIDHeaderValue": c.ServerID,
				}
			}
			endpoint := ""
			switch c.Name {
			case "role signed for an endpoint":
				endpoint = "http://127.0.0.1:7171/sts"
				config["STSEndpoint"] = endpoint
			case "role in China":
				config["STSEndpoint"] = "https://sts.cn-north-1.amazonaws.com.cn"
			}
			fake := &fakeAWS{sts: []reply{r.STS}, iam: []reply{r.IAM}}
			if c.STS == "user" {
				for _, other := range r.Cases {
					if other.Token == "user" {
						fake.sts, fake.iam = []reply{*other.STS}, []reply{*other.IAM}
					}
				}
			}
			v := open(t, config, fake)
			v.now = func() time.Time { return at }
			if _, err := v.Verify(t.Context(), logging.Secret(c.Token)); err != nil {
				t.Fatal(err)
			}
			for i, req := range fake.requests {
				checkSignature(t, req, fake.bodies[i])
			}
			if c.Entity {
				return
			}
			b := builderFor("")
			b.entity, b.serverID, b.at, b.stsURL = nil, c.ServerID, at, endpoint
			if region, ok := regions[c.Name]; ok {
				b.region = region
			}
			if got, want := mustBuild(t, b).Reveal(), withoutUserAgent(t, c.Token); got != want {
				t.Errorf("ours differs in more than the unsigned User-Agent:\ngot  %s\nwant %s", got, want)
			}
		})
	}
}

func withoutUserAgent(t *testing.T, token string) string {
	t.Helper()
	var outer bearerToken
	var h map[string][]string
	err := json.Unmarshal([]byte(token), &outer)
	if err == nil {
		var raw []byte
		raw, err = base64.StdEncoding.DecodeString(outer.Headers)
		if err == nil {
			err = json.Unmarshal(raw, &h)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	delete(h, "User-Agent")
	raw, _ := json.Marshal(h)
	outer.Headers = base64.StdEncoding.EncodeToString(raw)
	out, _ := json.Marshal(outer)
	return string(out)
}
