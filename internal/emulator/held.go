package emulator

import (
	"bytes"
	"net/http"
)

// A HeldAnswer is an http.ResponseWriter that keeps the answer instead of sending it.
type HeldAnswer struct {
	Status int
	Body   bytes.Buffer

	header http.Header
	wrote  bool
}

// Hold returns an empty answer with the status 200.
func Hold() *HeldAnswer { return &HeldAnswer{Status: http.StatusOK, header: make(http.Header)} }

// Header returns the header of the answer.
func (h *HeldAnswer) Header() http.Header { return h.header }

// WriteHeader sets the status, unless something was written before.
func (h *HeldAnswer) WriteHeader(status int) {
	if !h.wrote {
		h.wrote, h.Status = true, status
	}
}

// Write appends to the body.
func (h *HeldAnswer) Write(p []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return h.Body.Write(p)
}

// Flush does nothing. Many handlers need an http.Flusher.
func (h *HeldAnswer) Flush() {}
