package tokentest_test

import (
	"testing"
	"time"

	"github.com/tokencache/tokencache/tokentest"
)

func TestTokenLife(t *testing.T) {
	runRows(t, []row{
		{"expiry", tokentest.Behavior{Lifetime: time.Minute}, func(h harness) {
			access := h.access(clientForm)
			time.Sleep(time.Minute - 1)
			h.wantStatus("1 ns before", h.api("/", access, ""), 200)
			want(h, "live", len(h.Live()), 1)
			time.Sleep(time.Nanosecond)
			h.wantStatus("at the expiry", h.api("/", access, ""), 401)
			want(h, "live", len(h.Live()), 0)
			want(h, "expired before", h.Requests()[1].Expired, false)
			want(h, "expired at", h.Requests()[2].Expired, true)
			want(h, "used", h.Tokens()[0].Used, 1)
		}},
		{"Rotate", tokentest.Behavior{Rotate: true}, func(h harness) {
			first := h.token(aliceForm)
			second := h.refresh(first.field("refresh_token"))
			h.wantRefused("spent", h.refresh(first.field("refresh_token")), 400, "invalid_grant")
			info, _ := h.Introspect(first.field("refresh_token"))
			want(h, "spent", info.Spent, true)
			want(h, "spent twice", info.SpentTwice, 1)
			h.wantStatus("family is valid", h.refresh(second.field("refresh_token")), 200)
			h.wantStatus("access token is valid", h.api("/", second.field("access_token"), ""), 200)
		}},
		{"DetectReuse", tokentest.Behavior{Rotate: true, DetectReuse: true}, func(h harness) {
			other := h.access(aliceForm)
			first := h.token(aliceForm)
			second := h.refresh(first.field("refresh_token"))
			h.wantRefused("spent", h.refresh(first.field("refresh_token")), 400, "invalid_grant")
			h.wantRefused("its successor", h.refresh(second.field("refresh_token")), 400, "invalid_grant")
			h.wantStatus("first access token", h.api("/", first.field("access_token"), ""), 401)
			h.wantStatus("second access token", h.api("/", second.field("access_token"), ""), 401)
			h.wantStatus("another family", h.api("/", other, ""), 200)
		}},
		{"SameToken", tokentest.Behavior{SameToken: true, Lifetime: 3 * time.Second}, func(h harness) {
			first := h.access(clientForm)
			time.Sleep(1500 * time.Millisecond)
			r := h.token(clientForm)
			want(h, "access token", r.field("access_token"), first)
			want(h, "expires_in", r.fields["expires_in"], any(2.0))
			want(h, "other scope", h.access(clientForm+"&scope=x") != first, true)
			time.Sleep(1500 * time.Millisecond)
			want(h, "after the expiry", h.access(clientForm) != first, true)
		}},
		{"SameToken with refresh", tokentest.Behavior{SameToken: true}, func(h harness) {
			first, again := h.token(aliceForm), h.token(aliceForm)
			want(h, "refresh token", again.field("refresh_token"), first.field("refresh_token"))
			renewed := h.refresh(first.field("refresh_token")).field("access_token")
			want(h, "renewed", renewed != first.field("access_token"), true)
			want(h, "current", h.access(aliceForm), renewed)
			h.RevokeAll()
			want(h, "after revocation", h.access(aliceForm) != renewed, true)
		}},
		{"SingleToken", tokentest.Behavior{}, func(h harness) {
			old, older, alice := h.access(clientForm), h.access(clientForm), h.access(aliceForm)
			h.Update(func(b *tokentest.Behavior) { b.SingleToken = true })
			h.wantStatus("before", h.api("/", old, ""), 200)
			newest := h.access(clientForm + "&scope=other")
			h.wantStatus("old", h.api("/", old, ""), 401)
			h.wantStatus("older", h.api("/", older, ""), 401)
			h.wantStatus("newest", h.api("/", newest, ""), 200)
			h.wantStatus("another subject", h.api("/", alice, ""), 200)
		}},
		{"LockAfter", tokentest.Behavior{LockAfter: 2}, func(h harness) {
			h.token(wrongForm)
			r := h.token(aliceForm) // resets the count
			h.wantRefused("first", h.token(wrongForm), 400, "invalid_grant")
			h.wantStatus("not locked yet", h.api("/", r.field("access_token"), ""), 200)
			h.wantRefused("second", h.token(wrongForm), 400, "invalid_grant")
			h.wantStatus("a token of the locked user", h.api("/", r.field("access_token"), ""), 401)
			h.wantRefused("right password", h.token(aliceForm), 423, "locked")
			h.wantRefused("refresh", h.refresh(r.field("refresh_token")), 423, "locked")
			h.Unlock("alice")
			h.wantRefused("refresh", h.refresh(r.field("refresh_token")), 400, "invalid_grant")
			h.wantStatus("unlocked", h.token(aliceForm), 200)
		}},
		{"RevokeAll", tokentest.Behavior{}, func(h harness) {
			r := h.token(aliceForm)
			h.RevokeAll()
			h.wantStatus("api", h.api("/", r.field("access_token"), ""), 401)
			want(h, "logged as revoked", h.Requests()[1].Revoked, true)
			h.wantStatus("refresh", h.refresh(r.field("refresh_token")), 200)
		}},
		{"RevokeSubject", tokentest.Behavior{}, func(h harness) {
			alice, client := h.token(aliceForm), h.access(clientForm)
			h.RevokeSubject("alice")
			h.wantStatus("alice", h.api("/", alice.field("access_token"), ""), 401)
			h.wantStatus("client", h.api("/", client, ""), 200)
			h.wantStatus("refresh", h.refresh(alice.field("refresh_token")), 200)
			h.RevokeSubject("client")
			h.wantStatus("client", h.api("/", client, ""), 401)
		}},
		{"Revoke", tokentest.Behavior{}, func(h harness) {
			r := h.token(aliceForm)
			want(h, "unknown", h.Revoke("x"), false)
			want(h, "known", h.Revoke(r.field("refresh_token")), true)
			h.wantRefused("refresh", h.refresh(r.field("refresh_token")), 400, "invalid_grant")
			want(h, "asked by request", h.Tokens()[1].RevokeAsked, false)
		}},
	})
}

