package wire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// certificate makes a self-signed certificate for 127.0.0.1.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func newTLSRig(t *testing.T, set Settings, h Handler) (*rig, *tls.Config) {
	t.Helper()
	cert := certificate(t)
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
	return newRigOn(t, set, h, l), &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
}

func TestTLS(t *testing.T) {
	complete := make(chan bool, 1)
	g, config := newTLSRig(t, Settings{}, opener{
		func(c *Conn) error {
			state, ok := c.TLS()
			complete <- ok && state.HandshakeComplete
			return nil
		},
		func(r *Request) {
			if string(r.Body) == "end" {
				r.Conn.End(nil)
			}
			echo(r)
		},
	})
	raw := g.dial()
	c := newClient(t, tls.Client(raw.nc, config))
	body := bytes.Repeat([]byte("0123456789"), 30_000)
	go func() {
		_, _ = c.nc.Write(append(frame(keyMetadata, 0, 1, []byte("a")), frame(keyProduce, 0, 2, body)...))
	}()
	c.expect(1, []byte("a"))
	c.expect(2, body)
	if !get(t, complete) {
		t.Error("the handshake is not complete when the connection opens")
	}
	c.send(keyMetadata, 0, 3, []byte("end"))
	c.expect(3, []byte("end"))
	c.expectClosed()
}

func TestTLSHandshakeFails(t *testing.T) {
	for _, tc := range []struct {
		name string
		b    []byte
		log  string
	}{
		{"plaintext", frame(keyMetadata, 0, 1, make([]byte, 100)), "TLS handshake failed"},
		{"nothing", nil, "TLS handshake failed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g, _ := newTLSRig(t, Settings{HandshakeMax: 50 * time.Millisecond}, handlerFunc(echo))
			c := g.dial()
			c.write(tc.b)
			g.eventually("the connection is refused", func() bool {
				return strings.Contains(g.log.String(), tc.log) && g.s.Stats().Connections == 0
			})
		})
	}
}

// A shutdown does not wait for a handshake.
func TestShutdownDuringHandshake(t *testing.T) {
	g, _ := newTLSRig(t, Settings{HandshakeMax: time.Hour}, handlerFunc(echo))
	c := g.dial()
	g.eventually("it is accepted", func() bool { return g.s.Stats().Connections == 1 })
	if err := g.s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	c.expectClosed()
}
