// Package hook imports an internal package, as it may, and the root package, as it may not.
package hook

import (
	_ "github.com/tokencache/tokencache/tools/layers/testdata/order"
	_ "github.com/tokencache/tokencache/tools/layers/testdata/order/internal/clock"
)
