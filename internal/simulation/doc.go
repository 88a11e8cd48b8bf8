// Package simulation lives through random histories of a cache in fake time.
package simulation
