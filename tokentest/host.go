package tokentest

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// maxSocketConns is the maximum number of connections of a loopback host's client. Each connection
// takes two file descriptors of the process.
const maxSocketConns = 1024

// A host serves a handler on a listener, and has a client that reaches it.
type host struct {
	url    string
	http   *http.Server
	client *http.Client
	stop   context.CancelFunc // cancels the contexts of all requests
	conns  sync.WaitGroup     // the serving loop and the open connections
	close  sync.Once
}

// newSocketHost serves on a loopback socket. It panics if it cannot listen.
func newSocketHost(h http.Handler) *host {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic("tokentest: " + err.Error())
	}
	return serveOn(l, h, &http.Transport{
		MaxConnsPerHost:     maxSocketConns,
		MaxIdleConnsPerHost: maxSocketConns,
	})
}

// newPipeHost serves on the in-memory network.
func newPipeHost(h http.Handler) *host {
	return serveOn(listenPipe(), h, &http.Transport{
		DialContext:         dialPipe,
		MaxIdleConnsPerHost: 1 << 20,
	})
}

func serveOn(l net.Listener, handler http.Handler, transport *http.Transport) *host {
	ctx, cancel := context.WithCancel(context.Background())
	h := &host{
		url:    "http://" + l.Addr().String(),
		client: &http.Client{Transport: transport},
		stop:   cancel,
	}
	h.http = &http.Server{
		Handler:     handler,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnState: func(c net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				h.conns.Add(1)
				if ctx.Err() != nil { // http.Server.Close has missed this connection
					c.Close()
				}
			case http.StateClosed, http.StateHijacked:
				h.conns.Done()
			}
		},
	}
	h.conns.Go(func() { h.http.Serve(l) })
	return h
}

// shut aborts the requests in progress, waits until their handlers have returned, and closes all
// connections. Later calls wait for the first.
func (h *host) shut() {
	h.close.Do(func() {
		h.stop()
		h.http.Close()
		h.conns.Wait()
		h.client.CloseIdleConnections()
	})
}
