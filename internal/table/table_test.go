package table_test

import (
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache/internal/table"
)

func TestItemsLiveUntilTheirTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		items := table.New[string]()
		items.Set("short", "a", time.Minute)
		items.Set("kept", "b", table.Forever)
		time.Sleep(time.Minute)
		if got, ok := items.Get("short"); !ok || got != "a" {
			t.Errorf("after a minute: %q, %t, want the item", got, ok)
		}
		time.Sleep(time.Nanosecond)
		if got, ok := items.Get("short"); ok || got != "" {
			t.Errorf("a nanosecond later: %q, %t, want nothing", got, ok)
		}
		if all := maps.Collect(items.All()); len(all) != 1 || all["kept"] != "b" {
			t.Errorf("All() = %v, want only what has not expired", all)
		}
		items.Delete("kept")
		if _, ok := items.Get("kept"); ok {
			t.Error("the item is there after Delete")
		}
	})
}

func TestExpiredItemsAreSweptWhenTheTableHasDoubled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		items := table.New[int]()
		fill := func(from, to int, ttl time.Duration) (sweeps int) {
			for i := from; i < to; i++ {
				if items.Set(fmt.Sprint(i), i, ttl) {
					sweeps++
				}
			}
			return sweeps
		}
		if n := fill(0, 1023, time.Second); n != 0 || items.Len() != 1023 {
			t.Fatalf("%d sweeps and %d items below the size that is worth it, want 0 and 1023", n, items.Len())
		}
		time.Sleep(2 * time.Second)
		if n := fill(2000, 2001, table.Forever); n != 1 || items.Len() != 1 {
			t.Fatalf("%d sweeps and %d items, want 1 sweep that leaves 1 item", n, items.Len())
		}
		if n := fill(3000, 4023, table.Forever); n != 1 || items.Len() != 1024 {
			t.Fatalf("%d sweeps and %d items, want a sweep at 1024 that leaves all", n, items.Len())
		}
		if n := fill(5000, 6023, table.Forever); n != 0 {
			t.Fatalf("%d sweeps before the size has doubled, want 0", n)
		}
		if n := fill(6023, 6024, table.Forever); n != 1 || items.Len() != 2048 {
			t.Fatalf("%d sweeps and %d items, want a sweep at 2048", n, items.Len())
		}
	})
}

func TestGetOrAddAgreesOnOneItem(t *testing.T) {
	items := table.New[*int]()
	got := make([]*int, 50)
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() { got[i] = items.GetOrAdd("key", new(int)) })
	}
	all.Wait()
	for _, p := range got {
		if p == nil || p != got[0] {
			t.Fatal("two callers got two items")
		}
	}
}

func TestIterationCanStop(t *testing.T) {
	items := table.New[int]()
	items.Set("a", 1, table.Forever)
	items.Set("b", 2, table.Forever)
	n := 0
	for range items.All() {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d items, want the iteration to stop after 1", n)
	}
}
