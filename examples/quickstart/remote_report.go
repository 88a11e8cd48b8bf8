package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/tokencache/tokencache"
)

// A remoteReport holds the numbers of a run against the user's own server, as seen by the client.
type remoteReport struct {
	Goroutines    int            `json:"goroutines"`
	TokenRequests int            `json:"token_requests"`
	TokenSeconds  float64        `json:"token_lifetime_seconds"` // 0 if unknown
	GotToken      int            `json:"goroutines_with_token"`
	Gets          int            `json:"get_requests"`
	Answers       map[string]int `json:"get_answers,omitempty"`
	Revoked       int            `json:"revoked_on_shutdown"`
	NotRevoked    int            `json:"not_revoked_on_shutdown"`
	Seconds       float64        `json:"seconds"`
	Broken        []string       `json:"broken,omitempty"`

	mu sync.Mutex
}

func (r *remoteReport) broken() []string { return r.Broken }

// fail records a failure, once for any number of goroutines.
func (r *remoteReport) fail(what string, err error) {
	text := what + ": " + withoutURL(err).Error()
	if !slices.Contains(r.Broken, text) {
		r.Broken = append(r.Broken, text)
	}
}

// locked calls f with r.mu held.
func (r *remoteReport) locked(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// hooks returns hooks that count token requests and revocations.
func (r *remoteReport) hooks() tokencache.Hooks {
	return tokencache.Hooks{
		FetchStarted: func(ctx context.Context, _ tokencache.FetchInfo) context.Context {
			r.locked(func() { r.TokenRequests++ })
			return ctx
		},
		Revoked: func(_ context.Context, v tokencache.RevocationInfo) {
			r.locked(func() {
				if v.Err == nil {
					r.Revoked++
				} else {
					r.NotRevoked++
				}
			})
		},
	}
}

func (r *remoteReport) print(w io.Writer) {
	rows := []row{
		shown("goroutines", thousands(r.Goroutines)),
		shown("goroutines with a token", thousands(r.GotToken)),
		shown("token requests", thousands(r.TokenRequests)),
		shown("lifetime of the token", fmt.Sprintf("%v s", r.TokenSeconds)),
	}
	for _, status := range slices.Sorted(maps.Keys(r.Answers)) {
		rows = append(rows, shown("API answers "+status, thousands(r.Answers[status])))
	}
	rows = append(rows,
		shown("tokens revoked at shutdown", thousands(r.Revoked)),
		shown("revocations that failed", thousands(r.NotRevoked)))
	printRows(w, rows)
	fmt.Fprintf(w, "\nDone in %.1f s.\n", r.Seconds)
}
