// Package clock imports nothing.
package clock
