package config

import (
	"fmt"
	"strings"

	"github.com/varvelog/varve/internal/property"
)

// A kafkaGroup is names of Kafka 4's broker configuration that Varve does not
// have, and why. Names that end in a dot stand for everything that begins so.
type kafkaGroup struct {
	why   string
	names []string
	// guards marks names that protect something. Accepting one with a mere
	// warning would leave the operator believing in a protection that is not
	// there, so it is refused unless harmless says that its value asks for none.
	guards   bool
	harmless func(value string) bool
}

func equals(values ...string) func(string) bool {
	return func(v string) bool {
		for _, want := range values {
			if strings.EqualFold(strings.TrimSpace(v), want) {
				return true
			}
		}
		return false
	}
}

var kafkaGroups = []kafkaGroup{
	{
		why: "authentication is not part of this version", guards: true, harmless: equals(""),
		names: []string{"sasl.", "delegation.token.", "principal.builder.class"},
	},
	{
		why: "authentication is not part of this version", guards: true, harmless: equals("", "0"),
		names: []string{"connections.max.reauth.ms"},
	},
	{
		why: "TLS is not part of this version", guards: true, harmless: equals(""),
		names: []string{"ssl.", "password.encoder.", "security.providers"},
	},
	{
		why: "brokers speak to each other without Kafka's protocol", guards: true, harmless: equals("", plaintext),
		names: []string{"security.inter.broker.protocol"},
	},
	{
		why: "authorization is not part of this version", guards: true, harmless: equals(""),
		names: []string{"authorizer.class.name", "super.users"},
	},
	{
		why: "authorization is not part of this version", guards: true, harmless: equals("", "true"),
		names: []string{"allow.everyone.if.no.acl.found"},
	},
	{
		why: "Java classes cannot be loaded", guards: true, harmless: equals(""),
		names: []string{"create.topic.policy.class.name", "alter.config.policy.class.name", "client.quota.callback.class"},
	},
	{
		why: "settings of single listeners are not part of this version", guards: true, harmless: equals(""),
		names: []string{"listener.name."},
	},
	{
		why: "every broker keeps the cluster metadata in its own log; there is no separate controller",
		names: []string{
			"process.roles", "controller.listener.names", "controller.quorum.", "controller.socket.timeout.ms", "controller.performance.",
			"controlled.shutdown.", "early.start.listeners", "initial.broker.registration.timeout.ms", "broker.heartbeat.interval.ms",
			"broker.session.timeout.ms", "metadata.log.", "metadata.max.", "server.max.startup.time.ms", "inter.broker.listener.name",
			"control.plane.listener.name", "eligible.leader.replicas.enable", "unstable.api.versions.enable", "unstable.feature.versions.enable",
		},
	},
	{
		why: "threads and socket buffers are sized by the broker itself",
		names: []string{
			"num.network.threads", "num.io.threads", "background.threads", "num.recovery.threads.per.data.dir", "num.replica.alter.log.dirs.threads",
			"socket.send.buffer.bytes", "socket.receive.buffer.bytes", "socket.listen.backlog.size", "socket.connection.setup.",
			"queued.max.requests", "queued.max.request.bytes", "request.timeout.ms", "max.request.partition.size.limit", "fetch.purgatory.", "producer.purgatory.", "delete.records.purgatory.",
		},
	},
	{
		why: "every record is durable before it is acknowledged, and recovery follows the write-ahead log",
		names: []string{
			"log.flush.offset.checkpoint.interval.ms", "log.flush.start.offset.checkpoint.interval.ms", "log.dir.failure.timeout.ms", "log.initial.task.delay.ms",
		},
	},
	{
		why: "replication is Raft; replicas are led, fetched and elected by it",
		names: []string{
			"replica.", "num.replica.fetchers", "leader.imbalance.", "auto.leader.rebalance.enable", "unclean.leader.election.interval.ms",
			"leader.replication.", "follower.replication.", "follower.fetch.", "replication.quota.", "alter.log.dirs.",
		},
	},
	{
		why: "compaction plans its own threads, memory and pace",
		names: []string{
			"log.cleaner.threads", "log.cleaner.io.", "log.cleaner.dedupe.buffer.size", "log.cleaner.backoff.ms", "log.cleaner.enable",
		},
	},
	{
		why: "the cold tier is built in and set by tier.url",
		names: []string{
			"remote.log.storage.", "remote.log.metadata.", "remote.log.index.", "remote.log.manager.", "remote.log.reader.", "rsm.config.", "rlmm.config.",
		},
	},
	{
		why: "groups use the classic protocol, kept by the broker itself",
		names: []string{
			"group.coordinator.", "group.consumer.", "group.share.", "group.streams.", "share.", "offsets.load.buffer.size", "offsets.topic.compression.codec",
		},
	},
	{
		why: "transactions are kept by the broker itself",
		names: []string{
			"transaction.state.log.min.isr", "transaction.state.log.load.buffer.size", "transaction.abort.timed.out.transaction.cleanup.interval.ms",
			"transaction.remove.expired.transaction.cleanup.interval.ms", "transaction.partition.verification.enable", "transaction.two.phase.commit.enable",
			"producer.id.expiration.check.interval.ms",
		},
	},
	{
		why: "quotas and limits of this kind are not part of this version",
		names: []string{
			"quota.window.", "controller.quota.window.", "max.connections.per.ip.overrides", "max.connection.creation.rate", "connection.failed.authentication.delay.ms",
		},
	},
	{
		why:   "metrics are served over http.listen in the Prometheus format",
		names: []string{"metric.reporters", "metrics.", "kafka.metrics.", "auto.include.jmx.reporter", "telemetry.max.bytes", "client.metrics."},
	},
	{
		why: "Kafka 4 does not have it either",
		names: []string{
			"zookeeper.", "broker.id.generation.enable", "reserved.broker.max.id", "inter.broker.protocol.version", "log.message.format.version",
			"log.message.timestamp.difference.max.ms", "host.name", "port", "advertised.host.name", "advertised.port",
		},
	},
	{
		why:   "configuration providers are not part of this version; use VARVE_ variables",
		names: []string{"config.providers", "config.providers."},
	},
}

// kafkaName reports whether the name is one of Kafka's that does not apply, and
// why. The error is that of a value that asks for a protection.
func kafkaName(kv KV) (known bool, why string, err error) {
	g := kafkaGroupOf(kv.Name)
	if g == nil {
		return false, "", nil
	}
	if g.guards && !g.harmless(kv.Value) {
		// The value may be a password, whatever the name.
		return true, g.why, &property.Error{
			Kind: property.ErrRange, Name: kv.Name, Value: property.Hidden,
			Reason: fmt.Sprintf("%s, so nothing would be protected or checked by it", g.why),
			Remedy: "remove it, and keep the listeners on a network that you trust",
		}
	}
	return true, g.why, nil
}

// kafkaGroupOf returns the group of a name: a full name goes before a beginning,
// a longer beginning before a shorter one.
func kafkaGroupOf(name string) *kafkaGroup {
	var best *kafkaGroup
	longest := -1
	for i := range kafkaGroups {
		for _, n := range kafkaGroups[i].names {
			switch {
			case n == name:
				return &kafkaGroups[i]
			case strings.HasSuffix(n, ".") && strings.HasPrefix(name, n) && len(n) > longest:
				best, longest = &kafkaGroups[i], len(n)
			}
		}
	}
	return best
}
