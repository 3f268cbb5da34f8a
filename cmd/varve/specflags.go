package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/varvelog/varve/plugins"
)

// stageSpec is a stage's specification as the command line writes and shows it.
// What it leaves out has the broker's default.
type stageSpec struct {
	Plugin     string          `json:"plugin"`
	Version    string          `json:"version,omitempty"`
	Hook       string          `json:"hook"`
	Parameters json.RawMessage `json:"parameters,omitempty"`
	OnFailure  string          `json:"on_failure,omitempty"`
	DeadLetter *deadLetterSpec `json:"dead_letter,omitempty"`
	Sensitive  bool            `json:"sensitive,omitempty"`
	Breaker    *breakerSpec    `json:"breaker,omitempty"`
}

type deadLetterSpec struct {
	Topic   string `json:"topic,omitempty"`
	Payload string `json:"payload,omitempty"`
}

type breakerSpec struct {
	Ratio  float64 `json:"ratio"`
	Window int     `json:"window,omitempty"`
}

// specFlags are the flags that make up a specification, besides the plugin.
func specFlags(hookUsage string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "hook", Usage: hookUsage},
		&cli.StringFlag{Name: "parameters", Usage: "`JSON` object that configures the plugin; @FILE reads it from a file, @- from stdin"},
		&cli.StringFlag{Name: "on-failure", Usage: "`POLICY` for records that fail: reject, dead-letter, drop or pass (default: dead-letter if a flag of dead letters is given, else reject)"},
		&cli.StringFlag{Name: "dead-letter-topic", Usage: "`TOPIC` for dead letters (default: dlq. and the topic's name)"},
		&cli.StringFlag{Name: "dead-letter-payload", Usage: "how much of the record dead letters carry, as `PAYLOAD`: full or none (default: full, none if --sensitive)"},
		&cli.BoolFlag{Name: "sensitive", Usage: "the stage removes secrets: never pass on what failed"},
		&cli.Float64Flag{Name: "breaker-ratio", Usage: "reject instead of dead-lettering while this `RATIO` of the records fails; 0 is never"},
		&cli.IntFlag{Name: "breaker-window", Usage: "how many `RECORDS` the ratio is of", Value: plugins.DefaultBreakerWindow},
	}
}

// specGiven returns the first flag of a specification that is set.
func specGiven(c *cli.Context) (flag string, given bool) {
	for _, f := range append(specFlags(""), &cli.StringFlag{Name: "plugin"}, &cli.StringFlag{Name: "version"}) {
		if c.IsSet(f.Names()[0]) {
			return f.Names()[0], true
		}
	}
	return "", false
}

// specOf makes a specification of the flags and checks it.
func specOf(c *cli.Context, plugin, version, hook string) ([]byte, error) {
	s := stageSpec{Plugin: plugin, Version: version, Hook: hook, OnFailure: c.String("on-failure"), Sensitive: c.Bool("sensitive")}
	var err error
	if s.Parameters, err = parametersOf(c); err != nil {
		return nil, usageError{err}
	}
	if topic, payload := c.String("dead-letter-topic"), c.String("dead-letter-payload"); topic != "" || payload != "" {
		s.DeadLetter = &deadLetterSpec{topic, payload}
	}
	if c.IsSet("breaker-ratio") || c.IsSet("breaker-window") {
		s.Breaker = &breakerSpec{c.Float64("breaker-ratio"), c.Int("breaker-window")}
	}
	b, err := json.Marshal(s)
	if err == nil {
		_, err = plugins.ParseStage(b)
	}
	if err != nil {
		return nil, usageError{err}
	}
	return b, nil
}

// parametersOf reads --parameters, which may name a file.
func parametersOf(c *cli.Context) (json.RawMessage, error) {
	text := c.String("parameters")
	if text == "" {
		return nil, nil
	}
	b, from := []byte(text), "--parameters"
	if file, ok := strings.CutPrefix(text, "@"); ok {
		var err error
		if b, err = readInput(c, file, plugins.MaxParametersBytes); err != nil {
			return nil, fmt.Errorf("read --parameters: %w", err)
		}
		from = file
	}
	var v map[string]json.RawMessage
	if err := json.Unmarshal(b, &v); err != nil || v == nil {
		return nil, fmt.Errorf(`%s is not a JSON object (%v); write it like '{"fields": ["email"]}', or @FILE to read a file`, from, err)
	}
	return b, nil
}

// readInput reads a file, or stdin for "-", of at most limit bytes.
func readInput(c *cli.Context, name string, limit int) ([]byte, error) {
	in := c.App.Reader
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, int64(limit)+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > limit:
		return nil, fmt.Errorf("%s is longer than %d bytes", name, limit)
	case len(bytes.TrimSpace(b)) == 0:
		return nil, fmt.Errorf("%s is empty", name)
	}
	return b, nil
}
