package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/urfave/cli/v2"
)

const (
	brokersEnv          = "VARVE_BROKERS"
	defaultBrokers      = "127.0.0.1:9092"
	defaultKafkaTimeout = 30 * time.Second
	// connectTimeout bounds how long the first answer of a broker may take.
	connectTimeout = 10 * time.Second
)

// kafkaFlags are the flags of every command that speaks Kafka's protocol.
func kafkaFlags(more ...cli.Flag) []cli.Flag {
	return append(more,
		&cli.StringFlag{Name: "brokers", Aliases: []string{"b"}, Usage: "`ADDRESSES` of brokers, HOST:PORT, separated by commas",
			Value: defaultBrokers, EnvVars: []string{brokersEnv}},
		&cli.DurationFlag{Name: "timeout", Usage: "`DURATION` to wait for an answer", Value: defaultKafkaTimeout},
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FORMAT` of what is printed: text or json", Value: "text"},
	)
}

// cluster is a connection to the brokers of one cluster.
type cluster struct {
	ctx     context.Context
	client  *kgo.Client
	admin   *kadm.Client
	brokers string
	timeout time.Duration
}

// brokersOf returns the addresses that --brokers names.
func brokersOf(c *cli.Context) ([]string, error) {
	var seeds []string
	for _, a := range strings.Split(c.String("brokers"), ",") {
		a = strings.TrimSpace(a)
		if a == "" || strings.ContainsAny(a, "/ ") {
			return nil, usageError{fmt.Errorf("--brokers %q is no list of addresses; write it like %s", c.String("brokers"), defaultBrokers)}
		}
		if host, _, err := net.SplitHostPort(a); err != nil {
			a = net.JoinHostPort(strings.Trim(a, "[]"), "9092")
		} else if host == "" {
			a = "127.0.0.1" + a
		}
		seeds = append(seeds, a)
	}
	return seeds, nil
}

// openKafka connects and waits until a broker answers. The caller closes it.
func openKafka(ctx context.Context, c *cli.Context, more ...kgo.Opt) (*cluster, error) {
	seeds, err := brokersOf(c)
	if err != nil {
		return nil, err
	}
	timeout := c.Duration("timeout")
	if timeout <= 0 {
		return nil, usageError{fmt.Errorf("--timeout %v is not above zero; write it like 30s", timeout)}
	}
	opts := append([]kgo.Opt{
		kgo.SeedBrokers(seeds...), kgo.ClientID("varve-cli"), kgo.SoftwareNameAndVersion("varve-cli", softwareVersion()),
		kgo.DialTimeout(dialTimeout), kgo.RetryTimeout(timeout), kgo.RequestTimeoutOverhead(min(max(timeout, 100*time.Millisecond), connectTimeout)), kgo.DisableClientMetrics(), kgo.MetadataMinAge(100 * time.Millisecond),
	}, more...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, usageError{err}
	}
	k := &cluster{ctx: ctx, client: cl, admin: kadm.NewClient(cl), brokers: strings.Join(seeds, ","), timeout: timeout}
	k.admin.SetTimeoutMillis(int32(min(timeout, time.Hour).Milliseconds()))
	short, cancel := context.WithTimeout(ctx, min(timeout, connectTimeout))
	defer cancel()
	if err := cl.Ping(short); err != nil {
		cl.Close()
		return nil, k.explain(err)
	}
	return k, nil
}

// softwareVersion is the version in the characters that KIP-511 allows.
func softwareVersion() string {
	v := strings.Trim(regexp.MustCompile(`[^a-zA-Z0-9.-]+`).ReplaceAllString(version, "-"), "-.")
	if v == "" {
		return "dev"
	}
	return v
}

func (k *cluster) close() { k.client.Close() }

// ask returns the context of one question to the brokers.
func (k *cluster) ask() (context.Context, context.CancelFunc) {
	return context.WithTimeout(k.ctx, k.timeout)
}

// explain says what to do about an error of the connection, and leaves those
// that a broker answered to blame.
func (k *cluster) explain(err error) error {
	if err == nil {
		return nil
	}
	var timeout net.Error
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no broker at %s (connection refused); start one with `varve serve`, or name another with --brokers", k.brokers)
	case errors.As(err, &dns):
		return fmt.Errorf("no broker at %s (%v); name another with --brokers", k.brokers, dns)
	case errors.Is(err, context.Canceled):
		return errInterrupted
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%s did not answer in time, what was asked may still happen; give it longer with --timeout (now %v)", k.brokers, k.timeout)
	case kafkaCode(err) != "":
		return blame("", err, "")
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("%s closes the connection (%s); --brokers names a Kafka listener without TLS and SASL", k.brokers, oneLine(err.Error()))
	}
	return fmt.Errorf("%s does not answer like a broker (%s); --brokers names the addresses of Kafka listeners", k.brokers, oneLine(err.Error()))
}

var errInterrupted = errors.New("interrupted")

var codePattern = regexp.MustCompile(`\b([A-Z]+(?:_[A-Z]+)+): `)

// kafkaCode returns the name of the protocol's error that err is or wraps, or
// "". The type that tells it belongs to the broker alone.
func kafkaCode(err error) string {
	if err == nil {
		return ""
	}
	if m := codePattern.FindStringSubmatch(err.Error() + ": "); m != nil {
		return m[1]
	}
	return ""
}

// remedies say what to do about errors that brokers answer.
var remedies = map[string]string{
	"UNKNOWN_TOPIC_OR_PARTITION":   "`varve topic list` shows what there is, `varve topic create` makes a topic",
	"UNKNOWN_TOPIC_ID":             "`varve topic list` shows what there is",
	"TOPIC_ALREADY_EXISTS":         "--if-not-exists accepts that",
	"INVALID_TOPIC_EXCEPTION":      "a topic's name is 1 to 249 letters, digits, '.', '_' and '-'",
	"INVALID_REPLICATION_FACTOR":   "leave out --replication-factor, or give at most as many as there are brokers",
	"INVALID_CONFIG":               "`varve docs settings` lists the settings of topics",
	"OFFSET_OUT_OF_RANGE":          "`varve topic describe` shows where partitions start and end",
	"GROUP_ID_NOT_FOUND":           "`varve group list` shows what there is",
	"NON_EMPTY_GROUP":              "stop its consumers first; `varve group describe` shows them",
	"UNKNOWN_MEMBER_ID":            "the group has members; stop them first, `varve group describe` shows them",
	"REBALANCE_IN_PROGRESS":        "try again when the group has settled",
	"GROUP_SUBSCRIBED_TO_TOPIC":    "stop its consumers first; `varve group describe` shows them",
	"UNSUPPORTED_VERSION":          "this broker cannot do that; `varve docs api-versions` shows what varve brokers can",
	"COORDINATOR_NOT_AVAILABLE":    "try again in a moment; readiness is on http.listen at /readyz",
	"COORDINATOR_LOAD_IN_PROGRESS": "try again in a moment",
	"NOT_ENOUGH_REPLICAS":          "the broker has no room or is starting; its log says why",
	"KAFKA_STORAGE_ERROR":          "the broker's log says what is wrong with its disk",
	"MESSAGE_TOO_LARGE":            "raise max.message.bytes of the topic with `varve topic alter`, or send smaller records",
	"TOPIC_AUTHORIZATION_FAILED":   "clients may not do that to this topic",
	"POLICY_VIOLATION":             "the broker's limits stand in its settings, `varve docs settings`",
	"INVALID_PARTITIONS":           "partitions can be added and never taken away",
	"UNKNOWN_SERVER_ERROR":         "the broker's log says what happened",
	"INVALID_TIMESTAMP":            "message.timestamp.before.max.ms and message.timestamp.after.max.ms of the topic bound timestamps",
	"INCONSISTENT_GROUP_PROTOCOL":  "the group's members use another protocol; choose another --group",
	"REQUEST_TIMED_OUT":            "what was asked may still happen; give it longer with --timeout",
}

// plain are words for errors whose own are of no help.
var plain = map[string]string{
	"UNKNOWN_TOPIC_OR_PARTITION": "does not exist",
	"OFFSET_OUT_OF_RANGE":        "the offset lies outside of the log",
	"GROUP_ID_NOT_FOUND":         "does not exist",
	"NON_EMPTY_GROUP":            "has members",
}

// blame makes one line of an error that a broker answered: of what, the
// broker's words if it sent some, the protocol's name, and the remedy.
func blame(what string, err error, message string) error {
	code := kafkaCode(err)
	text := message
	if text == "" {
		text = err.Error()
		if w := plain[code]; w != "" {
			text = w
		} else if _, words, found := strings.Cut(text, code+": "); code != "" && found {
			text = strings.TrimSuffix(words, ".")
		}
	}
	text = oneLine(text)
	if code != "" {
		text += " (" + code + ")"
	}
	if what != "" {
		text = what + ": " + text
	}
	if r := remedies[code]; r != "" && message == "" || code == "TOPIC_ALREADY_EXISTS" || code == "NON_EMPTY_GROUP" {
		text += "; " + r
	}
	return &answerError{code, text}
}

// answerError is an error that a broker answered.
type answerError struct{ code, text string }

func (e *answerError) Error() string { return e.text }

// answered says whether err is a broker's answer with the code.
func answered(err error, code string) bool {
	var a *answerError
	return errors.As(err, &a) && a.code == code
}
