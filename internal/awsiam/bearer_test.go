package awsiam

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// TestBearerVector pins the token of authmethods.md section 4.4.
func TestBearerVector(t *testing.T) {
	b := bearerBuilder{
		creds:    aws.Credentials{AccessKeyID: "AKIAEXAMPLEKEY000001", SecretAccessKey: "exampleSecretKeyForTestVectorsOnly000001"},
		region:   "us-west-2",
		serverID: "consul.test",
		entity:   &principal{partition: "aws", account: "123456789012", kind: "role", name: "ecs-task-web"},
		at:       time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	secret, err := b.build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	token := secret.Reveal()
	if len(token) != 1854 {
		t.Errorf("the token is %d bytes long, want 1854", len(token))
	}
	sum := sha256.Sum256([]byte(token))
	if got, want := hex.EncodeToString(sum[:]), "62a4e68b2be1284187e0de3f7ce09403c6fc2f5cea1ed0bb87d70036c6bcfca6"; got != want {
		t.Errorf("sha256 of the token is %s, want %s", got, want)
	}
	if !strings.HasSuffix(token, `"iam_request_url":"aHR0cHM6Ly9zdHMudXMtd2VzdC0yLmFtYXpvbmF3cy5jb20v"}`) {
		t.Errorf("the token ends with %q", token[len(token)-80:])
	}
}
