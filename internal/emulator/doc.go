// Package emulator serves an http.Handler for tests, on a loopback socket or on an in-memory network
// that works in [testing/synctest] bubbles, and keeps a transcript of the requests and answers
// without secrets. Package tokentest and the providers' emulators stand on it.
package emulator
