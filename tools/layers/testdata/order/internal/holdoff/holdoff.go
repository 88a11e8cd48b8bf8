// Package holdoff imports a package below it.
package holdoff

import _ "github.com/tokencache/tokencache/tools/layers/testdata/order/internal/clock"
