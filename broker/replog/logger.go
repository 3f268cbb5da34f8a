package replog

import "fmt"

// silent is Raft's logger: its lines say nothing that an operator acts on. A
// panic of Raft is a broken invariant, and parks the group.
type silent struct{}

func (silent) Debug(...any)              {}
func (silent) Debugf(string, ...any)     {}
func (silent) Error(...any)              {}
func (silent) Errorf(string, ...any)     {}
func (silent) Info(...any)               {}
func (silent) Infof(string, ...any)      {}
func (silent) Warning(...any)            {}
func (silent) Warningf(string, ...any)   {}
func (silent) Fatal(v ...any)            { panic("raft: " + fmt.Sprint(v...)) }
func (silent) Fatalf(f string, v ...any) { panic("raft: " + fmt.Sprintf(f, v...)) }
func (silent) Panic(v ...any)            { panic("raft: " + fmt.Sprint(v...)) }
func (silent) Panicf(f string, v ...any) { panic("raft: " + fmt.Sprintf(f, v...)) }
