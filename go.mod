module github.com/tokencache/tokencache

go 1.26.0

require (
	github.com/patrickmn/go-cache v2.1.0+incompatible
	golang.org/x/oauth2 v0.38.0
	golang.org/x/sync v0.25.0
)
