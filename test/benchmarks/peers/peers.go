// Package peers adapts each library to the benchmarks. An adapter uses its library as an
// application would and adds nothing.
package peers

import "github.com/tokencache/tokencache/test/benchmarks/peer"

// Ours returns tokencache.
func Ours() peer.Peer { return tokencachePeer }

// Others returns the libraries that tokencache is compared with.
func Others() []peer.Peer {
	return []peer.Peer{oauth2Peer, smithyPeer, googlePeer, azcorePeer, k8sPeer, orasPeer, gophercloudPeer}
}

// All returns all libraries, tokencache last.
func All() []peer.Peer { return append(Others(), Ours()) }

// must panics on an error that only a bug in an adapter can cause.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
