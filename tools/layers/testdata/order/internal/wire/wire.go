// Package wire imports a package that only tests may import.
package wire

import _ "github.com/tokencache/tokencache/tools/layers/testdata/order/internal/testhook"
