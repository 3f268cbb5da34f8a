package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestAttach(t *testing.T) {
	const (
		getChain = "GET /v1/topics/orders/chain"
		putChain = "PUT /v1/topics/orders/chain"
		putStage = "PUT /v1/stages/redact-orders"
		redact   = "plugin attach builtin/redact --topic orders --on-failure dead-letter"
	)
	email := redact + ` --parameters {"fields":["email"]}`
	base := map[string]string{
		getChain: "200 " + chainJSON(`"first"`), putChain: "200 " + chainJSON(`"first", "redact-orders"`),
		"GET /v1/plugins": "200 [" + redactJSON + "," + maskJSON + "]", "GET /v1/stages": "200 []",
		putStage: "200 " + stageJSON(""), "PUT /v1/stages/redact": "200 " + stageJSON(""),
	}
	const spec = `{"plugin":"builtin/redact","hook":"transform","on_failure":"dead-letter"}`
	const table = "POSITION  STAGE\n1         first\n2         redact-orders\n"
	for _, c := range []struct {
		name, args string
		answers    map[string]string // in place of base's
		asked      []string
		out, err   string
	}{
		{"new", redact, nil, []string{getChain, "GET /v1/plugins", "GET /v1/stages", putStage + " " + spec,
			putChain + ` {"stages":["first","redact-orders"]}`}, table, ""},
		{"in the chain already", redact, map[string]string{getChain: "200 " + chainJSON(`"redact-orders", "last"`)},
			[]string{getChain, "GET /v1/plugins", "GET /v1/stages", putStage + " " + spec, putChain + ` {"stages":["redact-orders","last"]}`}, table, ""},
		{"hook, version and name given", "plugin attach builtin/redact@1.0.0 --hook transform --stage redact --topic orders", nil,
			[]string{getChain, "GET /v1/plugins", "GET /v1/stages", `PUT /v1/stages/redact {"plugin":"builtin/redact","version":"1.0.0","hook":"transform"}`,
				putChain + ` {"stages":["first","redact"]}`}, table, ""},
		{"no topic", redact, map[string]string{getChain: `404 {"error": "not found: topic orders"}`}, []string{getChain}, "", "create the topic first"},
		{"no plugin", redact, map[string]string{"GET /v1/plugins": "200 []"}, []string{getChain, "GET /v1/plugins"}, "", "still compiling"},
		{"shared, other specification", redact, map[string]string{"GET /v1/stages": "200 [" + stageJSON(`"orders", "bills"`) + "]"},
			[]string{getChain, "GET /v1/plugins", "GET /v1/stages"}, "", "stage redact-orders is also in the chain of bills and would change there"},
		{"shared, same specification", email, map[string]string{"GET /v1/stages": "200 [" + stageJSON(`"bills"`) + "]"},
			[]string{getChain, "GET /v1/plugins", "GET /v1/stages",
				putStage + ` {"plugin":"builtin/redact","hook":"transform","parameters":{"fields":["email"]},"on_failure":"dead-letter"}`,
				putChain + ` {"stages":["first","redact-orders"]}`}, table, ""},
		{"parameters refused", redact, map[string]string{putStage: `400 {"error": "invalid: no fields"}`},
			[]string{getChain, "GET /v1/plugins", "GET /v1/stages", putStage + " " + spec}, "", "invalid: no fields"},
		{"chain refused", redact, map[string]string{putChain: `503 {"error": "not available now"}`},
			[]string{getChain, "GET /v1/plugins", "GET /v1/stages", putStage + " " + spec, putChain + ` {"stages":["first","redact-orders"]}`},
			"", "stage redact-orders is set, but the chain of orders is not as asked: not available now"},
	} {
		t.Run(c.name, func(t *testing.T) {
			answers := maps.Clone(base)
			maps.Copy(answers, c.answers)
			s := newServer(t, answers)
			compare(t, run("", append(strings.Fields(c.args), "--http", s.URL)...), c.out, "", c.err)
			if asked := s.took(); !slices.Equal(asked, c.asked) {
				t.Errorf("asked\n%q, want\n%q", asked, c.asked)
			}
		})
	}
}

