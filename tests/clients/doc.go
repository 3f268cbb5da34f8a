// Package clients tests the broker's binary with clients that other people
// wrote: franz-go, kcat, confluent-kafka-python (librdkafka), sarama, kafkajs,
// and Apache Kafka's Java client and command line tools. The tests carry the
// build tag clients, because they need what scripts/install-clients.sh
// installs; `make clients` does both.
//
// Each client has a directory with a program that runs the scenarios of package
// scenario. The tests start a broker, run the programs, and compare what each
// of them was told and has read with what was sent, so that every client reads
// byte for byte what every other wrote.
//
// The tests of consumer groups look at the groups from outside, with franz-go's
// administrator, to know when a group is divided and what it has committed; what
// its members did, the programs tell when they end, and a ledger of all records
// is made of it.
//
// A new client is a directory, a few lines in scripts/install-clients.sh and a
// row in the table of clients_test.go. A new kind of use is a scenario, a
// function in each program and a test.
package clients
