package tokencache

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// The errors that callers branch on, for [errors.Is].
var (
	// ErrClosed says that the cache is closed; see [Cache.Shutdown] and [Cache.Close].
	ErrClosed = errors.New("tokencache: the cache is closed")

	// ErrHeldOff says that a request was not sent because an earlier one failed. The error also
	// wraps the earlier one's. [Source.Reset] ends a hold-off, but not the wait for a refresh token whose
	// last answer was lost or unclear.
	ErrHeldOff = errors.New("tokencache: held off after an earlier failure")

	// ErrInvalidClient says that the server refused the client itself: check Config.ClientID and
	// Config.Auth.
	ErrInvalidClient = errors.New("tokencache: the client was refused; check Config.ClientID and Config.Auth")

	// ErrInvalidGrant says that the server refused the user's password, the refresh token or the
	// authorization code, or that a session has no refresh token. The user has to log in again.
	ErrInvalidGrant = errors.New("tokencache: the grant was refused; the user has to log in again")

	// ErrLocked says that the user is locked out (423). Sending the password again makes it worse.
	ErrLocked = errors.New("tokencache: the user is locked; unlock the user, then call Source.Reset")

	// ErrUnavailable says that the server could not be reached, did not answer, or answered that it
	// has failed or is too busy; of a refresh also that the answer says nothing definite about the
	// refresh token. A later request can succeed.
	ErrUnavailable = errors.New("tokencache: the authorization server is unavailable")

	// ErrRefreshTokenSpent says that a refresh token is not sent again, because it was replaced by a
	// later one or revoked, or was refused after a failure that had left it in doubt whether it was
	// consumed. With Config.NeverResendRefreshToken the doubt is enough. It is an ErrInvalidGrant as
	// well.
	ErrRefreshTokenSpent error = &narrowed{"tokencache: the refresh token was replaced, revoked or consumed; the user has to log in again", ErrInvalidGrant}
)

// A narrowed error is a case of another one.
type narrowed struct {
	text string
	of   error
}

func (e *narrowed) Error() string { return e.text }

func (e *narrowed) Unwrap() error { return e.of }

// errReentrant is returned instead of a deadlock.
var errReentrant = errors.New("tokencache: this token was asked for from inside its own fetch (by a hook, a grant or the HTTP client); " +
	"use the token that the hook was given, and give Config.HTTPClient a transport of its own")

var errNotMade = errors.New("tokencache: this Cache or Source was not made by New; use New and the methods of the Cache it returns")

// A server is the identity of a cache's authorization server in the errors that are about it.
type server struct{ _ byte }

// otherServer is in the errors of foreign libraries.
var otherServer = new(server)

// Operations of this package, for Error.Op.
const (
	opToken      = "token request"
	opRevocation = "revocation"
)

// An Error is a request to the authorization server that failed. It holds no secret: what the
// server sent is scrubbed of every credential that the request carried.
//
// It unwraps to one of the sentinel errors of this package where one applies, to the cause, and,
// when the server answered, to an [oauth2.RetrieveError] whose Response has no Request.
type Error struct {
	Op          string        // what was tried: "token request", "revocation", or the operation given to Cache.Send
	Grant       string        // the grant_type of a token request, otherwise the grant's name; empty outside of one
	URL         string        // where it was sent, without query
	StatusCode  int           // of the answer, 0 if there was none
	Code        string        // OAuth error code (RFC 6749 section 5.2), or the provider's own
	Description string        // the server's explanation
	RequestID   string        // the server's identifier of the request, for its support
	RetryAfter  time.Duration // how long the server asked to wait, 0 if it did not
	Permanent   bool          // the same request would fail again
	Err         error         // the cause, nil if the other fields say it all

	server   *server // where the request went; nil if a grant made the error
	kind     error   // the sentinel, of an error of this package
	retrieve *oauth2.RetrieveError
	reached  bool // the request may have reached the server
	unseen   bool // a server that can be reached has not seen the request
	lost     bool // the refresh token that it carried may have been consumed
	empty    bool // the answer had no body
}

// Error says what failed, how the server put it, and what to do where that is known.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("tokencache: " + e.Op)
	if e.Grant != "" {
		b.WriteString(" (" + e.Grant + ")")
	}
	if e.URL != "" {
		b.WriteString(" to " + e.URL)
	}
	b.WriteString(" failed")
	sep := ": "
	add := func(s string) {
		if s != "" {
			b.WriteString(sep + s)
			sep = ": "
		}
	}
	if e.StatusCode != 0 {
		add(strings.TrimSpace(fmt.Sprintf("%d %s", e.StatusCode, http.StatusText(e.StatusCode))))
	}
	add(e.Code)
	add(e.Description)
	for _, err := range []error{e.Err, e.sentinel()} {
		if err != nil {
			add(strings.TrimPrefix(err.Error(), "tokencache: "))
		}
	}
	if e.RequestID != "" {
		b.WriteString(" (request ID " + e.RequestID + ")")
	}
	return b.String()
}

