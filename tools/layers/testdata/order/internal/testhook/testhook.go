// Package testhook imports an internal package, as it may, and a package that is not, as it may not.
package testhook

import (
	_ "github.com/tokencache/tokencache/tools/layers/testdata/order/client"
	_ "github.com/tokencache/tokencache/tools/layers/testdata/order/internal/clock"
)
