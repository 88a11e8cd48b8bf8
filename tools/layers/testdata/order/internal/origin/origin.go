// Package origin imports the root package.
package origin

import _ "github.com/tokencache/tokencache/tools/layers/testdata/order"
