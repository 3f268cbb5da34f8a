package kafka

import (
	"reflect"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// codeField is the name of the field in which kmsg's responses, and the parts
// of them, have their error code.
const codeField = "ErrorCode"

// codePlan says where the error codes of a type are.
type codePlan struct {
	code   int        // index of the type's own code, -1 for none
	nested []codePart // fields with codes in them
}

// codePart is a field that is a structure, or a slice of structures.
type codePart struct {
	index int
	slice bool
	plan  *codePlan
}

// codePlans are the plans of the responses that were seen, by type. There are no
// more than kmsg has responses.
var codePlans sync.Map

// errorCodes calls f for every error code but 0 in a response.
func errorCodes(r kmsg.Response, f func(code int16)) {
	v := reflect.ValueOf(r).Elem()
	p, ok := codePlans.Load(v.Type())
	if !ok {
		p, _ = codePlans.LoadOrStore(v.Type(), planCodes(v.Type()))
	}
	if plan := p.(*codePlan); plan != nil {
		plan.walk(v, f)
	}
}

// planCodes returns nil for a type without codes.
func planCodes(t reflect.Type) *codePlan {
	p := &codePlan{code: -1}
	for i := range t.NumField() {
		field := t.Field(i)
		switch ft := field.Type; {
		case field.Name == codeField && ft.Kind() == reflect.Int16:
			p.code = i
		case ft.Kind() == reflect.Struct:
			if sub := planCodes(ft); sub != nil {
				p.nested = append(p.nested, codePart{i, false, sub})
			}
		case ft.Kind() == reflect.Slice && ft.Elem().Kind() == reflect.Struct:
			if sub := planCodes(ft.Elem()); sub != nil {
				p.nested = append(p.nested, codePart{i, true, sub})
			}
		}
	}
	if p.code < 0 && len(p.nested) == 0 {
		return nil
	}
	return p
}

func (p *codePlan) walk(v reflect.Value, f func(int16)) {
	if p.code >= 0 {
		if code := v.Field(p.code).Int(); code != 0 {
			f(int16(code))
		}
	}
	for _, n := range p.nested {
		field := v.Field(n.index)
		if !n.slice {
			n.plan.walk(field, f)
			continue
		}
		for i := range field.Len() {
			n.plan.walk(field.Index(i), f)
		}
	}
}
