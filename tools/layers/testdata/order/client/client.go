// Package client imports nothing. It is no internal package.
package client