// Unwrap returns the sentinel, the cause and the [oauth2.RetrieveError], as far as there are any.
func (e *Error) Unwrap() []error {
	var errs []error
	for _, err := range []error{e.sentinel(), e.Err} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if e.retrieve != nil {
		errs = append(errs, e.retrieve)
	}
	return errs
}

// sentinel returns the sentinel error that applies, or nil. A grant's own error is judged by its
// fields.
func (e *Error) sentinel() error {
	if e.kind == nil && e.server == nil {
		return kindOf(e)
	}
	return e.kind
}

// A HeldOffError says that a request was not sent because of an earlier failure, and until when. It
// wraps [ErrHeldOff] and the earlier failure. Of a failure that was about a user's credentials only an
// [*Error] is kept, without Err and the answer's body, and with texts that can be cut short.
type HeldOffError struct {
	Until time.Time // when a request will be sent again; zero: after Source.Reset
	Err   error     // the earlier failure
}

// Error says until when, and what has failed.
func (e *HeldOffError) Error() string {
	end := "until Source.Reset is called"
	if !e.Until.IsZero() {
		end = "until " + e.Until.UTC().Format(time.RFC3339)
	}
	if e.Err == nil {
		return "tokencache: held off " + end
	}
	return fmt.Sprintf("tokencache: held off %s after: %s", end, strings.TrimPrefix(e.Err.Error(), "tokencache: "))
}

// Unwrap returns [ErrHeldOff] and the earlier failure.
func (e *HeldOffError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrHeldOff}
	}
	return []error{ErrHeldOff, e.Err}
}

// unseenStatuses are the answers of a server that has not looked at the request, gatewayStatuses those
// of a proxy that does not know whether the server has.
var (
	unseenStatuses  = []int{http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusServiceUnavailable}
	gatewayStatuses = []int{http.StatusBadGateway, http.StatusGatewayTimeout}
)

func isUnseen(status int) bool { return slices.Contains(unseenStatuses, status) }

func isBusy(status int) bool { return isUnseen(status) || slices.Contains(gatewayStatuses, status) }

// failsByCode reports whether the code says that the server has failed, whatever the status is.
func failsByCode(e *Error) bool {
	return e.Code == "temporarily_unavailable" || e.Code == "server_error"
}

// kindOf returns the sentinel error for an answer, or nil. Servers disagree about statuses, so the
// code comes first.
func kindOf(e *Error) error {
	switch {
	case e.Code == "invalid_client":
		return ErrInvalidClient
	case e.Code == "invalid_grant":
		return ErrInvalidGrant
	case e.StatusCode == http.StatusLocked:
		return ErrLocked
	case isBusy(e.StatusCode) || e.StatusCode >= 500 || failsByCode(e):
		return ErrUnavailable
	case e.Grant == "client_credentials" && (e.StatusCode == http.StatusUnauthorized || refusesSilently(e)):
		return ErrInvalidClient
	case refusesSilently(e):
		return ErrInvalidGrant
	case e.Op != opRevocation && refusesUser(e):
		return ErrInvalidGrant
	}
	return nil
}

// refusesEarly reports whether a server refuses something that it looks at before the user's
// credentials and the refresh token.
func refusesEarly(e *Error) bool {
	switch e.Code {
	case "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope":
		return true
	}
	return false
}

// refusesUser reports whether a refusal with an unusual code can only mean the password, the refresh
// token or the authorization code.
func refusesUser(e *Error) bool {
	switch {
	case refusesEarly(e):
		return false
	case e.Code == "invalid_request":
		return e.Grant == "refresh_token" || e.Grant == "password" && e.StatusCode == http.StatusBadRequest
	}
	byUser := e.Grant == "password" || e.Grant == "refresh_token" || e.Grant == "authorization_code"
	return byUser && e.Permanent && (e.StatusCode == http.StatusBadRequest || e.StatusCode == http.StatusUnauthorized)
}

// refusesSilently reports whether an answer with nothing but a status can only be the refusal of the
// client, or of the password.
func refusesSilently(e *Error) bool {
	return e.empty && e.Code == "" && (e.Grant == "client_credentials" || e.Grant == "password") &&
		(e.StatusCode == http.StatusBadRequest || e.StatusCode == http.StatusForbidden)
}

// bareResponse is a response without its request.
func bareResponse(status int, header http.Header, body io.ReadCloser) *http.Response {
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header, Body: body,
	}
}
