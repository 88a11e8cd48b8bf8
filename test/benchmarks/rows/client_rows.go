package rows

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

func clientRows() []Row {
	rows := []Row{
		{Name: "J", Scenario: "the token is revoked, then 50 POSTs at once: fetches; answered 200; the same for 10,000", Want: "1; 50; 1; 10000", run: revocationStorm},
		{Name: "K", Scenario: "a 401 arrives late, for a token already replaced: fetches in total", Want: "1", run: lateRejection},
		{Name: "L", Scenario: "the API answers 401 to everything, 50 requests in sequence: fetches", Want: "at most 3", run: rejectsEverything},
		{Name: "L2", Scenario: "one path accepts the token, another answers 401, 50 requests to each in turns: fetches; 401s on the accepting path", Want: "at most 3; 0", run: rejectsOnePath},
		{Name: "L3", Scenario: "L2, then a genuine revocation, 20 requests to the accepting path: answered 200", Want: "20", run: revocationInHoldOff},
		{Name: "L4", Scenario: "L2 from 20 goroutines for 3 s, only the newest token is valid: fetches; failures on the accepting path", Want: "at most 5; 0", run: rejectsOnePathOfSingleToken},
		{Name: "M", Scenario: "redirect to another host, port or scheme, through two hosts, and back: redirects that carry the token", Want: "none", run: redirects},
		{Name: "N", Scenario: "two revocations 200 ms apart, 20 requests at once after the second, then 20 more: answered 200", Want: "20; 20", run: twoRevocations},
	}
	for i := range rows {
		rows[i].needs = needsClient
	}
	return rows
}

func revocationStorm(p peer.Peer) (string, bool) {
	storm := func(requests int, network bool) (fetches, good int, intact bool) {
		a := newAPI(p, nil)
		defer a.close()
		if !network {
			a.setClient(p, inMemory{a})
		}
		a.warm()
		a.revokeAll()
		a.rejectTogether(requests)
		good = a.burst("/good", requests)
		return a.count(), good, int(a.intact.Load()) == good
	}
	f1, good1, intact1 := storm(50, true)
	f2, good2, intact2 := storm(10_000, false)
	got := fmt.Sprintf("%d; %d; %d; %d", f1, good1, f2, good2)
	if !intact1 || !intact2 {
		got += ", bodies incomplete"
	}
	return got, f1 == 1 && good1 == 50 && f2 == 1 && good2 == 10_000 && intact1 && intact2
}

func lateRejection(p peer.Peer) (string, bool) {
	a := newAPI(p, nil)
	defer a.close()
	a.warm()
	a.revokeAll()
	release := a.holdSlow()
	var late sync.WaitGroup
	late.Go(func() { a.post("/slow") })
	time.Sleep(50 * time.Millisecond)
	a.post("/good")
	a.post("/good")
	release()
	late.Wait()
	a.post("/good")
	n := a.count()
	return fmt.Sprint(n), n == 1
}

func rejectsEverything(p peer.Peer) (string, bool) {
	a := newAPI(p, func(string) bool { return true })
	defer a.close()
	a.warm()
	for range 50 {
		a.post("/good")
	}
	n := a.count()
	return fmt.Sprint(n), n <= 3
}

func isBad(path string) bool { return path == "/bad" }

// alternate sends n requests each to /good and /bad, in turns, and returns how many to /good
// failed.
func (a *api) alternate(n int) (failures int) {
	for range n {
		if a.post("/good") != http.StatusOK {
			failures++
		}
		a.post("/bad")
	}
	return failures
}

func rejectsOnePath(p peer.Peer) (string, bool) {
	a := newAPI(p, isBad)
	defer a.close()
	a.warm()
	failures := a.alternate(50)
	n := a.count()
	return fmt.Sprintf("%d; %d", n, failures), n <= 3 && failures == 0
}

func revocationInHoldOff(p peer.Peer) (string, bool) {
	a := newAPI(p, isBad)
	defer a.close()
	a.warm()
	a.alternate(50)
	a.revokeAll()
	good := 0
	for range 20 {
		if a.post("/good") == http.StatusOK {
			good++
		}
	}
	return fmt.Sprint(good), good == 20
}

func rejectsOnePathOfSingleToken(p peer.Peer) (string, bool) {
	a := newAPI(p, isBad)
	defer a.close()
	a.single.Store(true)
	a.warm()
	end := time.Now().Add(3 * time.Second)
	var failures atomic.Int64
	concurrently(20, func(int) {
		for time.Now().Before(end) {
			failures.Add(int64(a.alternate(1)))
			time.Sleep(5 * time.Millisecond)
		}
	})
	n := a.count()
	return fmt.Sprintf("%d; %d", n, failures.Load()), n <= 5 && failures.Load() == 0
}

func twoRevocations(p peer.Peer) (string, bool) {
	a := newAPI(p, nil)
	defer a.close()
	a.warm()
	a.revokeAll()
	a.burst("/good", 20)
	a.burst("/good", 20)
	time.Sleep(200 * time.Millisecond)
	a.revokeAll()
	a.rejectTogether(20)
	first := a.burst("/good", 20)
	second := a.burst("/good", 20)
	return fmt.Sprintf("%d; %d", first, second), first == 20 && second == 20
}
