package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/varvelog/varve/internal/property"
)

// finish resolves what depends on several settings and compares them.
func (l *loader) finish(b *Broker) {
	warn := func(name, text string) { l.warnings = append(l.warnings, Warning{"", name, text}) }
	refuse := func(err error) {
		if err != nil {
			l.bad.add("", err)
		}
	}
	refuse(b.resolveAliases())
	var controllers []string
	for name := range strings.SplitSeq(l.inert["controller.listener.names"], ",") {
		if name = strings.TrimSpace(name); name != "" {
			controllers = append(controllers, strings.ToUpper(name))
		}
	}
	refuse(b.resolveListeners(controllers, warn))
	if host, _, err := splitHostPort(b.HTTPListen); err == nil && !isLoopback(host) {
		warn("http.listen", b.HTTPListen+" serves beyond this machine without authentication; bind it to 127.0.0.1 or keep it behind a firewall")
	}
	for _, err := range b.compare() {
		refuse(err)
	}
	for _, err := range b.crossChecks(nil) {
		refuse(fmt.Errorf("defaults of topics: %w", err))
	}
	if b.TierURL == "" {
		b.TierURL = "file://" + strings.TrimSuffix(b.LogDir, "/") + "/tier"
	}
}

// resolveAliases settles on one data directory and one id.
func (b *Broker) resolveAliases() error {
	b.LogDir = b.logDirs[0]
	if b.logDirOld != "" {
		if _, _, both := b.explicit("log.dirs"); both && b.LogDir != b.logDirOld {
			return brokerTable.Lookup("log.dir").Conflict(b.logDirOld, fmt.Sprintf("differs from log.dirs = %q", b.LogDir), "remove log.dir and keep log.dirs")
		}
		b.LogDir = b.logDirOld
	}
	if id, _, old := b.explicit("broker.id"); old {
		if _, _, both := b.explicit("node.id"); both && b.NodeID != b.brokerID {
			return brokerTable.Lookup("broker.id").Conflict(id.String(), fmt.Sprintf("differs from node.id = %d", b.NodeID), "remove broker.id and keep node.id")
		}
		b.NodeID = b.brokerID
	}
	return nil
}

// compare judges settings against each other.
func (b *Broker) compare() []error {
	var errs []error
	for _, rule := range []struct {
		broken         bool
		name           string
		reason, remedy string
	}{
		{
			b.GroupMinSessionTimeout > b.GroupMaxSessionTimeout, "group.min.session.timeout.ms",
			"above group.max.session.timeout.ms", "lower it or raise group.max.session.timeout.ms",
		},
		{
			b.MemoryRequestBytes < b.SocketRequestMaxBytes, "memory.request.bytes",
			"below socket.request.max.bytes, so the largest request could never be read", "raise it or lower socket.request.max.bytes",
		},
		{
			b.MemoryResponseBytes < 2*b.Topic.MaxMessageBytes, "memory.response.bytes",
			"below twice message.max.bytes, so there would be no room for the largest batch", "raise it or lower message.max.bytes",
		},
		{
			b.Topic.MaxMessageBytes >= b.SocketRequestMaxBytes, "message.max.bytes",
			"not below socket.request.max.bytes, so the largest batch could never be sent", "lower it or raise socket.request.max.bytes",
		},
		{
			b.WALBytesMax < 2*b.WALFileBytes, "wal.bytes.max",
			"below twice wal.file.bytes, so no file could be recycled", "raise it or lower wal.file.bytes",
		},
	} {
		if rule.broken {
			p := brokerTable.Lookup(rule.name)
			v, _, _ := b.value(p)
			errs = append(errs, p.Conflict(v.String(), rule.reason, rule.remedy))
		}
	}
	return errs
}

const tierAllowed = "s3://bucket/prefix, or file:// and a directory"

// checkTierURL judges the address of the cold tier. Behind file:// everything is
// a path, relative ones too, which is not what a URL says about hosts.
func checkTierURL(v property.Value) error {
	refuse := func(reason, remedy string) error {
		return &property.Error{Kind: property.ErrSyntax, Reason: reason, Allowed: tierAllowed, Remedy: remedy}
	}
	text := v.Text()
	if dir, ok := strings.CutPrefix(text, "file://"); ok {
		if dir == "" {
			return refuse("no directory", "write the directory behind file://")
		}
		return nil
	}
	u, err := url.Parse(text)
	if err != nil {
		var cause *url.Error // its text repeats the URL, which may hold a secret
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return &property.Error{
			Kind: property.ErrSyntax, Value: property.Hidden, Allowed: tierAllowed,
			Reason: fmt.Sprintf("not a URL: %.60v", err),
		}
	}
	if u.User != nil {
		return &property.Error{
			Kind: property.ErrSyntax, Value: property.Hidden, Reason: "it holds credentials, which would show in logs and descriptions",
			Allowed: tierAllowed, Remedy: "give them in the environment of the broker",
		}
	}
	if u.Scheme != "s3" {
		return refuse(fmt.Sprintf("scheme %.30q is not known", u.Scheme), "")
	}
	if u.Host == "" {
		return refuse("no bucket", "write the bucket behind "+u.Scheme+"://")
	}
	return nil
}
