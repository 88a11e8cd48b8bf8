package order

import _ "github.com/tokencache/tokencache/tools/layers/testdata/order/internal/simulation" // tests may
