package wire

import (
	"net"
	"net/netip"
)

// admission is what a connection counts against: the client's address without
// its port, or the zero value where there is none.
type admission struct{ ip netip.Addr }

func admissionOf(a net.Addr) admission {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return admission{}
	}
	return admission{tcp.AddrPort().Addr().Unmap().WithZone("")}
}

// admit registers a connection and counts its goroutines. It returns nil and
// the reason if there are too many, no reason if the server is closing.
func (s *Server) admit(listener string, nc net.Conn) (c *Conn, why string) {
	from := admissionOf(nc.RemoteAddr())
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return nil, ""
	case s.set.ConnectionsMax > 0 && len(s.conns) >= s.set.ConnectionsMax:
		s.counters.refused.Add(1)
		return nil, "max.connections"
	case s.set.ConnectionsMaxPerIP > 0 && from.ip.IsValid() && s.perIP[from] >= s.set.ConnectionsMaxPerIP:
		s.counters.refusedPerIP.Add(1)
		return nil, "max.connections.per.ip"
	}
	s.counters.accepted.Add(1)
	s.lastID++
	c = newConn(s, nc, listener, s.lastID)
	c.ip = from
	s.conns[c] = struct{}{}
	s.perIP[from]++
	s.wg.Add(2)
	return c, ""
}

// forget is called once when a connection has closed.
func (s *Server) forget(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.perIP[c.ip]--; s.perIP[c.ip] == 0 {
		delete(s.perIP, c.ip)
	}
}