func TestAttachNeedsAHook(t *testing.T) {
	other := strings.NewReplacer("1.0.0", "2.0.0", `"transform", `, "").Replace(maskJSON)
	s := newServer(t, map[string]string{
		"GET /v1/topics/orders/chain": "200 " + chainJSON(""), "GET /v1/plugins": "200 [" + maskJSON + "," + other + "]",
	})
	for args, want := range map[string]string{
		"mask": "give one with --hook, or a version: mask@2.0.0", "mask@2.0.0 --hook transform": "has no hook \"transform\"; it has validate",
		"mask --hook frob": "it has transform, validate",
	} {
		got := run("", append(strings.Fields("plugin attach --topic orders "+args), "--http", s.URL)...)
		if got.err == nil || exitCode(got.err) != exitUsage || !strings.Contains(got.err.Error(), want) {
			t.Errorf("%s: error %v, want %q", args, got.err, want)
		}
	}
}

func TestDetach(t *testing.T) {
	const (
		getChain = "GET /v1/topics/orders/chain"
		putChain = "PUT /v1/topics/orders/chain"
		take     = putChain + ` {"stages":["a"]}`
		remove   = "DELETE /v1/stages/redact-orders"
		table    = "POSITION  STAGE\n1         a\n"
	)
	base := map[string]string{
		getChain: "200 " + chainJSON(`"redact-orders", "a", "redact-orders"`), putChain: "200 " + chainJSON(`"a"`),
		"GET /v1/stages": "200 [" + stageJSON("") + "]", remove: "200 {}",
	}
	for _, c := range []struct {
		name, flags     string
		answers         map[string]string
		asked           []string
		out, notes, err string
	}{
		{"unused then", "", nil, []string{getChain, take, "GET /v1/stages", remove}, table, "stage redact-orders is deleted: it was in no other chain\n", ""},
		{"keep", "--keep-stage", nil, []string{getChain, take}, table, "", ""},
		{"used elsewhere", "", map[string]string{"GET /v1/stages": "200 [" + stageJSON(`"bills"`) + "]"},
			[]string{getChain, take, "GET /v1/stages"}, table, "stage redact-orders is kept: it is also in the chain of bills\n", ""},
		{"taken meanwhile", "", map[string]string{remove: `409 {"error": "conflict: in use"}`},
			[]string{getChain, take, "GET /v1/stages", remove}, table, "stage redact-orders is kept: conflict: in use\n", ""},
		{"deleted meanwhile", "", map[string]string{remove: `404 {"error": "not found"}`}, []string{getChain, take, "GET /v1/stages", remove}, table, "", ""},
		{"not deleted", "", map[string]string{remove: `503 {"error": "not available now"}`}, []string{getChain, take, "GET /v1/stages", remove},
			"", "", "stage redact-orders is taken out of the chain of orders, but not deleted: not available now"},
		{"not in it", "", map[string]string{getChain: "200 " + chainJSON(`"x", "y"`)}, []string{getChain}, "", "", "not in the chain of orders; it has x, y"},
		{"no chain", "", map[string]string{getChain: "200 " + chainJSON("")}, []string{getChain}, "", "", "topic orders has no chain"},
	} {
		t.Run(c.name, func(t *testing.T) {
			answers := maps.Clone(base)
			maps.Copy(answers, c.answers)
			s := newServer(t, answers)
			args := append(strings.Fields("plugin detach redact-orders --topic orders "+c.flags), "--http", s.URL)
			compare(t, run("", args...), c.out, c.notes, c.err)
			if asked := s.took(); !slices.Equal(asked, c.asked) {
				t.Errorf("asked\n%q, want\n%q", asked, c.asked)
			}
		})
	}
}
