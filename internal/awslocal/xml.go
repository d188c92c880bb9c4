package awslocal

import (
	"cmp"
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"net/http"
)

// namespaces are the XML namespaces of the services.
var namespaces = map[string]string{
	"sts": "https://sts.amazonaws.com/doc/2011-06-15/",
	"iam": "https://iam.amazonaws.com/doc/2010-05-08/",
}

// envelope is the XML around every result: <ActionResponse> with the result
// and the request's id.
type envelope struct {
	XMLName   xml.Name
	Result    any
	RequestID string `xml:"ResponseMetadata>RequestId"`
}

type errorEnvelope struct {
	XMLName   xml.Name
	Type      string `xml:"Error>Type"` // Sender or Receiver
	Code      string `xml:"Error>Code"`
	Message   string `xml:"Error>Message"`
	RequestID string `xml:"RequestId"`
}

// xmlResult is the answer to an action of the service.
func xmlResult(service, action string, result any) answer {
	id := newUUID()
	return xmlAnswer(http.StatusOK, id, envelope{
		XMLName: xml.Name{Space: namespaces[service], Local: action + "Response"},
		Result:  result, RequestID: id,
	})
}

// xmlError is the answer with an ErrorResponse, in the form of STS where the
// service is not known.
func xmlError(service string, e *apiError) answer {
	id, kind := newUUID(), "Sender"
	if e.status >= 500 {
		kind = "Receiver"
	}
	a := xmlAnswer(e.status, id, errorEnvelope{
		XMLName: xml.Name{Space: cmp.Or(namespaces[service], namespaces["sts"]), Local: "ErrorResponse"},
		Type:    kind, Code: e.code, Message: e.message, RequestID: id,
	})
	a.code = e.code
	return a
}

func xmlAnswer(status int, id string, document any) answer {
	body, err := xml.Marshal(document)
	if err != nil {
		panic("awslocal: results are plain structs: " + err.Error())
	}
	header := http.Header{}
	header.Set("Content-Type", "text/xml")
	header.Set("X-Amzn-Requestid", id)
	return answer{status: status, header: header, body: append(body, '\n')}
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	b := randomBytes(16)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the process instead
	return b
}
