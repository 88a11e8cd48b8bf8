package moov_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/tokencache/tokencache/provider/moov"
	"github.com/tokencache/tokencache/provider/moov/moovtest"
)

func day(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 12, 0, 0, 0, time.UTC)
}

func TestExpiresInIsSecondsOrATimestamp(t *testing.T) {
	const tenYears = 10 * 365 * 24 * time.Hour
	today := day(2026, 11, 22)
	lifetime := moov.Config(moov.Options{}, "id", "secret").Dialect.Lifetime
	for _, row := range []struct {
		name      string
		expiresIn any
		start     time.Time
		want      time.Duration
	}{
		{"old documentation", json.Number("900"), today, 15 * time.Minute},
		{"as text", "900", today, 15 * time.Minute},
		{"specification, on its day", json.Number("1736964352"), time.Unix(1736963452, 0), 15 * time.Minute},
		{"specification, a day later", json.Number("1736964352"), time.Unix(1737050752, 0), 0},
		{"specification, today", json.Number("1736964352"), today, 0},
		{"specification, in 2000", json.Number("1736964352"), day(2000, 1, 1), 0},
		{"fifty years, or a day in 2019", json.Number("1576797207"), today, 0},
		{"timestamp as text", "1795348800", today.Add(-time.Minute), time.Minute},
		{"timestamp of this second", json.Number("1795348800"), today, 0},
		{"timestamp of the last second", json.Number("1795348799"), today, 0},
		{"timestamp of the next second", json.Number("1795348801"), today, time.Second},
		{"zero", json.Number("0"), today, 0},
		{"absent", nil, today, 0},
		{"negative", json.Number("-900"), today, 0},
		{"32 bits overflowed", json.Number("-2147482748"), today, 0},
		{"no number", "soon", today, 0},
		{"an object", map[string]any{}, today, 0},
		{"milliseconds", json.Number("1795349700000"), today, 0},
		{"more than 64 bits", json.Number("99999999999999999999"), today, 0},
		{"ten years", json.Number("315360000"), today, tenYears},
		{"more than ten years", json.Number("315360001"), today, 0},
		{"2038, before", json.Number("2147483648"), time.Unix(2147483647, 0), time.Second},
		{"2038, after", json.Number("2147484548"), time.Unix(2147483648, 0), 15 * time.Minute},
		{"2038, years ahead", json.Number("2147484548"), today, 0},
		{"2106", json.Number("4294968196"), time.Unix(4294967296, 0), 15 * time.Minute},
	} {
		t.Run(row.name, func(t *testing.T) {
			fields := map[string]any{}
			if row.expiresIn != nil {
				fields["expires_in"] = row.expiresIn
			}
			wantEqual(t, "lifetime", lifetime(fields, row.start), row.want)
		})
	}
}

// Tokens that expire after 15 minutes are replaced in time, whatever expires_in means: no expired
// token is sent, and there are no more token requests than necessary.
func TestTokensAreRenewedInTimeWhateverExpiresInMeans(t *testing.T) {
	for _, row := range []struct {
		name      string
		expiresIn func(issued, expires time.Time) any
		from      time.Time
	}{
		{"timestamp", moovtest.Timestamp, day(2026, 11, 22)},
		{"seconds", moovtest.Seconds, day(2026, 11, 22)},
		{"900", moovtest.Always(900), day(2026, 11, 22)},
		{"1736964352", moovtest.Always(1736964352), day(2026, 11, 22)},
		{"1576797207", moovtest.Always(1576797207), day(2026, 11, 22)},
		{"0", moovtest.Always(0), day(2026, 11, 22)},
		{"absent", moovtest.Always(nil), day(2026, 11, 22)},
		{"beyond 2038", moovtest.Timestamp, day(2038, 1, 20)},
		{"across 2038", moovtest.Timestamp, time.Unix(1<<31-20*60, 0)},
		{"32 bits that overflow", func(_, expires time.Time) any { return int32(expires.Unix()) }, day(2038, 1, 20)},
		{"this clock is ahead", func(_, expires time.Time) any { return expires.Add(-20 * time.Minute).Unix() }, day(2026, 11, 22)},
	} {
		t.Run(row.name, func(t *testing.T) {
			setup{behavior: moovtest.Behavior{ExpiresIn: row.expiresIn}, options: withOrigin}.run(t, func(w *world) {
				time.Sleep(time.Until(row.from))
				src := w.cache.ClientCredentials(read)
				for range 55 * 6 {
					w.wantStatus(src, "GET", "/accounts", 200)
					time.Sleep(10 * time.Second)
				}
				for _, x := range w.exchanges("/accounts") {
					wantEqual(w, "status", x.Status, 200)
				}
				// With a renewal window of 3 minutes, one about every 12 minutes.
				wantEqual(w, "token requests", len(w.exchanges(tokenPath)), 5)
			})
		})
	}
}

// If the clock is behind, a timestamp makes a token look valid for too long. The API rejects it
// once.
func TestClockBehindCostsOneRejectionPerToken(t *testing.T) {
	b := moovtest.Behavior{ExpiresIn: func(_, expires time.Time) any { return expires.Add(time.Hour).Unix() }}
	setup{behavior: b, options: withOrigin}.run(t, func(w *world) {
		src := w.cache.ClientCredentials(read)
		for range 55 {
			w.wantStatus(src, "GET", "/accounts", 200)
			time.Sleep(time.Minute)
		}
		wantEqual(w, "token requests", len(w.exchanges(tokenPath)), 4)
		wantEqual(w, "requests", len(w.exchanges("/accounts")), 55+3)
	})
}

// Every answer has a refresh token, so without MaxIdle no token would ever be forgotten.
func TestIdleTokensAreRevoked(t *testing.T) {
	setup{behavior: moovtest.Behavior{RateLimit: -1}, options: withOrigin}.run(t, func(w *world) {
		const many = 1024
		fetch := func(from int) {
			for i := range many {
				w.token(w.cache.ClientCredentials("/accounts/" + string(rune(0x4e00+from+i)) + "/cards.read"))
			}
		}
		fetch(0)
		time.Sleep(2 * time.Hour)
		wantEqual(w, "live tokens before", len(w.api.Live()), many)
		fetch(many)
		time.Sleep(time.Second)
		wantEqual(w, "revocations", w.api.Count(revokePath), many)
		wantEqual(w, "live tokens", len(w.api.Live()), 2*many)
		if err := w.cache.Shutdown(context.Background()); err != nil {
			w.Error(err)
		}
		wantEqual(w, "live tokens after Shutdown", len(w.api.Live()), 0)
	})
}
