// Package order imports internal packages as it may.
package order

import (
	_ "github.com/tokencache/tokencache/tools/layers/testdata/order/internal/holdoff"
	_ "github.com/tokencache/tokencache/tools/layers/testdata/order/internal/testhook"
)
