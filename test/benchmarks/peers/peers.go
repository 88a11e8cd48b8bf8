// Package peers has the adapters: each library as its users use it, and nothing more.
package peers

import "github.com/tokencache/tokencache/test/benchmarks/peer"

// Ours is the library that the others are compared with.
func Ours() peer.Peer { return tokencachePeer }

// Others are the libraries beside it.
func Others() []peer.Peer {
	return []peer.Peer{oauth2Peer, smithyPeer, googlePeer, azcorePeer, k8sPeer, orasPeer, gophercloudPeer}
}

// All are all of them, ours last.
func All() []peer.Peer { return append(Others(), Ours()) }

// must is for errors that only a wrong adapter can cause.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
