package awsiam

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/lictor/lictor/internal/errs"
)

// identity is what STS says of whoever signed a request.
type identity struct{ arn, userID, account string }

// entity is what IAM says of a role or user.
type entity struct {
	arn, path, id string
	tags          map[string]string
}

// stsAnswer is the XML of GetCallerIdentity. Elements are lists so that repeats show.
type stsAnswer struct {
	Results []struct {
		Arn, UserId, Account []string
	} `xml:"GetCallerIdentityResult"`
}

// iamAnswer is the XML of GetRole and GetUser.
type iamAnswer struct {
	Roles []iamEntity `xml:"GetRoleResult>Role"`
	Users []iamEntity `xml:"GetUserResult>User"`
}

type iamEntity struct {
	Arn, Path, RoleId, UserId []string
	Tags                      []struct {
		Key, Value []string
	} `xml:"Tags>member"`
}

// parseIdentity reads the answer to GetCallerIdentity (authmethods.md section 4.6).
func parseIdentity(body []byte) (identity, error) {
	var answer stsAnswer
	if err := decodeXML(body, "GetCallerIdentityResponse", &answer); err != nil {
		return identity{}, errParsing("STS response")
	}
	if n := len(answer.Results); n != 1 {
		return identity{}, errs.Errorf(errs.Unavailable, "received %d identities in STS response but expected 1", n)
	}
	r := answer.Results[0]
	if !single(r.Arn, r.UserId, r.Account) {
		return identity{}, errParsing("STS response")
	}
	return identity{r.Arn[0], r.UserId[0], r.Account[0]}, nil
}

// parseEntity reads the answer to action, GetRole or GetUser.
func parseEntity(body []byte, action string) (entity, error) {
	var answer iamAnswer
	if err := decodeXML(body, action+"Response", &answer); err != nil {
		return entity{}, errParsing("IAM response: body of GetRole or GetUser is invalid")
	}
	found := answer.Roles
	if action == actionGetUser {
		found = answer.Users
	}
	if len(found) != 1 {
		return entity{}, errParsing("IAM response: received %d identities in %s response but expected 1", len(found), action)
	}
	f := found[0]
	ids := f.RoleId
	if action == actionGetUser {
		ids = f.UserId
	}
	e := entity{tags: map[string]string{}}
	ok := single(f.Arn, f.Path, ids)
	for _, t := range f.Tags {
		if ok = ok && single(t.Key, t.Value); !ok {
			break
		}
		_, repeated := e.tags[t.Key[0]]
		ok = !repeated
		e.tags[t.Key[0]] = t.Value[0]
	}
	if !ok {
		return entity{}, errParsing("IAM response: body of GetRole or GetUser is invalid")
	}
	e.arn, e.path, e.id = f.Arn[0], f.Path[0], ids[0]
	return e, nil
}

func single(lists ...[]string) bool {
	for _, l := range lists {
		if len(l) != 1 {
			return false
		}
	}
	return true
}

var errShape = errors.New("not the document that was asked for")

// decodeXML reads a document whose one root element is root, with nothing before it but an XML
// declaration and nothing after it but white space.
func decodeXML(body []byte, root string, into any) error {
	if !bytes.HasPrefix(body, []byte("<?xml")) && !bytes.HasPrefix(body, []byte("<"+root)) {
		return errShape
	}
	dec := xml.NewDecoder(bytes.NewReader(body))
	seen := false
	for {
		token, err := dec.Token()
		if err == io.EOF && seen {
			return nil
		}
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if seen || t.Name.Local != root {
				return errShape
			}
			seen = true
			if err := dec.DecodeElement(into, &t); err != nil {
				return err
			}
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return errShape
			}
		case xml.ProcInst:
			if seen || !strings.EqualFold(t.Target, "xml") {
				return errShape
			}
		case xml.Directive:
			return errShape
		}
	}
}
