package worlds

import (
	"time"

	"github.com/tokencache/tokencache/internal/rejection"
)

// A Rule decides which rejections are a reason to renew a token.
type Rule func(*client) rule

type rule interface {
	accepted(tok *token, target string, sent, now int64)
	rejected(tok *token, target string, now int64)
	permits(tok *token, req *request, now int64) bool
	renewed(next, prev *token, target string, now int64)
}

// Present is the rule of package rejection.
func Present(*client) rule { return present{new(rejection.Rule)} }

type present struct{ rule *rejection.Rule }

func (p present) accepted(tok *token, target string, sent, now int64) {
	if p.rule.OnTrial(&tok.record) {
		p.rule.Accepted(&tok.record, target, sent, now)
	}
}

func (p present) rejected(tok *token, target string, now int64) {
	p.rule.Rejected(&tok.record, target, now)
}

func (p present) permits(tok *token, req *request, now int64) bool {
	_, ok := p.rule.Permit(&tok.record, req.target, now)
	return ok
}

func (p present) renewed(next, prev *token, target string, now int64) {
	p.rule.Renewed(&next.record, &prev.record, target, now)
}

// AllKnowing renews only what is revoked, and only for requests that a new token would help.
func AllKnowing(c *client) rule { return allKnowing{c} }

type allKnowing struct{ client *client }

func (allKnowing) accepted(*token, string, int64, int64)  {}
func (allKnowing) rejected(*token, string, int64)         {}
func (allKnowing) renewed(_, _ *token, _ string, _ int64) {}

func (a allKnowing) permits(tok *token, req *request, now int64) bool {
	return tok.revoked && a.client.isGood(req)
}

// isGood reports whether a new token would be accepted, once it is not new any more.
func (c *client) isGood(req *request) bool {
	return c.world.accepts(c, req, &token{key: req.key, issued: c.now - int64(time.Hour)})
}
