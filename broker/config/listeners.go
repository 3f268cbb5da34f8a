package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/varvelog/varve/internal/property"
)

// A Listener is an address of the Kafka protocol.
type Listener struct {
	Name string // upper case, unique among the listeners
	Host string // without brackets; empty on every address
	Port int    // 0 to take a free one
}

// String returns the listener as settings write it.
func (l Listener) String() string { return l.Name + "://" + l.Address() }

// Address returns host:port, with brackets round an IPv6 address.
func (l Listener) Address() string {
	host := l.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(l.Port)
}

// Wildcard reports whether the listener takes connections on every address.
func (l Listener) Wildcard() bool { return isWildcard(l.Host) }

// Loopback reports whether only this machine can reach the listener.
func (l Listener) Loopback() bool { return isLoopback(l.Host) }

func isWildcard(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && addr.IsUnspecified()
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

const (
	listenersMax    = 16
	plaintext       = "PLAINTEXT"
	listenerAllowed = "NAME://host:port, comma-separated, such as PLAINTEXT://127.0.0.1:9092"
	protocolRemedy  = "use PLAINTEXT on a network that you trust, or put a proxy that does TLS and authentication in front"
)

// securityProtocols are Kafka's, each also the name of its standard listener.
var securityProtocols = []string{plaintext, "SSL", "SASL_PLAINTEXT", "SASL_SSL"}

// parseListeners reads the value of the setting called name. Names are matched
// with the protocol map later.
func parseListeners(name, value string) ([]Listener, error) {
	refuse := func(reason string) error {
		return &property.Error{
			Kind: property.ErrSyntax, Name: name, Value: value, Reason: reason, Allowed: listenerAllowed,
			Remedy: "correct it or remove it to get the default",
		}
	}
	if n := 1 + strings.Count(value, ","); n > listenersMax {
		return nil, refuse(fmt.Sprintf("%d listeners, at most %d", n, listenersMax))
	}
	var out []Listener
	for item := range strings.SplitSeq(value, ",") {
		item = strings.TrimSpace(item)
		prefix, address, ok := strings.Cut(item, "://")
		if !ok || !isListenerName(prefix) {
			return nil, refuse(fmt.Sprintf("%.100q is not NAME://host:port", item))
		}
		host, port, err := splitHostPort(address)
		if err != nil {
			return nil, refuse(fmt.Sprintf("%.100q: %v", item, err))
		}
		l := Listener{Name: strings.ToUpper(prefix), Host: host, Port: port}
		for _, other := range out {
			if other.Name == l.Name {
				return nil, refuse("listener " + l.Name + " stands twice")
			}
			if other.Port == l.Port && l.Port != 0 && (other.Host == l.Host || other.Wildcard() || l.Wildcard()) && name == "listeners" {
				return nil, refuse(fmt.Sprintf("%v and %v take the same port", other, l))
			}
		}
		out = append(out, l)
	}
	return out, nil
}

func isListenerName(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-')
	})
}

// splitHostPort splits host:port. The host may be empty, a name, an IPv4 address
// or an IPv6 address in brackets.
func splitHostPort(s string) (string, int, error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", 0, fmt.Errorf("no port")
	}
	host, text := s[:i], s[i+1:]
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port %.20q is not a number from 0 to 65535", text)
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if addr, err := netip.ParseAddr(inner); !ok || err != nil || !addr.Is6() {
			return "", 0, fmt.Errorf("%.60q is not an IPv6 address in brackets", host)
		}
		return inner, int(port), nil
	}
	if len(host) > 253 || strings.ContainsFunc(host, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._", r))
	}) {
		return "", 0, fmt.Errorf("%.60q is not a host name or an address (IPv6 goes in brackets)", host)
	}
	return host, int(port), nil
}

// checkHostPort is the check of an address of ours.
func checkHostPort(v property.Value) error {
	if _, _, err := splitHostPort(v.Text()); err != nil {
		return &property.Error{Kind: property.ErrSyntax, Reason: err.Error(), Allowed: "host:port, such as 127.0.0.1:9644"}
	}
	return nil
}

