package emulator

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// maxSocketConns is the maximum number of connections of a loopback host's client. Each connection
// takes two file descriptors of the process.
const maxSocketConns = 1024

// A Host serves a handler on a listener, and has a client that reaches it. Its methods are safe for
// concurrent use.
type Host struct {
	// URL is the base URL, without a trailing slash.
	URL string

	http   *http.Server
	client *http.Client
	stop   context.CancelFunc // cancels the contexts of all requests
	conns  sync.WaitGroup     // the serving loop and the open connections
	close  sync.Once
}

// Serve serves on a loopback socket. It panics if it cannot listen.
func Serve(h http.Handler) *Host {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic("cannot listen on a loopback socket: " + err.Error())
	}
	return serveOn(l, h, &http.Transport{
		MaxConnsPerHost:     maxSocketConns,
		MaxIdleConnsPerHost: maxSocketConns,
	})
}

// ServePipe serves on the in-memory network.
func ServePipe(h http.Handler) *Host {
	return serveOn(listenPipe(), h, &http.Transport{
		DialContext:         dialPipe,
		MaxIdleConnsPerHost: 1 << 20,
	})
}

func serveOn(l net.Listener, handler http.Handler, transport *http.Transport) *Host {
	ctx, cancel := context.WithCancel(context.Background())
	h := &Host{
		URL:    "http://" + l.Addr().String(),
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

// Client returns a client that reaches the handler. Every call returns the same client.
func (h *Host) Client() *http.Client { return h.client }

// Close aborts the requests in progress, waits until their handlers have returned, and closes all
// connections. Later calls wait for the first.
func (h *Host) Close() {
	h.close.Do(func() {
		h.stop()
		h.http.Close()
		h.conns.Wait()
		h.client.CloseIdleConnections()
	})
}
