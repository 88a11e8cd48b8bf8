package tokencache

import (
	"bytes"
	"net/http"
)

// What a failed request says of the password or refresh token that it carried, and whether the same
// request would fail again, as far as one answer alone tells.

// isServerError reports whether the server itself answered that it has failed.
func isServerError(e *Error) bool {
	return e.StatusCode >= 500 && !isBusy(e.StatusCode) && !e.Permanent
}

// isPermanent tells a structured refusal from what may go away by itself: statuses that say so, 5xx,
// and the HTML or empty 4xx of a proxy.
func isPermanent(status int, structured bool) bool {
	switch {
	case isBusy(status):
		return false
	case status == http.StatusLocked:
		return true
	case status < 300:
		return structured
	case status >= 400 && status <= 499:
		return structured || status == http.StatusUnauthorized || status == http.StatusForbidden
	}
	return false
}

// refuses reports whether an answer is a refusal, by a server that works.
func refuses(e *Error) bool {
	return e.Permanent && e.StatusCode != 0 && e.kind != ErrRefreshTokenSpent
}

// refusesPassword reports whether a failure is a refusal of the user's credentials, however it is put.
// Any answer is one that is no failure of the server or of a proxy, if it does not refuse something
// that servers look at first.
func refusesPassword(e *Error) bool {
	switch {
	case refusesEarly(e):
		return false
	case e.Permanent, e.StatusCode >= 300 && e.StatusCode <= 399:
		return true
	}
	switch e.StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusLocked:
		return !failsByCode(e)
	}
	return false
}

// mayCountPassword reports whether a server may have counted the user's credentials as wrong: it has
// failed or has not answered, but it did not say that it was too busy to look.
func mayCountPassword(e *Error) bool {
	if e.StatusCode == 0 {
		return e.reached
	}
	return !refusesEarly(e) && !isUnseen(e.StatusCode) && e.Code != "temporarily_unavailable"
}

// A fate is what a failed refresh request says of the refresh token that it carried.
type fate int

const (
	fateGood    fate = iota // the server did not look at it
	fateRefused             // it is not valid
	fateFailed              // the server failed, and says that nothing was issued
	fateUnclear             // some servers answer so to a used token, others when a transaction of their own failed
	fateLost                // there is no answer: it may have been consumed
)

// fateOf returns what a failed refresh request says of the refresh token. A belief is in it: that a
// server whose answer is an error has not issued other tokens.
func fateOf(e *Error) fate {
	switch {
	case refusesEarly(e), e.Code == "temporarily_unavailable":
		return fateGood
	case e.Code == "invalid_grant":
		return fateRefused
	case e.StatusCode == 0 && !e.reached, isUnseen(e.StatusCode):
		return fateGood
	case e.StatusCode == 0, isBusy(e.StatusCode),
		e.server == nil, // a user's function panicked
		e.StatusCode < 300 && e.Code == "":
		return fateLost
	case e.StatusCode >= 500 || e.Code == "server_error":
		return fateFailed
	case e.kind == ErrLocked, e.retrieve != nil && isPage(e.retrieve.Body): // of a proxy
		return fateFailed
	case e.kind == ErrInvalidGrant && e.Code != "invalid_request" && !isWordless(e):
		return fateRefused
	case isUnclear(e):
		return fateUnclear
	}
	return fateFailed
}

// failedAtServer reports whether a refresh request failed with an error of the server's own, or with
// what may be one.
func failedAtServer(e *Error) bool {
	fate := fateOf(e)
	return fate == fateFailed || fate == fateUnclear
}

func isPage(body []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) }

// isUnclear reports whether a refusal can be about the refresh token, although it does not say so: its
// code is the server's own or about a parameter, or its body is empty.
func isUnclear(e *Error) bool {
	switch {
	case e.Code != "":
		return true
	case e.StatusCode == http.StatusUnprocessableEntity:
		return e.Permanent
	case e.StatusCode == http.StatusBadRequest, e.StatusCode == http.StatusUnauthorized, e.StatusCode == http.StatusForbidden:
		return e.retrieve != nil && len(e.retrieve.Body) == 0
	}
	return false
}

// isWordless reports whether a 401 says nothing more: a proxy can have sent it.
func isWordless(e *Error) bool {
	return e.StatusCode == http.StatusUnauthorized && e.Code == "" && e.retrieve != nil &&
		!bytes.HasPrefix(bytes.TrimSpace(e.retrieve.Body), []byte("{"))
}
