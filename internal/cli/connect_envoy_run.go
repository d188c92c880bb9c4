package cli

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// versionTime is how long an Envoy may take to say its version.
const versionTime = 10 * time.Second

// findEnvoy returns the path of Envoy, of a version that the agent configures.
func (f *envoyFlags) findEnvoy(ctx context.Context, client *api.Client) (string, error) {
	binary := f.binary
	if binary == "" {
		found, err := exec.LookPath("envoy")
		if err != nil {
			return "", complain("Couldn't find envoy binary: it is not in PATH, and -envoy-binary is not given")
		}
		binary = found
	}
	if f.anyVersion {
		return binary, nil
	}
	supported := supportedEnvoys(client)
	if len(supported) == 0 {
		return binary, nil
	}
	ctx, cancel := context.WithTimeout(ctx, versionTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, "--version").Output()
	if err != nil {
		return "", complain("Couldn't get envoy version for compatibility check: %w", err)
	}
	version := envoyVersion.FindString(string(out))
	for _, s := range supported {
		if minor(s) == minor(version) {
			return binary, nil
		}
	}
	return "", complain("Envoy version %s is not supported by this agent, which supports %s. "+
		"To run it nevertheless use -ignore-envoy-compatibility.", version, strings.Join(supported, ", "))
}

var envoyVersion = regexp.MustCompile(`\d+\.\d+\.\d+`)

// minor returns the version without its patch level.
func minor(version string) string { return version[:max(0, strings.LastIndexByte(version, '.'))] }

// supportedEnvoys are the versions that the agent names; none if it may not be asked.
func supportedEnvoys(client *api.Client) []string {
	self, err := client.Agent().Self()
	if err != nil {
		return nil
	}
	proxies, _ := self["xDS"]["SupportedProxies"].(map[string]any)
	list, _ := proxies["envoy"].([]any)
	var versions []string
	for _, v := range list {
		if s, ok := v.(string); ok {
			versions = append(versions, s)
		}
	}
	return versions
}

// bootstrapFile writes the bootstrap to a file that only this user can read.
func bootstrapFile(text []byte) (*os.File, error) {
	file, err := os.CreateTemp("", "envoy-bootstrap-*.json")
	if err != nil {
		return nil, err
	}
	_, err = file.Write(text)
	if err == nil {
		_, err = file.Seek(0, 0)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(file.Name()))
	}
	return file, nil
}

// envoyArgs are the arguments of Envoy for a bootstrap at path and options of the user's.
func envoyArgs(path string, options []string) []string {
	args := []string{"--config-path", path}
	for _, o := range options {
		if o == "--restart-epoch" || strings.HasPrefix(o, "--restart-epoch=") {
			return append(args, options...)
		}
	}
	return append(append(args, "--disable-hot-restart"), options...)
}
