// Package testhook lets tests outside of package tokencache change what its public API does not
// show. Package tokencache sets the hooks when it is initialized. Only tests call them.
package testhook

import "time"

// SetWall replaces the wall clock of cache, which must be a *tokencache.Cache from tokencache.New
// that is not in use yet. The monotonic clock stays.
var SetWall func(cache any, wall func() time.Time)

// Sizes returns how many keys of cache have a token, and how many replaced tokens it remembers,
// including expired ones.
var Sizes func(cache any) (current, superseded int)
