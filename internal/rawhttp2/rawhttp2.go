// Package rawhttp2 is an HTTP/2 server for tests that ends streams as net/http's server never does. It
// knows just enough of RFC 9113 to do that to one request after the other.
package rawhttp2

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Frame types, flags and error codes of RFC 9113 sections 6 and 7.
const (
	frameData     = 0x0
	frameHeaders  = 0x1
	frameReset    = 0x3
	frameSettings = 0x4
	frameGoAway   = 0x7

	flagAck        = 0x1
	flagEndStream  = 0x1
	flagEndHeaders = 0x4

	NoError         = 0x0
	ProtocolError   = 0x1
	InternalError   = 0x2
	RefusedStream   = 0x7
	EnhanceYourCalm = 0xb

	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// A Server calls a function for each complete request. It is made by Serve.
type Server struct {
	URL string

	answer func(*Stream)
	client *http.Client
	mu     sync.Mutex // guards what follows
	bodies []string
	conns  map[net.Conn]bool
	serves sync.WaitGroup
}

// A Stream is one request that the server has read.
type Stream struct {
	ID   uint32
	Body string
	conn net.Conn
}

// Serve starts a server on loopback, which ends with the test. answer says what becomes of a request.
func Serve(t testing.TB, answer func(*Stream)) *Server {
	t.Helper()
	certified := httptest.NewUnstartedServer(nil)
	certified.EnableHTTP2 = true
	certified.StartTLS()
	certified.Close() // only its certificate and its client are needed
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certified.TLS.Certificates, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{URL: "https://" + l.Addr().String(), answer: answer, client: certified.Client(), conns: make(map[net.Conn]bool)}
	s.serves.Go(func() { s.accept(l) })
	t.Cleanup(func() {
		l.Close()
		s.client.CloseIdleConnections()
		s.mu.Lock()
		for conn := range s.conns {
			conn.Close()
		}
		s.mu.Unlock()
		s.serves.Wait()
	})
	return s
}

// Client returns a client of net/http that trusts the server and speaks HTTP/2 with it.
func (s *Server) Client() *http.Client { return s.client }

// Bodies returns the bodies of all requests that have arrived.
func (s *Server) Bodies() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.bodies...)
}

func (s *Server) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[conn] = true
		s.mu.Unlock()
		s.serves.Go(func() {
			s.serve(conn)
			conn.Close()
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		})
	}
}

func (s *Server) serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	if _, err := io.CopyN(io.Discard, in, int64(len(preface))); err != nil {
		return
	}
	write(conn, frameSettings, 0, 0, nil)
	bodies := make(map[uint32]string)
	for {
		var head [9]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return
		}
		size, id := int(head[0])<<16|int(head[1])<<8|int(head[2]), binary.BigEndian.Uint32(head[5:])
		payload := make([]byte, size)
		if _, err := io.ReadFull(in, payload); err != nil {
			return
		}
		switch kind, flags := head[3], head[4]; kind {
		case frameSettings:
			if flags&flagAck == 0 {
				write(conn, frameSettings, flagAck, 0, nil)
			}
		case frameHeaders, frameData:
			if kind == frameData {
				bodies[id] += string(payload)
			}
			if flags&flagEndStream != 0 {
				s.mu.Lock()
				s.bodies = append(s.bodies, bodies[id])
				s.mu.Unlock()
				s.answer(&Stream{id, bodies[id], conn})
			}
		}
	}
}

// Answer answers 200 with a JSON body.
func (s *Stream) Answer(body string) {
	const media = "application/json"
	// ":status: 200", and a content-type that is not put into the table (RFC 7541 sections 6.1 and 6.2.2).
	header := append([]byte{0x88, 0x0f, 0x10, byte(len(media))}, media...)
	write(s.conn, frameHeaders, flagEndHeaders, s.ID, header)
	write(s.conn, frameData, flagEndStream, s.ID, []byte(body))
}

// Reset ends the stream with an error code.
func (s *Stream) Reset(code uint32) {
	write(s.conn, frameReset, 0, s.ID, binary.BigEndian.AppendUint32(nil, code))
}

// GoAway says that the server has seen no stream after the given one.
func (s *Stream) GoAway(last, code uint32) {
	write(s.conn, frameGoAway, 0, 0, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, last), code))
}

// Close closes the connection.
func (s *Stream) Close() { s.conn.Close() }

func write(conn net.Conn, kind, flags byte, id uint32, payload []byte) {
	n := len(payload)
	frame := append([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}, binary.BigEndian.AppendUint32(nil, id)...)
	_, _ = conn.Write(append(frame, payload...)) // the client may have gone
}
