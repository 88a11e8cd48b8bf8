// Package provider imports packages that only tests may import.
package provider

import (
	_ "github.com/tokencache/tokencache/tools/layers/testdata/order/internal/simulation"
	_ "github.com/tokencache/tokencache/tools/layers/testdata/order/internal/testhook"
)
