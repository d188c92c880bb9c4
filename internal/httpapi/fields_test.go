package httpapi

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/endpoint"
)

// TestEveryFieldOfThePublishedClientIsKnown sends what the client sends when
// every field is set, as a program does that reads an object and writes it back.
func TestEveryFieldOfThePublishedClientIsKnown(t *testing.T) {
	for _, c := range []struct{ sent, into any }{
		{&api.ACLToken{}, &endpoint.TokenWrite{}},
		{&api.ACLPolicy{}, &acl.Policy{}},
		{&api.ACLRole{}, &acl.Role{}},
		{&api.ACLAuthMethod{}, &authmethod.Method{}},
		{&api.ACLBindingRule{}, &authmethod.BindingRule{}},
		{&api.ACLLoginParams{}, &endpoint.LoginRequest{}},
		{&api.ACLTemplatedPolicyVariables{}, &acl.TemplateVariables{}},
		{&api.Partition{}, &partitionBody{}},
		{&api.Namespace{}, &namespaceBody{}},
		{&api.SessionEntry{}, &sessionBody{}},
		{&api.KVTxnOp{}, &txnKV{}},
		{&api.NodeTxnOp{}, &txnNode{}},
		{&api.CheckTxnOp{}, &txnCheck{}},
	} {
		fill(reflect.ValueOf(c.sent).Elem())
		body, err := json.Marshal(c.sent)
		check(t, err)
		if err := decodeJSON("refused", body, c.into); err != nil {
			t.Errorf("%T: %v\n%s", c.sent, err, body)
		}
	}
}

// fill sets everything in v to something.
func fill(v reflect.Value) {
	if _, ok := v.Interface().(time.Time); ok {
		v.Set(reflect.ValueOf(time.Unix(1, 0)))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64:
		v.SetInt(1)
	case reflect.Uint64, reflect.Uint8:
		v.SetUint(1)
	}
}
