// Package flight imports a package below it.
package flight

import _ "github.com/tokencache/tokencache/tools/layers/testdata/order/internal/clock"
