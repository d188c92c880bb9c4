package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/consul/api"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 20

// call is a request of a route that the published client does not know.
type call struct {
	method, path string
	query        url.Values // beside what the connection's flags say
	body         any        // nil is none
}

// raw makes a request and decodes its answer, JSON, into out. A status other than 200
// is the error that the published client makes of it.
func (c *conn) raw(ctx context.Context, env *Env, in call, out any) (http.Header, error) {
	res, err := c.do(ctx, env, in)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := whole(res)
	if err != nil {
		return res.Header, err
	}
	return res.Header, json.Unmarshal(data, out)
}

// stream makes a request whose answer is read while it comes. The caller closes it.
func (c *conn) stream(ctx context.Context, env *Env, in call) (io.ReadCloser, error) {
	res, err := c.do(ctx, env, in)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		_, err := whole(res)
		return nil, err
	}
	return res.Body, nil
}

// whole reads an answer to its end.
func whole(res *http.Response) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err == nil && res.StatusCode != http.StatusOK {
		err = api.StatusError{Code: res.StatusCode, Body: string(bytes.TrimSpace(data))}
	}
	return data, err
}

func (c *conn) do(ctx context.Context, env *Env, in call) (*http.Response, error) {
	config, err := c.config(env)
	if err == nil {
		_, err = api.NewClient(config) // completes config: the HTTP client, and the address of a socket
	}
	if err != nil {
		return nil, complain("Error connecting to Consul agent: %w", err)
	}
	req, err := in.request(ctx, config, c.stale)
	if err != nil {
		return nil, err
	}
	return config.HttpClient.Do(req)
}

func (in call) request(ctx context.Context, config *api.Config, stale bool) (*http.Request, error) {
	var body bytes.Buffer
	if in.body != nil {
		if err := json.NewEncoder(&body).Encode(in.body); err != nil {
			return nil, err
		}
	}
	query := url.Values{}
	maps.Copy(query, in.query)
	for key, value := range map[string]string{"dc": config.Datacenter, "ns": config.Namespace, "partition": config.Partition} {
		if value != "" {
			query.Set(key, value)
		}
	}
	if stale {
		query.Set("stale", "")
	}
	u := url.URL{Scheme: config.Scheme, Host: config.Address, Path: config.PathPrefix + in.path, RawQuery: query.Encode()}
	if strings.HasPrefix(u.Host, "/") {
		u.Host = "localhost" // the path of a socket, which the HTTP client knows
	}
	req, err := http.NewRequestWithContext(ctx, in.method, u.String(), &body)
	if err != nil {
		return nil, err
	}
	if config.Token != "" {
		req.Header.Set("X-Consul-Token", config.Token)
	}
	if config.HttpAuth != nil {
		req.SetBasicAuth(config.HttpAuth.Username, config.HttpAuth.Password)
	}
	return req, nil
}
