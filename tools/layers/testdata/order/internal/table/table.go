// Package table imports a package above it.
package table

import _ "github.com/tokencache/tokencache/tools/layers/testdata/order/internal/holdoff"