func TestRevocationEndpoint(t *testing.T) {
	runRows(t, []row{
		{"access token", tokentest.Behavior{}, func(h harness) {
			r := h.token(aliceForm)
			h.wantStatus("revoke", h.revoke(r.field("access_token")), 200)
			h.wantStatus("api", h.api("/", r.field("access_token"), ""), 401)
			h.wantStatus("refresh", h.refresh(r.field("refresh_token")), 200)
			want(h, "asked", h.Tokens()[0].RevokeAsked, true)
			want(h, "not asked", h.Tokens()[1].RevokeAsked, false)
			want(h, "subject", h.Requests()[1].Subject, "alice")
		}},
		{"refresh token", tokentest.Behavior{}, func(h harness) {
			r := h.token(aliceForm)
			other := h.refresh(r.field("refresh_token")).field("access_token")
			h.wantStatus("revoke", h.revoke(r.field("refresh_token")), 200)
			h.wantStatus("access token", h.api("/", r.field("access_token"), ""), 401)
			h.wantStatus("other access token", h.api("/", other, ""), 401)
			h.wantRefused("refresh", h.refresh(r.field("refresh_token")), 400, "invalid_grant")
			want(h, "live", len(h.Live()), 0)
		}},
		{"refusals", tokentest.Behavior{}, func(h harness) {
			access := h.access(clientForm)
			h.wantStatus("unknown", h.revoke("x"), 200)
			h.wantRefused("no token", h.revoke(""), 400, "invalid_request")
			h.wantRefused("wrong client", h.post(h.RevokeURL(), "token="+access+"&client_id=x&client_secret=y"), 401, "invalid_client")
			h.wantRefused("GET", h.do(h.request("GET", h.RevokeURL(), "")), 405, "invalid_request")
			h.wantStatus("api", h.api("/", access, ""), 200)
			want(h, "asked, but refused", h.Tokens()[0].RevokeAsked, true)
		}},
	})
}
