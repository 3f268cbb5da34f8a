package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/varvelog/varve/internal/property"
)

// MaxFileBytes bounds a file of settings.
const MaxFileBytes = 1 << 20

// A File is a file of settings that the caller has read. Its name stands in
// errors and warnings.
type File struct {
	Name string
	Data []byte
}

// Sources are where the settings of a start come from, in the order in which
// later ones win.
type Sources struct {
	YAML       *File    // --config
	Properties *File    // --properties, a Kafka server.properties
	Env        []string // NAME=value, as os.Environ returns it; only VARVE_ counts
	Set        []string // --set, name=value each
}

// A Warning is something that the operator should know although the broker
// starts.
type Warning struct {
	Where string // the source, such as "server.properties:12"; may be empty
	Name  string // the setting
	Text  string
}

// String returns the warning as one line.
func (w Warning) String() string {
	text := w.Name + ": " + w.Text
	if w.Where != "" {
		text = w.Where + ": " + text
	}
	return text
}

// Load merges the sources and returns the broker's settings, and warnings in the
// order of the sources. The error joins everything that is refused, one line
// each; those about a setting are *property.Error and ErrInvalid.
func Load(src Sources) (*Broker, []Warning, error) {
	l := loader{static: map[string]property.Value{}, inert: map[string]string{}}
	for _, read := range []func(Sources) ([]entry, error){yamlEntries, propertiesEntries, envEntries, setEntries} {
		entries, err := read(src)
		if err != nil {
			l.bad.add("", err)
		}
		for _, e := range entries {
			if len(l.bad.errs) >= problemsMax {
				l.bad.add("", fmt.Errorf("%w: more settings were not looked at", ErrInvalid))
				return nil, l.warnings, l.bad.err()
			}
			l.take(e)
		}
	}
	if err := l.bad.err(); err != nil {
		return nil, l.warnings, err
	}
	b := newBroker(l.static, nil)
	l.finish(b)
	if err := l.bad.err(); err != nil {
		return nil, l.warnings, err
	}
	return b, l.warnings, nil
}

func yamlEntries(src Sources) ([]entry, error) {
	if src.YAML == nil {
		return nil, nil
	}
	return parseYAML(*src.YAML)
}

func propertiesEntries(src Sources) ([]entry, error) {
	if src.Properties == nil {
		return nil, nil
	}
	return parseProperties(*src.Properties)
}

// EnvName returns the environment variable of a setting: VARVE_ and the name in
// upper case with underscores for dots. Names have no underscores, so each
// variable belongs to one name.
func EnvName(name string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(name, ".", "_"))
}

const envPrefix = "VARVE_"

// serviceEnv matches what Kubernetes puts into every container of a namespace
// with a Service called varve or varve-something. No setting's variable does.
var serviceEnv = regexp.MustCompile(`^VARVE(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// updateEnv is read by the repository's tests, which start brokers too.
const updateEnv = "VARVE_UPDATE"

func envEntries(src Sources) ([]entry, error) {
	var out []entry
	for _, variable := range src.Env {
		name, value, ok := strings.Cut(variable, "=")
		rest, ours := strings.CutPrefix(name, envPrefix)
		if !ok || !ours || name == updateEnv || serviceEnv.MatchString(name) {
			continue
		}
		out = append(out, entry{KV{strings.ToLower(strings.ReplaceAll(rest, "_", ".")), value}, name})
	}
	slices.SortStableFunc(out, func(a, b entry) int { return strings.Compare(a.where, b.where) })
	return out, nil
}

func setEntries(src Sources) ([]entry, error) {
	var out []entry
	var bad problems
	for _, arg := range src.Set {
		name, value, ok := strings.Cut(arg, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			bad.add("--set", fmt.Errorf("%w: %.120q is not name=value, such as num.partitions=3", property.ErrInvalid, arg))
			continue
		}
		out = append(out, entry{KV{name, value}, "--set"})
	}
	return out, bad.err()
}

// A loader gathers the entries of all sources.
type loader struct {
	static   map[string]property.Value
	inert    map[string]string // values of Kafka's names that do not apply
	warnings []Warning
	bad      problems
}

func (l *loader) take(e entry) {
	if brokerTable.Lookup(e.Name) == nil {
		if known, why, err := kafkaName(e.KV); known {
			if err != nil {
				l.bad.add(e.where, err)
				return
			}
			l.inert[e.Name] = e.Value
			l.warnings = append(l.warnings, Warning{e.where, e.Name, "has no effect: " + why})
			return
		}
	}
	v, err := parseBroker(e.Name, e.Value)
	if err != nil {
		l.bad.add(e.where, err)
		return
	}
	if p := brokerTable.Lookup(e.Name); p.NoEffect {
		l.warnings = append(l.warnings, Warning{e.where, e.Name, "has no effect: see the reference of settings"})
	}
	l.static[e.Name] = v
}

// problemsMax bounds the refused settings of one start: each costs a search for
// the name that was meant, and nobody reads more.
const problemsMax = 20

// problems gathers errors with their source.
type problems struct{ errs []error }

func (p *problems) add(where string, err error) {
	if where != "" {
		err = fmt.Errorf("%s: %w", where, err)
	}
	p.errs = append(p.errs, err)
}

func (p *problems) err() error { return errors.Join(p.errs...) }
