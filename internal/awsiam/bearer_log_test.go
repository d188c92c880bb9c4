package awsiam

import (
	"testing"

	smithylogging "github.com/aws/smithy-go/logging"
)

// A login that fails says so in one line: the SDK's own messages would stand beside it.
func TestTheSDKWritesNoLog(t *testing.T) {
	cfg, err := loadConfig(t.Context(), BearerInput{Region: "us-west-2", AccessKeyID: "AKID", SecretAccessKey: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Logger != (smithylogging.Nop{}) {
		t.Errorf("its messages go to %T", cfg.Logger)
	}
}
