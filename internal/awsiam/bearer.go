package awsiam

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithylogging "github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// lookupTime bounds everything that NewBearerToken asks of the network.
const lookupTime = 30 * time.Second

// BearerInput says whose bearer token to make. What is empty comes from the
// AWS SDK's default chain: environment, shared files, container and web
// identity endpoints, instance metadata.
type BearerInput struct {
	Region              string
	STSEndpoint         string // the URL to sign and call; empty is the region's own
	ServerIDHeaderValue string // signed into the token when not empty
	IncludeEntity       bool   // embed a signed iam:GetRole or iam:GetUser of oneself
	AccessKeyID         string
	SecretAccessKey     logging.Secret
	SessionToken        logging.Secret
	Self                *Self // what earlier calls have found out; nil finds out anew each time
}

// Self is what making a bearer token finds out: where credentials come from, and, with IncludeEntity, whose they are. The
// zero value knows nothing yet. It is for one BearerInput, and for one goroutine at a time.
type Self struct {
	cfg       *aws.Config
	principal *principal
}

// NewBearerToken returns the JSON that logs its maker in with an aws-iam auth
// method: a signed sts:GetCallerIdentity request that is not sent
// (authmethods.md sections 4.1 to 4.3). Without IncludeEntity it asks AWS
// nothing; with it, it calls GetCallerIdentity once to learn its own name. The
// environment's AWS_ENDPOINT_URL_STS changes where that call goes, never what the token says.
// It returns errs.Invalid when region or credentials are missing, errs.Throttled when STS asks to slow
// down, and errs.Unavailable when it cannot be reached.
func NewBearerToken(ctx context.Context, in BearerInput) (logging.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	self := in.Self
	if self == nil {
		self = &Self{}
	}
	if self.cfg == nil {
		cfg, err := loadConfig(ctx, in)
		if err != nil {
			return "", err
		}
		self.cfg = &cfg
	}
	creds, err := self.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return "", errs.Errorf(errs.Invalid, "no AWS credentials found: %w", err)
	}
	b := bearerBuilder{creds: creds, region: self.cfg.Region, stsURL: in.STSEndpoint, serverID: in.ServerIDHeaderValue, at: time.Now()}
	if in.IncludeEntity {
		if self.principal == nil {
			if self.principal, err = lookUpSelf(ctx, *self.cfg, in.STSEndpoint); err != nil {
				return "", err
			}
		}
		b.entity = self.principal
	}
	return b.build(ctx)
}

func loadConfig(ctx context.Context, in BearerInput) (aws.Config, error) {
	options := []func(*config.LoadOptions) error{config.WithLogger(smithylogging.Nop{})} // what fails is in the error
	if in.Region != "" {
		options = append(options, config.WithRegion(in.Region))
	}
	if in.AccessKeyID != "" || in.SecretAccessKey != "" {
		options = append(options, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(
			in.AccessKeyID, in.SecretAccessKey.Reveal(), in.SessionToken.Reveal())))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return cfg, errs.Errorf(errs.Invalid, "load AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return cfg, errs.New(errs.Invalid, "AWS region not found")
	}
	if !isRegion(cfg.Region) {
		return cfg, errs.Errorf(errs.Invalid, "invalid AWS region: %q", cfg.Region)
	}
	return cfg, nil
}

// lookUpSelf asks STS who the credentials belong to.
func lookUpSelf(ctx context.Context, cfg aws.Config, endpoint string) (*principal, error) {
	client := sts.NewFromConfig(cfg, func(o *sts.Options) {
		if endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
	})
	answer, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if send := (*smithyhttp.RequestSendError)(nil); errors.As(err, &send) {
		return nil, errs.Errorf(errs.Unavailable, "RequestError: send request failed: %w", err)
	}
	if err != nil {
		kind := errs.Denied
		if refusal := (smithy.APIError)(nil); errors.As(err, &refusal) && slices.Contains(throttlingCodes, refusal.ErrorCode()) {
			kind = errs.Throttled
		}
		return nil, errs.Errorf(kind, "GetCallerIdentity: %w", err)
	}
	p, err := parseARN(aws.ToString(answer.Arn))
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// bearerToken is the outer JSON (authmethods.md section 4.1). All but Method are in base64.
type bearerToken struct {
	Method  string `json:"iam_http_request_method"`
	Body    string `json:"iam_request_body"`
	Headers string `json:"iam_request_headers"`
	URL     string `json:"iam_request_url"`
}

// bearerBuilder makes one bearer token from what is already known.
type bearerBuilder struct {
	creds    aws.Credentials
	region   string
	stsURL   string     // empty: the region's own
	serverID string     // may be empty
	entity   *principal // nil: without a GetRole or GetUser request
	at       time.Time
}

func (b bearerBuilder) build(ctx context.Context) (logging.Secret, error) {
	part := partitionOf(b.region)
	stsURL := b.stsURL
	if stsURL == "" {
		stsURL = "https://sts." + b.region + "." + part.suffix
	}
	if _, err := parseURL(stsURL); err != nil {
		return "", errs.Errorf(errs.Invalid, "%w", err)
	}
	if !strings.HasSuffix(stsURL, "/") {
		stsURL += "/" // as the original's client writes it
	}
	extra := http.Header{}
	if b.serverID != "" {
		extra.Set(serverIDHeader, b.serverID)
	}
	if b.entity != nil {
		body := b.entity.request().Encode()
		entityURL := "https://" + part.iamHost + "/"
		headers, err := b.sign(ctx, "iam", part.iamRegion, entityURL, body, extra)
		if err != nil {
			return "", err
		}
		extra.Set(entityMethodHeader, http.MethodPost)
		extra.Set(entityURLHeader, entityURL)
		extra.Set(entityBodyHeader, body)
		extra.Set(entityHeadersHeader, string(headers))
	}
	body := url.Values{"Action": {actionGetCallerIdentity}, "Version": {stsVersion}}.Encode()
	headers, err := b.sign(ctx, "sts", b.region, stsURL, body, extra)
	if err != nil {
		return "", err
	}
	token, err := json.Marshal(bearerToken{
		Method:  http.MethodPost,
		Body:    base64.StdEncoding.EncodeToString([]byte(body)),
		Headers: base64.StdEncoding.EncodeToString(headers),
		URL:     base64.StdEncoding.EncodeToString([]byte(stsURL)),
	})
	return logging.Secret(token), err
}

// sign returns the JSON of the header map of a signed POST of body to target.
func (b bearerBuilder) sign(ctx context.Context, service, region, target, body string, extra http.Header) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, nil)
	if err != nil {
		return nil, err
	}
	req.Header = extra.Clone()
	req.Header.Set("Content-Type", formType)
	req.Header.Set("Content-Length", fmt.Sprint(len(body)))
	req.ContentLength = int64(len(body))
	if err := signV4(ctx, b.creds, req, body, service, region, b.at); err != nil {
		return nil, err
	}
	return json.Marshal(req.Header)
}
