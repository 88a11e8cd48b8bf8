// Package simulation imports whatever it likes.
package simulation

import (
	_ "github.com/tokencache/tokencache/tools/layers/testdata/order"
	_ "github.com/tokencache/tokencache/tools/layers/testdata/order/internal/clock"
	_ "github.com/tokencache/tokencache/tools/layers/testdata/order/internal/testhook"
)
