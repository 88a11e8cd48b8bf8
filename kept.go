package tokencache

import (
	"errors"
	"net/http"
	"strings"
	"unique"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/holdoff"
)

const (
	keptDescription = 76 // bytes
	keptRequestID   = 36 // a UUID
	keptCode        = 30
)

// A keptError is what is remembered of an error that is about a user's credentials: no body, and few
// bytes, because there is one for each user name that anybody tries.
type keptError struct {
	origin    unique.Handle[origins]
	kind      error
	code      string
	texts     string // description and request ID
	described int16  // bytes of the description
	status    int16
	permanent bool
}

// origins are what the errors of a server have in common.
type origins struct {
	op, grant, url string
	server         *server
}

// keep returns what is remembered of an error of the server. Of one that it did not answer there is
// nothing to leave out.
func keep(e *Error) error {
	if e.StatusCode == 0 {
		return e
	}
	description := e.Description
	if description == "" && e.Err != nil {
		description = e.Err.Error()
	}
	description, id := cut(description, keptDescription), cut(e.RequestID, keptRequestID)
	return &keptError{
		origin: unique.Make(origins{e.Op, e.Grant, e.URL, e.server}), kind: e.sentinel(), code: unique.Make(cut(e.Code, keptCode)).Value(),
		texts: description + id, described: int16(len(description)), status: int16(e.StatusCode), permanent: e.Permanent,
	}
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most-len("…")], "") + "…"
}

func (k *keptError) restored() *Error {
	from := k.origin.Value()
	e := &Error{
		Op: from.op, Grant: from.grant, URL: from.url, StatusCode: int(k.status), Code: k.code,
		Description: k.texts[:k.described], RequestID: k.texts[k.described:], Permanent: k.permanent,
		server: from.server, kind: k.kind, reached: true,
	}
	e.retrieve = e.bareRetrieve()
	return e
}

// bareRetrieve is what is left of the answer without its header and body.
func (e *Error) bareRetrieve() *oauth2.RetrieveError {
	return &oauth2.RetrieveError{
		Response: bareResponse(e.StatusCode, http.Header{}, http.NoBody), ErrorCode: e.Code, ErrorDescription: e.Description,
	}
}

// withoutAnswer returns a copy without the answer's header and body.
func (e *Error) withoutAnswer() *Error {
	w := *e
	if w.retrieve != nil {
		w.retrieve = e.bareRetrieve()
	}
	return &w
}

func (k *keptError) Error() string { return k.restored().Error() }

// heldOff returns the error for a caller whose request is not sent because of a failure.
func heldOff(f *holdoff.Failure) error {
	if kept := (*keptError)(nil); errors.As(f.Err, &kept) {
		return &HeldOffError{f.Until, kept.restored()}
	}
	return &HeldOffError{f.Until, f.Err}
}
