// Package worlds plays APIs with faults, in fake time, to see what a rule for 401s makes of them: how
// many token requests it causes, and how long a token that is really revoked stays in use.
//
// A [World] says what an API rejects, which requests a client sends to it, when tokens are revoked,
// and what a good rule may cost. [Play] has a client live through one under a [Rule]: that of package
// rejection ([Present]), the one before it ([First]), or that of a client that knows what the server
// knows ([AllKnowing]). [Table] lists the worlds, and [Random] composes more.
package worlds
