package local

import (
	"context"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/check"
)

// aliasPause is the least time between two questions about another node's checks.
const aliasPause = time.Second

// aliased returns what tells c, if it is an alias, about the checks that it follows.
func (s *State) aliased(c *checkItem) check.Aliased {
	if node := c.def.AliasNode; node != "" && !strings.EqualFold(node, s.cfg.NodeName) {
		return s.aliasedElsewhere(c)
	}
	return func(context.Context) ([]check.AliasCheck, <-chan struct{}, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		var list []catalog.Check
		for _, other := range s.checks {
			mine := other.check.Namespace == c.check.Namespace && other.check.ServiceID == c.def.AliasService
			if (mine || other.check.ServiceID == "") && other.key() != c.key() {
				list = append(list, other.check)
			}
		}
		return followed(list), s.changed, nil
	}
}

func followed(list []catalog.Check) []check.AliasCheck {
	sortChecks(list)
	out := make([]check.AliasCheck, len(list))
	for n, c := range list {
		out[n] = check.AliasCheck{Name: c.Name, Status: c.Status, Output: c.Output}
	}
	return out
}

// aliasedElsewhere asks servers about the checks of another node. The question
// after the first waits for a change.
func (s *State) aliasedElsewhere(c *checkItem) check.Aliased {
	index := uint64(0)
	return func(ctx context.Context) ([]check.AliasCheck, <-chan struct{}, error) {
		if strings.Contains(c.def.AliasNode, "/") { // it becomes part of a path
			return nil, nil, invalid("%q is not the name of a node", c.def.AliasNode)
		}
		q := &api.QueryOptions{
			Namespace: c.check.Namespace, Partition: s.cfg.partition(), WaitIndex: index,
			Token: orNone(s.tokensOf(c.token, c.source)[0]),
		}
		var all []catalog.Check
		meta, err := s.cfg.Client.Raw().Query("/v1/health/node/"+c.def.AliasNode, &all, q.WithContext(ctx))
		if err != nil {
			index = 0
			return nil, nil, err
		}
		if index = meta.LastIndex; index < q.WaitIndex {
			index = 0
		}
		var list []catalog.Check
		for _, other := range all {
			if other.ServiceID == "" || other.ServiceID == c.def.AliasService {
				list = append(list, other)
			}
		}
		again := make(chan struct{})
		time.AfterFunc(aliasPause, func() { close(again) })
		return followed(list), again, nil
	}
}
