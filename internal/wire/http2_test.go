package wire_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokencache/tokencache/internal/rawhttp2"
	"github.com/tokencache/tokencache/internal/wire"
)

// What net/http says of a stream that ended without an answer is text alone. This test fails when a
// version of Go words it differently.
func TestStreamThatEndsWithoutAnAnswerIsSentOnce(t *testing.T) {
	for _, row := range []struct {
		name    string
		end     func(*rawhttp2.Stream)
		reached bool
	}{
		{"reset with PROTOCOL_ERROR", func(s *rawhttp2.Stream) { s.Reset(rawhttp2.ProtocolError) }, true},
		{"reset with INTERNAL_ERROR", func(s *rawhttp2.Stream) { s.Reset(rawhttp2.InternalError) }, true},
		{"reset with NO_ERROR", func(s *rawhttp2.Stream) { s.Reset(rawhttp2.NoError) }, true},
		{"reset with REFUSED_STREAM", func(s *rawhttp2.Stream) { s.Reset(rawhttp2.RefusedStream) }, false},
		{"goes away before it", func(s *rawhttp2.Stream) { s.GoAway(s.ID-1, rawhttp2.NoError) }, false},
		{"goes away before it, with an error", func(s *rawhttp2.Stream) { s.GoAway(s.ID-1, rawhttp2.EnhanceYourCalm) }, false},
		{"goes away before it, with an unknown error", func(s *rawhttp2.Stream) { s.GoAway(s.ID-1, 0xbad) }, false},
		{"goes away after it", func(s *rawhttp2.Stream) { s.GoAway(s.ID, rawhttp2.NoError); s.Close() }, true},
		{"goes away after it, with an error", func(s *rawhttp2.Stream) { s.GoAway(s.ID, rawhttp2.EnhanceYourCalm); s.Close() }, true},
		{"closes the connection", func(s *rawhttp2.Stream) { s.Close() }, true},
	} {
		for _, first := range []bool{true, false} {
			for _, method := range []string{"POST", "GET", "PUT", "DELETE", "PURGE"} {
				for _, body := range []string{"", "secret"} {
					name := row.name + " " + method + " " + body
					if first {
						name += ", the first of its connection"
					}
					t.Run(name, func(t *testing.T) {
						srv := rawhttp2.Serve(t, func(s *rawhttp2.Stream) {
							if s.Body == "warm-up" {
								s.Answer("{}")
								return
							}
							row.end(s)
						})
						client := wire.New(srv.Client(), 1)
						want := []string{body}
						if !first {
							want = []string{"warm-up", body}
							if ans, err := client.Do(t.Context(), request(t, "POST", srv.URL, "warm-up"), now); err != nil || string(ans.Body) != "{}" {
								t.Fatalf("%v, %v", ans, err)
							}
						}
						var reader io.Reader
						if body != "" {
							reader = strings.NewReader(body)
						}
						req, _ := http.NewRequest(method, srv.URL, reader)
						req.Header.Set("Authorization", "Basic c2VjcmV0")
						ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
						defer cancel()
						ans, err := client.Do(ctx, req, now)
						l := lost(t, ans, err)
						// A request that is not given an empty body is stopped when net/http is about to send it
						// again, and what the server said is lost.
						stopped := body == "" && method != "GET" && method != "DELETE" && strings.Contains(err.Error(), "is not sent again")
						if l.Reached != row.reached && !(stopped && l.Reached) {
							t.Errorf("%v: reached %t, want %t", err, l.Reached, row.reached)
						}
						if got := srv.Bodies(); !slices.Equal(got, want) {
							t.Errorf("%d requests arrived, want %d", len(got), len(want))
						}
					})
				}
			}
		}
	}
}
