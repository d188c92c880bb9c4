package cli

import (
	"os"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/ca"
)

// tlsGroup is the group of commands that make certificates. They ask no agent.
func tlsGroup() *Command {
	return &Command{
		Name: "tls", Short: "Make a CA and certificates for agents",
		Sub: []*Command{
			{Name: "ca", Short: "Make a CA", Sub: []*Command{tlsCACreate()}},
			{Name: "cert", Short: "Make certificates", Sub: []*Command{tlsCertCreate()}},
		},
	}
}

// The files of a CA. #DOMAIN# stands for the value of -domain.
const (
	caFile    = "#DOMAIN#-agent-ca.pem"
	caKeyFile = "#DOMAIN#-agent-ca-key.pem"
)

func inDomain(file, domain string) string { return strings.ReplaceAll(file, "#DOMAIN#", domain) }

// maxDays is a hundred years.
const maxDays = 36500

func days(n int) (time.Duration, error) {
	if n < 1 || n > maxDays {
		return 0, complain("-days must be between 1 and %d", maxDays)
	}
	return time.Duration(n) * 24 * time.Hour, nil
}

// checkName complains about the value of a flag that becomes a part of DNS and file
// names and cannot be one. Empty is good.
func checkName(flag, value string) error {
	for _, c := range value {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.ContainsRune("-_.", c):
		default:
			return complain("%s: %q may only have letters, digits, dashes, underscores and dots", flag, value)
		}
	}
	if strings.Contains("."+value+".", "..") && value != "" {
		return complain("%s: %q has an empty label", flag, value)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// savePair writes a certificate that all may read and a key that only its owner may,
// into new files. After an error neither is left.
func savePair(pair ca.Pair, cert, key string) error {
	if err := create(cert, pair.Cert, 0o644); err != nil {
		return err
	}
	if err := create(key, []byte(pair.Key.Reveal()), 0o600); err != nil {
		_ = os.Remove(cert)
		return err
	}
	return nil
}

func create(path string, content []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}
