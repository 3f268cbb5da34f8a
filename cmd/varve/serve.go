package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/varvelog/varve/broker"
	"github.com/varvelog/varve/broker/config"
	"github.com/varvelog/varve/internal/failpoint"
	"github.com/varvelog/varve/internal/vfs"
)

func serveCommand() *cli.Command {
	return verb(&cli.Command{
		Name:  "serve",
		Usage: "run a broker",
		Description: `Data lies in ./varve-data, Kafka clients connect to 127.0.0.1:9092, HTTP is on
127.0.0.1:9644. SIGTERM or Ctrl-C drains: requests in hand are answered, then a
checkpoint is made, so that the next start has nothing to replay.

Settings have Kafka's names where Kafka has one. Later sources win: defaults,
--config, --properties, VARVE_* (VARVE_LOG_DIRS is log.dirs), --set.

Examples:
   varve serve
   varve serve --set log.dirs=/var/lib/varve --set num.partitions=6
   varve serve --set listeners=PLAINTEXT://0.0.0.0:9092 \
               --set advertised.listeners=PLAINTEXT://broker1.example.com:9092
   varve serve --properties server.properties`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Usage: "read settings from a YAML `FILE`"},
			&cli.StringFlag{Name: "properties", Usage: "read settings from a Kafka server.properties `FILE`"},
			&cli.StringSliceFlag{Name: "set", Usage: "set one setting, `NAME=VALUE`; may be repeated"},
		},
		Action: serve,
	})
}

func serve(c *cli.Context) error {
	if c.NArg() > 0 {
		return usageError{fmt.Errorf("serve takes no arguments, got %q; settings are given as --set NAME=VALUE", c.Args().First())}
	}
	s, warnings, err := loadSettings(c)
	if err != nil {
		return usageError{err}
	}
	log, setLevel := newLogger(c.App.ErrWriter, s)
	for _, w := range warnings {
		log.Warn(w.String())
	}
	// The live heap is small and the garbage short-lived, so the default would
	// collect all the time (DESIGN D2). GOGC and GOMEMLIMIT still win.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	stopLimit := limitMemory(s)
	defer stopLimit()
	fs, err := vfs.OS(s.LogDir)
	if err != nil {
		return fmt.Errorf("open the data directory %s: %w", s.LogDir, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b, err := broker.Open(broker.Components{FS: failpoint.FS(fs, s.LogDir), Root: s.LogDir, Listen: net.Listen, Now: time.Now, Log: log, SetLogLevel: setLevel, Version: version}, s)
	if err != nil {
		return err
	}
	go func() {
		select {
		case <-b.Ready():
			greet(c.App.Writer, b, s)
		case <-ctx.Done():
		}
	}()
	return b.Run(ctx)
}

// greet says where the broker listens and what to type next.
func greet(w io.Writer, b *broker.Broker, s *config.Broker) {
	kafka, http := b.Addresses()
	fmt.Fprintf(w, "varve %s is ready\n", version)
	for _, a := range kafka {
		fmt.Fprintf(w, "  Kafka    %s\n", a)
	}
	fmt.Fprintf(w, "  HTTP     http://%s\n", http)
	fmt.Fprintf(w, "  data     %s\n", s.LogDir)
	fmt.Fprintf(w, "  cluster  %s\n\n", b.ClusterID())
	if len(s.Advertised) > 0 {
		a := kafka[0][len(s.Listeners[0].Name)+len("://"):]
		if a = " --brokers " + a; a == " --brokers "+defaultBrokers {
			a = ""
		}
		fmt.Fprintf(w, "Try it:\n  echo hello | varve produce greetings%s\n  varve consume greetings --until end%s\n", a, a)
	}
}

// loadSettings reads all sources.
func loadSettings(c *cli.Context) (*config.Broker, []config.Warning, error) {
	src := config.Sources{Env: brokerEnv(os.Environ()), Set: c.StringSlice("set")}
	var err error
	if src.YAML, err = readSettings(c.String("config")); err != nil {
		return nil, nil, err
	}
	if src.Properties, err = readSettings(c.String("properties")); err != nil {
		return nil, nil, err
	}
	return config.Load(src)
}

// brokerEnv leaves out what is a setting of the command line's clients and not
// of a broker.
func brokerEnv(env []string) []string {
	return slices.DeleteFunc(env, func(v string) bool {
		return strings.HasPrefix(v, brokersEnv+"=") || strings.HasPrefix(v, httpEnv+"=")
	})
}

func readSettings(name string) (*config.File, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, config.MaxFileBytes+1))
	if err != nil {
		return nil, err
	}
	return &config.File{Name: name, Data: data}, nil
}

// newLogger makes the broker's logger, and a function that changes its level.
func newLogger(w io.Writer, s *config.Broker) (*slog.Logger, func(level string)) {
	var level slog.LevelVar
	set := func(name string) {
		var l slog.Level
		if l.UnmarshalText([]byte(name)) == nil { // the setting is an enum of slog's names
			level.Set(l)
		}
	}
	set(s.LogLevel)
	o := &slog.HandlerOptions{Level: &level}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o)), set
	}
	return slog.New(slog.NewTextHandler(w, o)), set
}

func exitCode(err error) int {
	var u usageError
	switch {
	case errors.As(err, &u):
		return exitUsage
	case errors.Is(err, errRepairNeeded):
		return exitRepair
	}
	return exitFailed
}
