package fsm

import (
	"fmt"
	"reflect"
)

// kinds are the numbers that commands have in the log. A number is never
// changed and never used again; a command whose meaning changes gets a new one.
// Propose a new kind only once every server of the cluster can apply it.
var kinds = map[uint64]Command{
	1:  TokenSet{},
	2:  TokenDelete{},
	3:  TokenLogin{},
	4:  TokensReap{},
	5:  ACLBootstrap{},
	6:  ACLInit{},
	7:  PolicySet{},
	8:  PolicyDelete{},
	9:  RoleSet{},
	10: RoleDelete{},
	11: AuthMethodSet{},
	12: AuthMethodDelete{},
	13: BindingRuleSet{},
	14: BindingRuleDelete{},
	15: PartitionSet{},
	16: NamespaceSet{},
	17: CARootSet{},
	18: AutopilotSet{},
	40: Login{},
	41: LoginProofsReap{},
	42: TokenRenew{},
	43: LoginUndo{},
	50: NamespaceDelete{},
	51: PartitionDelete{},
	52: NamespacePurge{},
	60: Register{},
	61: Deregister{},
	62: CoordinateSet{},
	70: KVOp{},
	71: Txn{},
	72: SessionCreate{},
	73: SessionDestroy{},
	74: SessionsExpire{},

	100: ConfigEntrySet{},
	101: ConfigEntryDelete{},
	102: IntentionSet{},
	103: IntentionDelete{},

	110: CASet{},
	111: CARootsPrune{},
}

var kindOf = func() map[reflect.Type]uint64 {
	m := make(map[reflect.Type]uint64, len(kinds))
	for k, c := range kinds {
		m[reflect.TypeOf(c)] = k
	}
	return m
}()

// newCommand returns a pointer to an empty command of a kind.
func newCommand(kind uint64) (reflect.Value, error) {
	c, ok := kinds[kind]
	if !ok {
		return reflect.Value{}, fmt.Errorf("unknown command kind %d in format %d: it was proposed by a newer version; "+
			"propose a new kind only once every server can apply it", kind, entryVersion)
	}
	return reflect.New(reflect.TypeOf(c)), nil
}
