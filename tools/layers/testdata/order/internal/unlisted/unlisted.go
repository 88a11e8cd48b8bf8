// Package unlisted is not in the list.
package unlisted
