package sensibill_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/provider/sensibill"
	"github.com/tokencache/tokencache/provider/sensibill/sensibilltest"
)

func TestATokenIsRefreshed(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("the refresh token stays %v", keep), func(t *testing.T) {
			inBubble(t, sensibilltest.Behavior{KeepRefreshToken: keep, RefreshLifetime: 30 * time.Hour}, nil, func(w *world) {
				src := w.alice()
				w.token(src)
				for i := range 5 {
					time.Sleep(3 * time.Hour)
					w.wantMe(src, "sensibill/"+alice)
					w.wantCounts(1, 1, i+1)
				}
			})
		})
	}
}

func TestARejectedTokenIsRefreshed(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, nil, func(w *world) {
		w.wantMe(w.alice(), "sensibill/"+alice)
		w.EndAccessTokens()
		w.wantMe(w.alice(), "sensibill/"+alice)
		w.wantCounts(1, 1, 1)
	})
}

func TestARefusedRefreshTokenStartsANewLogin(t *testing.T) {
	for _, status := range []int{400, 401} {
		for _, empty := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d, empty body %v", status, empty), func(t *testing.T) {
				inBubble(t, sensibilltest.Behavior{RefusedRefresh: status, EmptyErrors: empty}, nil, func(w *world) {
					w.wantMe(w.alice(), "sensibill/"+alice)
					w.EndAccessTokens()
					w.EndRefreshTokens()
					w.wantMe(w.alice(), "sensibill/"+alice)
					w.wantCounts(2, 2, 1)
					w.wantMe(w.user(bob, bobsPassword), "sensibill/"+bob) // other users are not held off
				})
			})
		}
	}
}

// The step after the refused refresh shows whether it was the client that was refused.
func TestARefusedClientIsDetectedAfterARefusedRefresh(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, nil, func(w *world) {
		w.token(w.alice())
		w.Update(func(b *sensibilltest.Behavior) { b.ClientSecret = "changed" })
		time.Sleep(3 * time.Hour)
		if err := w.refusal(w.alice()); !errors.Is(err, tokencache.ErrInvalidClient) {
			t.Errorf("got %v, want ErrInvalidClient", err)
		}
		w.calls(w.alice(), 50)
		w.wantCounts(2, 2, 1)
	})
}

func TestARefreshTokenIsNotSentAfterItExpires(t *testing.T) {
	const day = 24 * time.Hour
	for _, row := range []struct {
		name              string
		behavior          sensibilltest.Behavior
		idle              time.Duration
		grants, refreshes int
	}{
		{"the last moment", sensibilltest.Behavior{RefreshLifetime: 4 * time.Hour}, 4*time.Hour - 1, 1, 1},
		{"the end", sensibilltest.Behavior{RefreshLifetime: 4 * time.Hour}, 4 * time.Hour, 2, 0},
		{"shorter than the access token's", sensibilltest.Behavior{RefreshLifetime: time.Hour}, 3 * time.Hour, 2, 0},
		{"thirty days, the last moment", sensibilltest.Behavior{AccessLifetime: 20 * day, RefreshLifetime: 30 * day}, 30*day - 1, 1, 1},
		{"thirty days, the end", sensibilltest.Behavior{AccessLifetime: 20 * day, RefreshLifetime: 30 * day}, 30 * day, 2, 0},
		{"no refresh_expires_in", sensibilltest.Behavior{RefreshLifetime: 4 * time.Hour, NoRefreshExpiry: true}, 4 * time.Hour, 2, 1},
		{"there is none", sensibilltest.Behavior{NoRefreshToken: true}, 3 * time.Hour, 2, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, row.behavior, nil, func(w *world) {
				src := w.alice()
				w.token(src)
				time.Sleep(row.idle)
				w.wantMe(src, "sensibill/"+alice)
				w.wantCounts(row.grants, row.grants, row.refreshes)
			})
		})
	}
}

// refresh_expires_in counts from the latest answer.
func TestEachRefreshExtendsTheSession(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, nil, func(w *world) {
		src := w.alice()
		w.token(src)
		time.Sleep(5 * time.Hour)
		w.token(src)
		time.Sleep(5 * time.Hour)
		w.token(src)
		w.wantCounts(1, 1, 2)
		time.Sleep(6 * time.Hour)
		w.token(src)
		w.wantCounts(2, 2, 2)
	})
}

func TestAChangedPasswordDoesNotEndTheSession(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, nil, func(w *world) {
		src := w.alice()
		w.token(src)
		w.SetSecret("sensibill", alice, "changed")
		time.Sleep(3 * time.Hour)
		w.wantMe(src, "sensibill/"+alice)
		w.Disable("sensibill", alice)
		w.wantMe(src, "401 Unauthorized")
		w.wantCounts(2, 1, 2)
	})
}

func TestExtraFieldsOfTheAnswerAreKept(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{}, nil, func(w *world) {
		src := w.alice()
		first := w.token(src)
		time.Sleep(3 * time.Hour)
		second := w.token(src)
		if first.Extra("token_id") == "" || first.Extra("token_id") == second.Extra("token_id") {
			t.Errorf("token_id: got %v, then %v; want two", first.Extra("token_id"), second.Extra("token_id"))
		}
		for _, tok := range []interface{ Extra(string) any }{first, second} {
			if got := tok.Extra("refresh_expires_in"); got != 21600.0 {
				t.Errorf("refresh_expires_in: got %v, want 21600", got)
			}
		}
		if first.RefreshToken != "" || first.Extra("refresh_token") != nil {
			t.Error("the refresh token is exposed")
		}
	})
}

func TestAnAnswerWithoutATokenTypeIsABearerToken(t *testing.T) {
	for _, b := range []sensibilltest.Behavior{{NoTokenType: true}, {TokenType: "Bearer"}, {NoTokenType: true, NoRefreshToken: true}} {
		inBubble(t, b, nil, func(w *world) {
			w.wantMe(w.alice(), "sensibill/"+alice)
		})
	}
}

func TestAnotherTokenTypeIsAnError(t *testing.T) {
	inBubble(t, sensibilltest.Behavior{TokenType: "mac"}, nil, func(w *world) {
		err := w.refusal(w.alice())
		if _, f := failureOf(t, err); f.Step != sensibill.StepAccessToken {
			t.Errorf("got %v", err)
		}
		if want := `token type "mac"`; !contains(err, want) {
			t.Errorf("got %v, want it to say %s", err, want)
		}
	})
}
