package replay_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/tokencache/tokencache/internal/replay"
)

func TestInspect(t *testing.T) {
	full := func(values ...string) []string { return values[:len(values):len(values)] }
	roomy := make([]string, 1, 2)
	for _, row := range []struct {
		name              string
		header            http.Header
		authorized, spare bool
	}{
		{"nil", nil, false, false},
		{"empty", http.Header{}, false, false},
		{"others", http.Header{"Accept": full("a"), "X-Authorization": full("b"), "Authorizatiox": full("c")}, false, false},
		{"authorized", http.Header{"Authorization": full("Bearer mine")}, true, false},
		{"in another case", http.Header{"aUTHORIZATION": full("Bearer mine")}, true, false},
		{"without a value", http.Header{"Authorization": nil}, true, false},
		{"with spare capacity", http.Header{"Accept": roomy}, false, true},
		{"empty with spare capacity", http.Header{"Accept": make([]string, 0, 1)}, false, true},
		{"both", http.Header{"Authorization": full("a"), "Accept": roomy, "X-A": full("b")}, true, true},
		{"both in one", http.Header{"authorization": roomy}, true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			authorized, spare := replay.Inspect(row.header)
			if authorized != row.authorized || spare != row.spare {
				t.Errorf("authorized %t, spare %t; want %t, %t", authorized, spare, row.authorized, row.spare)
			}
		})
	}
}

func TestBodyCanBeHadAgain(t *testing.T) {
	first, second := io.NopCloser(strings.NewReader("first")), io.NopCloser(strings.NewReader("second"))
	get := func(body io.ReadCloser, err error) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return body, err }
	}
	for _, row := range []struct {
		name string
		req  *http.Request
		want io.ReadCloser
		ok   bool
	}{
		{"none", &http.Request{}, nil, true},
		{"NoBody", &http.Request{Body: http.NoBody}, http.NoBody, true},
		{"without GetBody", &http.Request{Body: first}, nil, false},
		{"with GetBody", &http.Request{Body: first, GetBody: get(second, nil)}, second, true},
		{"GetBody fails", &http.Request{Body: first, GetBody: get(nil, errors.New("gone"))}, nil, false},
		{"none with GetBody", &http.Request{GetBody: get(second, nil)}, nil, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			if body, ok := replay.Body(row.req); body != row.want || ok != row.ok {
				t.Errorf("got %v, %t; want %v, %t", body, ok, row.want, row.ok)
			}
		})
	}
}

// roomyHeader returns a header whose values have spare capacity, with something in it that must stay.
func roomyHeader() http.Header {
	h := http.Header{"Authorization": {"mine"}, "None": nil}
	for _, name := range []string{"Accept", "X-Several"} {
		values := []string{"1", "2", "spare", "spare"}
		h[name] = values[:2]
	}
	return h
}

// whole is a copy of a header that includes the spare capacity of its values.
func whole(h http.Header) map[string][]string {
	out := map[string][]string{}
	for name, values := range h {
		out[name] = append([]string{}, values[:cap(values)]...)
	}
	return out
}

func TestCopyHasItsOwnBodyAndAuthorization(t *testing.T) {
	for name, header := range map[string]http.Header{"nil header": nil, "empty header": {}, "header": roomyHeader()} {
		t.Run(name, func(t *testing.T) {
			req := &http.Request{
				Method: "POST", URL: &url.URL{Host: "a"}, Header: header, ContentLength: 4, Host: "b", Body: io.NopCloser(strings.NewReader("mine")),
			}
			before, body := *req, io.NopCloser(strings.NewReader("body"))
			out := replay.Copy(req, body, "Bearer token", false)
			if out.Method != "POST" || out.URL != req.URL || out.ContentLength != 4 || out.Host != "b" || out.Body != body {
				t.Errorf("the copy is %+v", out)
			}
			want := http.Header{"Authorization": {"Bearer token"}}
			for name, values := range header {
				if name != "Authorization" {
					want[name] = values
				}
			}
			if !reflect.DeepEqual(out.Header, want) {
				t.Errorf("header: got %v, want %v", out.Header, want)
			}
			if !reflect.DeepEqual(*req, before) {
				t.Errorf("the caller's request is %+v", req)
			}
		})
	}
}

func TestCopyLeavesTheCallersHeaderAlone(t *testing.T) {
	req := &http.Request{Header: roomyHeader()}
	before := whole(req.Header)
	out := replay.Copy(req, nil, "Bearer token", true)
	for name := range out.Header {
		out.Header[name] = append(out.Header[name], "appended")
	}
	out.Header.Del("Accept")
	out.Header.Set("X-Added", "1")
	if got := whole(req.Header); !reflect.DeepEqual(got, before) {
		t.Errorf("the caller's header is %v, was %v", got, before)
	}
}

// Every request is copied, so a copy must not cost more than it has to.
func TestCopyIsThreeAllocations(t *testing.T) {
	req := &http.Request{Header: http.Header{"Accept": {"a"}}}
	if got := testing.AllocsPerRun(100, func() { replay.Copy(req, nil, "Bearer token", true) }); got > 3 {
		t.Errorf("%v allocations, want at most 3: the request with its value, and the map", got)
	}
}
