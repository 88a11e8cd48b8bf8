package emulator

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
)

// network is the in-memory network of the process: its listeners by port. A port is never used
// again, so that no client reaches a later server by mistake.
var network = struct {
	sync.Mutex
	lastPort  int
	listeners map[string]*pipeListener
}{lastPort: 10000, listeners: make(map[string]*pipeListener)}

var errRefused = errors.New("connection refused: no in-memory server listens on this port")

// A pipeListener accepts connections from dialPipe. It waits only on channels, so a goroutine that
// waits in it is durably blocked in the sense of testing/synctest.
type pipeListener struct {
	port   string
	conns  chan net.Conn
	closed chan struct{}
	close  sync.Once
}

func listenPipe() *pipeListener {
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	network.Lock()
	defer network.Unlock()
	network.lastPort++
	l.port = strconv.Itoa(network.lastPort)
	network.listeners[l.port] = l
	return l
}

// dialPipe connects to the in-memory server that listens on the port of address.
func dialPipe(ctx context.Context, _, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	network.Lock()
	l := network.listeners[port]
	network.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "pipe", Addr: pipeAddr(address), Err: errRefused}
	}
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		err = &net.OpError{Op: "dial", Net: "pipe", Addr: pipeAddr(address), Err: errRefused}
	case <-ctx.Done():
		err = ctx.Err()
	}
	near.Close()
	far.Close()
	return nil, err
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.close.Do(func() {
		network.Lock()
		delete(network.listeners, l.port)
		network.Unlock()
		close(l.closed)
	})
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr("127.0.0.1:" + l.port) }

// A pipeAddr is an address on the in-memory network.
type pipeAddr string

func (pipeAddr) Network() string  { return "pipe" }
func (a pipeAddr) String() string { return string(a) }
