// Package config declares every setting of Varve once, brokers' and topics',
// under Kafka's name where Kafka has one. From these declarations follow the
// reading of files, environment and command line, the checks of CreateTopics
// and AlterConfigs, what DescribeConfigs shows, the typed structs that the
// broker is assembled from, and docs/reference/settings.md.
//
// # Parts
//
// Load merges the sources of a start into a Broker. Broker.WithDynamic adds what
// was altered while running. ValidateTopic judges the settings that a topic is
// to have, EffectiveTopic turns what it has into a Topic, and DescribeTopic and
// DescribeBroker show where each value comes from. A topic setting with broker
// synonyms (retention.ms has log.retention.ms, .minutes and .hours) declares
// them in its own row; the broker settings are derived from it.
//
// # Invariants
//
//  1. A setting has one row; a field of Broker or Topic is filled by one row.
//  2. Later sources win: defaults, YAML, server.properties, environment, --set.
//     A value that is refused stops the start even where a later source
//     overrides it, and all refused settings are reported at once.
//  3. Nothing is ignored in silence. A name of Kafka's that does not apply gives
//     a warning; one that would leave a listener or a topic less protected than
//     the operator asked for is refused, as is any unknown name.
//  4. Hostile files are refused within a bounded amount of work: 1 MiB per file,
//     no YAML aliases, 16 levels, no panic.
//  5. EffectiveTopic never fails: an override that does not parse counts as
//     absent, since what was accepted once must not stop a partition later.
//
// # Concurrency
//
// A Broker and a Topic are immutable once returned and may be used by any
// goroutine. The package starts none and touches neither disk nor network: the
// caller reads the files.
//
// # Not here
//
// Whether the stages of a chain exist, how many brokers there are and who may
// alter what is known elsewhere. No other package of the broker is imported.
package config
