package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/varvelog/varve/broker/admin"
)

const (
	defaultHTTP    = "http://127.0.0.1:9644"
	httpEnv        = "VARVE_HTTP"
	defaultTimeout = 3 * time.Minute
	dialTimeout    = 5 * time.Second
	// answerBytesMax bounds what is read of an answer.
	answerBytesMax = 64 << 20
)

// clientFlags are the flags of every command that asks a broker.
func clientFlags(more ...cli.Flag) []cli.Flag {
	return append(more,
		&cli.StringFlag{Name: "http", Usage: "`ADDRESS` of the broker's HTTP interface, its http.listen", Value: defaultHTTP, EnvVars: []string{httpEnv}},
		&cli.DurationFlag{Name: "timeout", Usage: "`DURATION` to wait for an answer", Value: defaultTimeout},
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FORMAT` of what is printed: text or json", Value: "text"},
	)
}

// client talks to a broker's HTTP interface (docs/http.md).
type client struct {
	ctx     context.Context
	base    string // without a slash at its end
	timeout time.Duration
	http    *http.Client
}

func newClient(c *cli.Context) (*client, error) {
	address := c.String("http")
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return nil, usageError{fmt.Errorf("--http %q is not an address; write it like %s", c.String("http"), defaultHTTP)}
	}
	timeout := c.Duration("timeout")
	if timeout <= 0 {
		return nil, usageError{fmt.Errorf("--timeout %v is not above zero; write it like 30s", timeout)}
	}
	dial := &net.Dialer{Timeout: dialTimeout}
	return &client{
		ctx: c.Context, base: strings.TrimRight(address, "/"), timeout: timeout,
		http: &http.Client{
			Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: dial.DialContext, TLSHandshakeTimeout: dialTimeout},
		},
	}, nil
}

// refusal is an error that the broker answered.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

// refused says whether err is a refusal with the status.
func refused(err error, status int) bool {
	var r *refusal
	return errors.As(err, &r) && r.status == status
}

// do sends a request and decodes the answer into out unless that is nil. The
// path is escaped already.
func (c *client) do(method, path string, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(c.ctx, c.timeout)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r, err := c.http.Do(q)
	if err != nil {
		return c.transportError(err)
	}
	defer r.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(r.Body, answerBytesMax+1))
	switch {
	case err != nil:
		return c.transportError(err)
	case len(answer) > answerBytesMax:
		return fmt.Errorf("%s answers with more than %d bytes; is it a varve broker?", c.base, answerBytesMax)
	}
	if r.StatusCode != http.StatusOK {
		return c.refusal(r.StatusCode, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s does not answer like a varve broker (%v); --http names the address that http.listen gives", c.base, err)
	}
	return nil
}

// refusal makes an error of an answer that is not a success.
func (c *client) refusal(status int, answer []byte) error {
	var e struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(answer, &e) != nil || e.Error == "" {
		return fmt.Errorf("%s answers %d %s, not like a varve broker; --http names the address that http.listen gives",
			c.base, status, http.StatusText(status))
	}
	return &refusal{status, oneLine(e.Error)}
}

// transportError says what to do when there is no answer.
func (c *client) transportError(err error) error {
	var timeout net.Error
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no broker answers at %s (connection refused); start one with `varve serve`, or name another with --http", c.base)
	case errors.As(err, &dns):
		return fmt.Errorf("no broker at %s (%v); name another with --http", c.base, dns)
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%s did not answer in time, what was asked may still happen; give it longer with --timeout (now %v)", c.base, c.timeout)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("no answer from %s: %w; --http names the address that http.listen gives", c.base, err)
}

func (c *client) plugins() (list []admin.Plugin, err error) {
	err = c.do(http.MethodGet, "/v1/plugins", nil, &list)
	return list, err
}

func (c *client) pushPlugin(module []byte) (p admin.Plugin, err error) {
	err = c.do(http.MethodPost, "/v1/plugins", module, &p)
	return p, err
}

func (c *client) deletePlugin(name, version string) error {
	q := url.Values{"name": {name}, "version": {version}}
	return c.do(http.MethodDelete, "/v1/plugins?"+q.Encode(), nil, nil)
}

func (c *client) stages() (list []admin.Stage, err error) {
	err = c.do(http.MethodGet, "/v1/stages", nil, &list)
	return list, err
}

// findStage returns a stage; there need not be one.
func (c *client) findStage(name string) (s admin.Stage, found bool, err error) {
	list, err := c.stages()
	for _, s := range list {
		if s.Name == name {
			return s, true, nil
		}
	}
	return s, false, err
}

func (c *client) putStage(name string, spec []byte) (s admin.Stage, err error) {
	err = c.do(http.MethodPut, "/v1/stages/"+url.PathEscape(name), spec, &s)
	switch {
	case refused(err, http.StatusNotFound) && strings.Contains(err.Error(), "plugin "+builtinPrefix):
		err = fmt.Errorf("%w; a broker that started just now is still compiling its own", err)
	case refused(err, http.StatusBadRequest) && strings.Contains(err.Error(), "refused its parameters"):
		err = fmt.Errorf("%w; `varve plugin describe` shows what the plugin takes", err)
	}
	return s, err
}

func (c *client) deleteStage(name string) error {
	return c.do(http.MethodDelete, "/v1/stages/"+url.PathEscape(name), nil, nil)
}

func (c *client) chain(topic string) (ch admin.Chain, err error) {
	err = noTopic(topic, c.do(http.MethodGet, chainPath(topic), nil, &ch))
	return ch, err
}

func (c *client) setChain(topic string, stages []string) (ch admin.Chain, err error) {
	body, err := json.Marshal(map[string][]string{"stages": stages})
	if err != nil {
		return ch, err
	}
	err = noTopic(topic, c.do(http.MethodPut, chainPath(topic), body, &ch))
	return ch, err
}

// noTopic says what to do if the error is that there is no such topic.
func noTopic(topic string, err error) error {
	if refused(err, http.StatusNotFound) && strings.HasSuffix(err.Error(), "topic "+topic) {
		return fmt.Errorf("%w; create the topic first: `varve topic create %s`", err, topic)
	}
	return err
}

func chainPath(topic string) string { return "/v1/topics/" + url.PathEscape(topic) + "/chain" }
