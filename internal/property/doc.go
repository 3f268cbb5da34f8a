// Package property is the mechanism of settings: a declaration of one setting
// (name, type, default, bounds, scope, prose), tables of them, and the parsing
// of values with errors that an operator can act on. It knows no setting.
//
// Invariants:
//
//  1. Whatever the name and the value, Parse returns a value within its
//     property's bounds or an *Error; it never panics, and its work is bounded
//     by the length of the value.
//  2. An Error names the setting, the value, what is allowed and a remedy. The
//     value of a secret appears in no error and in no Value's String.
//  3. A table is checked when it is made: names are unique and well-formed,
//     every default parses, every property has prose.
//  4. Value.String is canonical: it parses to the same value, and durations and
//     sizes come back as Kafka's plain integers.
//
// Concurrency: a Table and its properties never change after NewTable and may be
// used by any goroutine. The package starts none and does no I/O.
//
// It does not read files, merge sources or know topics and brokers; that is the
// work of the package that declares the settings.
package property
