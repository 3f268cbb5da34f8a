package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	maskJSON   = `{"name": "mask", "version": "1.0.0", "digest": "00112233445566778899", "size": 9, "hooks": ["transform", "validate"], "parts": ["value"]}`
	redactJSON = `{"name": "builtin/redact", "version": "1.0.0", "digest": "ff", "size": 70, "hooks": ["transform"], "parameters": {"type": "object"}, "builtin": true}`
	redactSpec = `{"format":1,"plugin":"builtin/redact","version":"","hook":"transform","parameters":{"fields":["email"]},` +
		`"on_failure":"dead-letter","dead_letter":{"payload":"full"},"sensitive":false,` +
		`"budget":{"base":1000000,"per_record":200000,"per_byte":500},"memory":16777216,"breaker":{"ratio":0,"window":1000}}`
)

func stageJSON(topics string) string {
	return `{"name": "redact-orders", "spec": ` + redactSpec + `, "topics": [` + topics + `]}`
}

func chainJSON(stages string) string {
	return `{"topic": "orders", "stages": [` + stages + `], "generation": 7}`
}

func TestCommands(t *testing.T) {
	module := filepath.Join(t.TempDir(), "mask.wasm")
	if err := os.WriteFile(module, []byte("\x00asm\x01\x00\x00\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, args, stdin string
		answers           map[string]string
		asked             []string
		out, notes, err   string // err is what the error contains
	}{
		{
			name: "push", args: "plugin push " + module,
			answers: map[string]string{"POST /v1/plugins": "200 " + maskJSON},
			asked:   []string{"POST /v1/plugins \x00asm\x01\x00\x00\x00"},
			out: "name         mask\nversion      1.0.0\ndescription  -\nhooks        transform,validate\nparts        value\n" +
				"bytes        9\ndigest       00112233445566778899\nparameters   -\n",
			notes: "pushing " + module + " (1 KiB): the broker checks and compiles it, which may take some seconds\n" +
				"next: varve plugin attach mask --topic TOPIC\n",
		},
		{
			name: "push refused", args: "plugin push - -o json", stdin: "\x00asm",
			answers: map[string]string{"POST /v1/plugins": `400 {"error": "invalid: no memory\nexport one"}`},
			asked:   []string{"POST /v1/plugins \x00asm"}, err: "invalid: no memory; export one",
			notes: "pushing - (1 KiB): the broker checks and compiles it, which may take some seconds\n",
		},
		{
			name: "list", args: "plugin list",
			answers: map[string]string{"GET /v1/plugins": "200 [" + redactJSON + "," + maskJSON + "]"},
			asked:   []string{"GET /v1/plugins"},
			out: "NAME            VERSION  HOOKS               PARTS  BYTES  DIGEST\n" +
				"builtin/redact  1.0.0    transform           -      70     ff\n" +
				"mask            1.0.0    transform,validate  value  9      001122334455\n",
		},
		{
			name: "empty list", args: "plugin list -o json", answers: map[string]string{"GET /v1/plugins": "200 []"},
			asked: []string{"GET /v1/plugins"}, out: "[]\n",
		},
		{
			name: "describe", args: "plugin describe builtin/redact -o json",
			answers: map[string]string{"GET /v1/plugins": "200 [" + maskJSON + "," + redactJSON + "]"},
			asked:   []string{"GET /v1/plugins"},
			out: `[
  {
    "name": "builtin/redact",
    "version": "1.0.0",
    "digest": "ff",
    "size": 70,
    "hooks": [
      "transform"
    ],
    "parameters": {
      "type": "object"
    },
    "builtin": true
  }
]
`,
		},
		{
			name: "describe an unknown version", args: "plugin describe mask@2",
			answers: map[string]string{"GET /v1/plugins": "200 [" + maskJSON + "]"},
			asked:   []string{"GET /v1/plugins"}, err: "not found: plugin mask@2; there is 1.0.0",
		},
		{
			name: "describe an unknown plugin", args: "plugin describe nosuch", answers: map[string]string{"GET /v1/plugins": "200 []"},
			asked: []string{"GET /v1/plugins"}, err: "`varve plugin push FILE` adds one",
		},
		{
			name: "delete", args: "plugin delete a/b@1.0+x", answers: map[string]string{"DELETE /v1/plugins?name=a%2Fb&version=1.0%2Bx": "200 {}"},
			asked: []string{"DELETE /v1/plugins?name=a%2Fb&version=1.0%2Bx"}, notes: "plugin a/b@1.0+x is deleted\n",
		},
		{
			name: "delete in use", args: "plugin delete mask@1", answers: map[string]string{"DELETE /v1/plugins?name=mask&version=1": `409 {"error": "conflict: in use"}`},
			asked: []string{"DELETE /v1/plugins?name=mask&version=1"}, err: "conflict: in use; `varve stage list` shows",
		},
		{
			name: "stage set", args: `stage set a/b --plugin p --version 1.2 --hook validate --parameters {"x":1} --on-failure drop --dead-letter-topic d --dead-letter-payload none --sensitive --breaker-ratio 0.5`,
			answers: map[string]string{"PUT /v1/stages/a%2Fb": "200 " + stageJSON("")},
			asked: []string{`PUT /v1/stages/a%2Fb {"plugin":"p","version":"1.2","hook":"validate","parameters":{"x":1},"on_failure":"drop",` +
				`"dead_letter":{"topic":"d","payload":"none"},"sensitive":true,"breaker":{"ratio":0.5,"window":1000}}`},
			out: "name          redact-orders\nplugin        builtin/redact\nversion       newest\nhook          transform\n" +
				"parameters    {\"fields\":[\"email\"]}\non failure    dead-letter\nsensitive     false\ndead letters  dlq.TOPIC, payload full\ntopics        -\n",
		},
		{
			name: "describe for people", args: "plugin describe p",
			answers: map[string]string{"GET /v1/plugins": `200 [{"name": "p", "version": "1", "description": "a\u001b[1mb", "parameters": ` +
				`{"properties": {"b": {"type": "string"}, "a": {"type": "array", "description": "names"}, "c": {}}}}, {"name": "p", "version": "2"}]`},
			asked: []string{"GET /v1/plugins"},
			out: "name         p\nversion      1\ndescription  a [1mb\nhooks        -\nparts        -\nbytes        0\ndigest       -\n" +
				"parameter a  array: names\nparameter b  string\nparameter c  -\n\n" +
				"name         p\nversion      2\ndescription  -\nhooks        -\nparts        -\nbytes        0\ndigest       -\nparameters   -\n",
		},
		{
			name: "stage set with a plugin's version", args: "stage set s --plugin p@1 --hook transform -o json",
			answers: map[string]string{"PUT /v1/stages/s": `404 {"error": "not found: plugin p version 1"}`},
			asked:   []string{`PUT /v1/stages/s {"plugin":"p","version":"1","hook":"transform"}`}, err: "not found: plugin p version 1",
		},
		{
			name: "stage set with bad parameters", args: "stage set s --plugin p --hook transform",
			answers: map[string]string{"PUT /v1/stages/s": `400 {"error": "invalid: plugin p refused its parameters with code 1"}`},
			asked:   []string{`PUT /v1/stages/s {"plugin":"p","hook":"transform"}`}, err: "with code 1; `varve plugin describe`",
		},
		{
			name: "stage set from stdin, as it is", args: "stage set s --file - -o json", stdin: `{"plugin": "p", "newer": 1}`,
			answers: map[string]string{"PUT /v1/stages/s": `200 {"name": "s", "spec": {"newer": "<1>"}}`},
			asked:   []string{`PUT /v1/stages/s {"plugin": "p", "newer": 1}`},
			out:     "{\n  \"name\": \"s\",\n  \"spec\": {\n    \"newer\": \"<1>\"\n  }\n}\n",
		},
		{
			name: "stage list", args: "stage list", answers: map[string]string{"GET /v1/stages": "200 [" + stageJSON(`"orders", "b"`) + "]"},
			asked: []string{"GET /v1/stages"},
			out: "NAME           PLUGIN          VERSION  HOOK       ON-FAILURE   TOPICS\n" +
				"redact-orders  builtin/redact  newest   transform  dead-letter  orders,b\n",
		},
		{
			name: "stage describe an unknown one", args: "stage describe s", answers: map[string]string{"GET /v1/stages": "200 []"},
			asked: []string{"GET /v1/stages"}, err: "not found: stage s; `varve stage list`",
		},
		{
			name: "stage delete in use", args: "stage delete s", answers: map[string]string{"DELETE /v1/stages/s": `409 {"error": "conflict: stage s"}`},
			asked: []string{"DELETE /v1/stages/s"}, err: "conflict: stage s; `varve plugin detach`",
		},
		{
			name: "chain show", args: "chain show orders", answers: map[string]string{"GET /v1/topics/orders/chain": "200 " + chainJSON(`"a", "b"`)},
			asked: []string{"GET /v1/topics/orders/chain"}, out: "POSITION  STAGE\n1         a\n2         b\n",
		},
		{
			name: "chain of no topic", args: "chain show t", answers: map[string]string{"GET /v1/topics/t/chain": `404 {"error": "not found: topic t"}`},
			asked: []string{"GET /v1/topics/t/chain"}, err: "not found: topic t; create the topic first",
		},
		{
			name: "chain set", args: "chain set orders b a", answers: map[string]string{"PUT /v1/topics/orders/chain": "200 " + chainJSON(`"b", "a"`)},
			asked: []string{`PUT /v1/topics/orders/chain {"stages":["b","a"]}`}, out: "POSITION  STAGE\n1         b\n2         a\n",
		},
		{
			name: "chain clear", args: "chain clear orders", answers: map[string]string{"PUT /v1/topics/orders/chain": "200 " + chainJSON("")},
			asked: []string{`PUT /v1/topics/orders/chain {"stages":[]}`}, out: "POSITION  STAGE\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, c.answers)
			got := run(c.stdin, append(strings.Fields(c.args), "--http", s.URL)...)
			compare(t, got, c.out, c.notes, c.err)
			if asked := s.took(); !slices.Equal(asked, c.asked) {
				t.Errorf("asked\n%q, want\n%q", asked, c.asked)
			}
		})
	}
}

func compare(t *testing.T, got result, out, notes, err string) {
	t.Helper()
	if got.out != out {
		t.Errorf("stdout\n%s, want\n%s", got.out, out)
	}
	if got.notes != notes {
		t.Errorf("stderr\n%s, want\n%s", got.notes, notes)
	}
	switch {
	case (got.err == nil) != (err == ""):
		t.Errorf("error %v, want %q", got.err, err)
	case got.err != nil && (!strings.Contains(got.err.Error(), err) || exitCode(got.err) != exitFailed):
		t.Errorf("error %v with exit code %d, want %q and %d", got.err, exitCode(got.err), err, exitFailed)
	}
}