// parseProtocolMap reads listener.security.protocol.map. The standard names of
// the other protocols may stand for themselves, as in Kafka's own example file:
// a listener with such a name is refused anyway.
func parseProtocolMap(value string) (map[string]string, error) {
	refuse := func(kind error, reason, remedy string) error {
		return &property.Error{
			Kind: kind, Name: "listener.security.protocol.map", Value: value, Reason: reason,
			Allowed: "NAME:PLAINTEXT, comma-separated", Remedy: remedy,
		}
	}
	protocols := map[string]string{}
	if strings.TrimSpace(value) == "" {
		value = plaintext + ":" + plaintext
	}
	for item := range strings.SplitSeq(value, ",") {
		name, protocol, ok := strings.Cut(strings.TrimSpace(item), ":")
		name, protocol = strings.ToUpper(strings.TrimSpace(name)), strings.ToUpper(strings.TrimSpace(protocol))
		if !ok || !isListenerName(name) || !slices.Contains(securityProtocols, protocol) {
			return nil, refuse(property.ErrSyntax, fmt.Sprintf("%.100q is not NAME:PROTOCOL", item), "correct it or remove it")
		}
		if _, twice := protocols[name]; twice || len(protocols) >= 4*listenersMax {
			return nil, refuse(property.ErrSyntax, "listener "+name+" stands twice or there are too many", "remove one")
		}
		if protocol != plaintext && protocol != name {
			return nil, refuse(property.ErrRange, name+" asks for "+protocol+", which this version does not have: the listener would be unprotected", protocolRemedy)
		}
		protocols[name] = protocol
	}
	return protocols, nil
}

// resolveListeners sets b.Listeners and b.Advertised from their texts. Names in
// controllers, Kafka's controller.listener.names, are left out: there is no
// separate controller.
func (b *Broker) resolveListeners(controllers []string, warn func(name, text string)) error {
	protocols, err := parseProtocolMap(b.protocolMap)
	if err != nil {
		return err
	}
	b.Listeners, err = parseListeners("listeners", b.listeners)
	if err != nil {
		return err
	}
	isController := func(l Listener) bool { return slices.Contains(controllers, l.Name) }
	if slices.ContainsFunc(b.Listeners, isController) {
		b.Listeners = slices.DeleteFunc(b.Listeners, isController)
		warn("listeners", "the listeners of controller.listener.names are not opened: every broker is a controller through its own log")
	}
	if len(b.Listeners) == 0 {
		return &property.Error{
			Kind: property.ErrRange, Name: "listeners", Value: b.listeners, Reason: "no listener for clients",
			Allowed: listenerAllowed, Remedy: "add PLAINTEXT://127.0.0.1:9092",
		}
	}
	for _, l := range b.Listeners {
		if err := checkProtocol(b.listeners, l, protocols); err != nil {
			return err
		}
		if !l.Loopback() {
			warn("listeners", fmt.Sprintf("%v listens beyond this machine without authentication or encryption: whoever reaches it may read and write everything; bind it to 127.0.0.1 or keep it behind a firewall", l))
		}
	}
	return b.resolveAdvertised(isController)
}

func checkProtocol(value string, l Listener, protocols map[string]string) error {
	protocol := protocols[l.Name]
	if protocol == "" && slices.Contains(securityProtocols, l.Name) {
		protocol = l.Name
	}
	switch protocol {
	case plaintext:
		return nil
	case "":
		return &property.Error{
			Kind: property.ErrConflict, Name: "listeners", Value: value, Reason: "listener " + l.Name + " has no security protocol",
			Remedy: "add " + l.Name + ":PLAINTEXT to listener.security.protocol.map or call the listener PLAINTEXT",
		}
	}
	return &property.Error{
		Kind: property.ErrRange, Name: "listeners", Value: value, Reason: "listener " + l.Name + " asks for " + protocol + ", which this version does not have",
		Allowed: listenerAllowed, Remedy: protocolRemedy,
	}
}

// resolveAdvertised gives every listener the address that clients are told.
func (b *Broker) resolveAdvertised(isController func(Listener) bool) error {
	var given []Listener
	if b.advertised != "" {
		var err error
		if given, err = parseListeners("advertised.listeners", b.advertised); err != nil {
			return err
		}
		given = slices.DeleteFunc(given, isController)
	}
	refuse := func(name, value, reason, remedy string) error {
		return &property.Error{Kind: property.ErrConflict, Name: name, Value: value, Reason: reason, Remedy: remedy}
	}
	for _, a := range given {
		switch {
		case !slices.ContainsFunc(b.Listeners, func(l Listener) bool { return l.Name == a.Name }):
			return refuse("advertised.listeners", b.advertised, "there is no listener "+a.Name, "add it to listeners or remove it here")
		case a.Wildcard() || a.Port == 0:
			return refuse("advertised.listeners", b.advertised, fmt.Sprintf("clients cannot connect to %v", a), "name a host and a port that clients can reach")
		}
	}
	b.Advertised = make([]Listener, 0, len(b.Listeners))
	for _, l := range b.Listeners {
		i := slices.IndexFunc(given, func(a Listener) bool { return a.Name == l.Name })
		switch {
		case i >= 0:
			b.Advertised = append(b.Advertised, given[i])
		case l.Wildcard():
			return refuse("listeners", b.listeners, fmt.Sprintf("%v listens on every address, so clients cannot be told which one to connect to", l),
				fmt.Sprintf("set advertised.listeners=%s://<host that clients reach>:%d", l.Name, max(l.Port, 1)))
		default:
			b.Advertised = append(b.Advertised, l)
		}
	}
	return nil
}
