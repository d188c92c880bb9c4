package config

import (
	"bytes"
	"fmt"

	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/parser"
	"github.com/hashicorp/hcl/hcl/scanner"
	"github.com/hashicorp/hcl/hcl/token"
)

// parseHCL reads text as HCL1. Text that begins with a brace is JSON, as HCL1 has it. A key
// that is given a value twice is an error; blocks may repeat here, and the schema decides.
func parseHCL(text []byte) (obj *object, err error) {
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	if bytes.HasPrefix(bytes.TrimLeft(text, " \t\n"), []byte("{")) {
		return parseJSON(text)
	}
	// The library panics on some malformed literals.
	defer func() {
		if p := recover(); p != nil {
			obj, err = nil, fmt.Errorf("malformed HCL: %v", p)
		}
	}()
	if err := scanHCL(text); err != nil {
		return nil, err
	}
	file, err := parser.ParseDontErrorOnDuplicateKeys(text)
	if err != nil {
		return nil, err
	}
	list, ok := file.Node.(*ast.ObjectList)
	if !ok {
		return nil, fmt.Errorf("malformed HCL: the file is not a list of settings")
	}
	var dup problems
	obj = hclObject(list, "", &dup)
	return obj, dup.err()
}

// scanHCL counts brackets with the library's own scanner, because its parser recurses. It
// also refuses a file that ends before a value, which the parser would drop in silence.
func scanHCL(text []byte) error {
	s := scanner.New(text)
	var failed error
	s.Error = func(pos token.Pos, msg string) {
		if failed == nil {
			failed = fmt.Errorf("at %s: %s", pos, msg)
		}
	}
	depth, last := 0, token.EOF
	for {
		t := s.Scan()
		switch t.Type {
		case token.EOF:
			if failed == nil && last == token.ASSIGN {
				failed = fmt.Errorf("at %s: a value is missing at the end of the file", t.Pos)
			}
			return failed
		case token.ILLEGAL:
			if failed == nil {
				failed = fmt.Errorf("at %s: illegal character", t.Pos)
			}
			return failed
		case token.LBRACE, token.LBRACK:
			depth++
		case token.RBRACE, token.RBRACK:
			depth--
		}
		if t.Type != token.COMMENT {
			last = t.Type
		}
		if depth > maxDepth {
			return fmt.Errorf("at %s: nested more than %d levels deep", t.Pos, maxDepth)
		}
		if failed != nil {
			return failed
		}
	}
}

func hclObject(list *ast.ObjectList, prefix string, dup *problems) *object {
	obj := newObject()
	for _, item := range list.Items {
		name := prefix
		for _, k := range item.Keys {
			name = join(name, hclKey(k))
		}
		v := hclValue(item.Val, name, dup)
		for i := len(item.Keys) - 1; i > 0; i-- { // a label is a level
			level := newObject()
			level.set(hclKey(item.Keys[i]), v)
			v = level
		}
		if len(item.Keys) == 0 {
			panic("a block without a name")
		}
		addHCL(obj, hclKey(item.Keys[0]), v, prefix, dup)
	}
	return obj
}

// addHCL sets key, or adds to the blocks of that key.
func addHCL(obj *object, key string, v any, prefix string, dup *problems) {
	old, again := obj.at[key]
	if !again {
		obj.set(key, v)
		return
	}
	block, ok := v.(*object)
	switch old := old.(type) {
	case *object:
		if ok {
			obj.set(key, blocks{old, block})
			return
		}
	case blocks:
		if ok {
			obj.set(key, append(old, block))
			return
		}
	}
	dup.add("duplicate config key %s", join(prefix, key))
}

func hclKey(k *ast.ObjectKey) string { return k.Token.Value().(string) }

func hclValue(n ast.Node, name string, dup *problems) any {
	switch n := n.(type) {
	case *ast.LiteralType:
		return n.Token.Value()
	case *ast.ObjectType:
		return hclObject(n.List, name, dup)
	case *ast.ListType:
		list := make([]any, 0, len(n.List))
		for i, e := range n.List {
			list = append(list, hclValue(e, fmt.Sprintf("%s[%d]", name, i), dup))
		}
		return list
	}
	panic(fmt.Sprintf("a value of kind %T", n))
}
