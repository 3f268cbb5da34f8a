// Command sarama runs the scenarios that tests/clients/scenario describes with
// sarama. It is a module of its own, so that the broker's module does not have
// sarama's dependencies.
package main
