package tokencache

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// The errors that callers branch on, for [errors.Is].
var (
	// ErrClosed is returned by the methods of a closed cache and its sources that ask for a token, send a request or
	// revoke one; see [Cache.Shutdown] and [Cache.Close].
	ErrClosed = errors.New("tokencache: the cache is closed")

	// ErrHeldOff says that a request was not sent because an earlier one failed; the earlier error is in the chain
	// too. [Source.Reset] ends a hold-off.
	ErrHeldOff = errors.New("tokencache: held off after an earlier failure")

	// ErrInvalidClient says that the server refused the client itself: check Config.ClientID and Config.Auth.
	ErrInvalidClient = errors.New("tokencache: the client was refused; check Config.ClientID and Config.Auth")

	// ErrInvalidGrant says that the server refused the user's password, the refresh token or the code.
	ErrInvalidGrant = errors.New("tokencache: the grant was refused; the user has to log in again")

	// ErrLocked says that the user is locked out (423). Sending the password again makes it worse.
	ErrLocked = errors.New("tokencache: the user is locked; unlock the user, then call Source.Reset")

	// ErrUnavailable says that the server could not be reached, or could not answer at the moment.
	ErrUnavailable = errors.New("tokencache: the authorization server is unavailable")

	// ErrRefreshTokenSpent says that a refresh token was refused before, was replaced by a later one, or may have been
	// consumed by a request whose answer was lost. It is not sent again, since reuse can end the whole session.
	ErrRefreshTokenSpent = errors.New("tokencache: the refresh token was refused, replaced or may be spent; the user has to log in again")
)

// errReentrant is returned instead of a deadlock.
var errReentrant = errors.New("tokencache: this token was asked for from inside its own fetch (by a hook, a grant or the HTTP client); " +
	"give Config.HTTPClient a transport of its own and use the token that the hook was given")

// A mark tells apart what has no other identity that may be shown.
type mark struct{ _ byte }

// elsewhere marks the errors of foreign libraries.
var elsewhere = new(mark)

// An Error is a request to the authorization server that failed. It holds no secret: what the server sent is scrubbed
// of every credential that the request carried.
//
// It unwraps to one of the sentinel errors of this package where one applies, to the cause, and, when the server
// answered, to an [oauth2.RetrieveError] whose Response has no Request.
type Error struct {
	Op          string        // what was tried: "token request", "revocation", or the operation given to Cache.Send
	Grant       string        // the grant_type of a token request, otherwise the grant's name; empty outside of one
	URL         string        // where it was sent, without query
	StatusCode  int           // of the answer, 0 if there was none
	Code        string        // OAuth error code (RFC 6749 section 5.2), or the provider's own
	Description string        // the server's explanation
	RequestID   string        // the server's name for the request, to be quoted to its support
	RetryAfter  time.Duration // how long the server asked to be left alone, 0 if it did not
	Permanent   bool          // trying again unchanged will fail again

	from     *mark // of the core whose server it was; nil if a grant made it
	kind     error
	cause    error
	retrieve *oauth2.RetrieveError
	reached  bool // the request may have reached the server
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
	for _, err := range []error{e.cause, e.kind} {
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
	for _, err := range []error{e.kind, e.cause} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if e.retrieve != nil {
		errs = append(errs, e.retrieve)
	}
	return errs
}

// heldOffError answers from memory.
type heldOffError struct {
	until time.Time // zero: until Reset
	cause error
}

func (e *heldOffError) Error() string {
	end := "until Source.Reset is called"
	if !e.until.IsZero() {
		end = "until " + e.until.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("tokencache: held off %s after: %s", end, strings.TrimPrefix(e.cause.Error(), "tokencache: "))
}

func (e *heldOffError) Unwrap() []error { return []error{ErrHeldOff, e.cause} }

// manyErrors is the outcome of an operation on many tokens: the first ten errors and how many there were.
type manyErrors struct {
	what  string
	first []error
	count int
}

const manyErrorsKept = 10

func (m *manyErrors) add(err error) {
	m.count++
	if len(m.first) < manyErrorsKept {
		m.first = append(m.first, err)
	}
}

func (m *manyErrors) err() error {
	if m.count == 0 {
		return nil
	}
	return m
}

func (m *manyErrors) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "tokencache: %s: %d failed", m.what, m.count)
	if m.count > len(m.first) {
		fmt.Fprintf(&b, ", the first %d are", len(m.first))
	}
	for i, err := range m.first {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		b.WriteString(sep + strings.TrimPrefix(err.Error(), "tokencache: "))
	}
	return b.String()
}

func (m *manyErrors) Unwrap() []error { return m.first }

// quoteShort shows what a server sent where it names something, cut so that it cannot flood a log.
func quoteShort(s string) string {
	if len(s) > 40 {
		s = s[:40] + "..."
	}
	return fmt.Sprintf("%q", s)
}
